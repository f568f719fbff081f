"""A journal that was torn, cut or flipped at every one of its pages: what is whole comes out, the rest is declared.

Done in this process, against the bus alone: hundreds of small journals. Once to the file of a gateway that stopped in
order, once to the file and the write-ahead log of one that was killed. The consumer knows what was committed, and
counts. A file cut to nothing is left out: there is nothing to tell it from one that was never used.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.campaign.scenario import Course, Outcome
from gateway.bus import Bus, Consumer, open_bus
from gateway.config.root import BusConfig
from gateway.model.batch import Batch, Gap, decode_body
from gateway.model.frame import Frame
from gateway.model.schema import Column, Schema
from gateway.model.types import DataType

PAGE: Final = 8192
LOG_HEADER: Final = 32
LOG_FRAME: Final = 24 + PAGE
POINTS: Final = 100
BODY: Final = 10_000
"""Bytes of a batch: more than a page, and no multiple of it."""
DELIVERED: Final = 2
"""Batches that the consumer has before the damage."""
SEED: Final = 20_260_101
NAME: Final = "journal.db"
LOG: Final = "journal.db-wal"
SCHEMA: Final = Schema("press", "fast", (Column(DataType.UINT16, ("a", "b")),))


@dataclass(frozen=True)
class Original:
    """A journal before the damage."""

    folder: Path
    epoch: int
    bodies: dict[int, bytes]
    """By seq: what the consumer does not have yet."""


@dataclass
class Found:
    """What came out of one damaged journal."""

    batches: list[Batch] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


@dataclass(frozen=True)
class Blow:
    """One damage: to which file, where, and how."""

    file: str
    kind: str
    at: int
    """Offset of the page."""


def _flip(path: Path, at: int, chance: random.Random) -> None:
    with path.open("r+b") as file:
        file.seek(at + chance.randrange(PAGE))
        byte = file.read(1)
        file.seek(-len(byte), os.SEEK_CUR)
        file.write(bytes(each ^ 1 << chance.randrange(8) for each in byte))


def _tear(path: Path, at: int, chance: random.Random) -> None:
    """Keep the first sectors of the page only."""
    kept = 512 * chance.randrange(1, PAGE // 512)
    with path.open("r+b") as file:
        file.seek(at + kept)
        file.write(bytes(PAGE - kept))


def _cut(path: Path, at: int, _: random.Random) -> None:
    os.truncate(path, at)


KINDS: Final[dict[str, Callable[[Path, int, random.Random], None]]] = {"flip": _flip, "tear": _tear, "cut": _cut}


def damaged(course: Course, folder: Path) -> Outcome:
    """``course.times`` batches in a journal; every kind of damage at every page."""
    outcome = Outcome("damage")
    asyncio.run(_all(course, folder, outcome))
    return outcome


async def _all(course: Course, folder: Path, outcome: Outcome) -> None:
    chance = random.Random(SEED)
    cases: dict[str, int] = {}
    refused, false, silent, slow = [], [], [], 0.0
    for original in [await _original(folder / kind, course.times, killed=kind == "killed") for kind in STATES]:
        for blow in _blows(original.folder):
            copy = folder / "copy"
            shutil.copytree(original.folder, copy)
            KINDS[blow.kind](copy / blow.file, blow.at, chance)
            began = time.monotonic()
            try:
                found = await _harvest(copy)
            except Exception as error:  # noqa: BLE001 - whatever it is, a start was refused, and that is the finding
                refused.append((blow, repr(error)))
                continue
            finally:
                shutil.rmtree(copy)
            slow = max(slow, time.monotonic() - began)
            cases[blow.kind] = cases.get(blow.kind, 0) + 1
            false += [(blow, each) for each in _false(original, found)]
            missing, undeclared = _missing(original, found)
            silent += [(blow, seq) for seq in undeclared]
            outcome.kept += (len(original.bodies) - len(missing)) * POINTS
            outcome.lost += len(undeclared) * POINTS
            outcome.declared += (len(missing) - len(undeclared)) * POINTS
            seqs = [(each.epoch, each.seq) for each in found.batches]
            outcome.duplicated += (len(seqs) - len(set(seqs))) * POINTS
    outcome.recovery = round(slow, 2)
    outcome.check("a start is never refused", not refused, refused[:3])
    outcome.check("nothing false is delivered", not false, false[:5])
    outcome.check("what is missing is declared", not silent, silent[:5])
    outcome.check("nothing comes twice", not outcome.duplicated, outcome.duplicated)
    outcome.check("every kind of damage was done", cases.keys() == KINDS.keys(), cases)
    outcome.figures |= {"journals_damaged": sum(cases.values()), "by_kind": cases, "slowest_s": outcome.recovery}


STATES: Final = ("stopped", "killed")


def _config() -> BusConfig:
    return BusConfig.model_validate({"path": NAME, "linger": "1h", "min_free": 0, "cache": 0})


async def _original(folder: Path, count: int, *, killed: bool) -> Original:
    """A journal with so many batches; with its write-ahead log, as a kill leaves it, or without."""
    folder.mkdir()
    work = folder / "work"
    async with open_bus(_config(), "plant", work) as bus:
        consumer = bus.consumer("lane")
        for _ in range(count):
            await _put(bus)
        batches = [await consumer.fetch() for _ in range(count)]
        for batch in batches[:DELIVERED]:
            consumer.acknowledge(batch.seq)
        if killed:
            await asyncio.sleep(1.0)  # the position is saved within a second
            for name in (NAME, LOG):
                shutil.copy(work / name, folder / name)
    if not killed:
        shutil.copy(work / NAME, folder / NAME)
    shutil.rmtree(work)
    return Original(folder, bus.epoch, {batch.seq: batch.body for batch in batches[DELIVERED:]})


def _blows(folder: Path) -> Iterator[Blow]:
    size = (folder / NAME).stat().st_size
    for at in range(0, size, PAGE):
        for kind in KINDS:
            if at or kind != "cut":
                yield Blow(NAME, kind, at)
    if (folder / LOG).exists():
        for at in range(LOG_HEADER, (folder / LOG).stat().st_size, LOG_FRAME):
            yield from (Blow(LOG, kind, at) for kind in KINDS)


async def _put(bus: Bus) -> None:
    bus.publish(Frame(bus.define(SCHEMA), time.time_ns(), [os.urandom(BODY)]), POINTS)
    await bus.flush()


async def _harvest(folder: Path) -> Found:
    """All that comes out of a journal, and of the one that takes its place."""
    found = Found()
    async with open_bus(_config(), "plant", folder) as bus:
        consumer = bus.consumer("lane")
        await bus.flush()
        opened = time.time_ns()
        await _drain(consumer, found)
        await _put(bus)  # every damaged row was met by now: its gap follows, if not before, with this batch
        await _drain(consumer, found)
        await bus.flush()
        await _drain(consumer, found)
    whole = [each for each in found.batches if each.frames]
    fresh = [each for each in whole if each.first_time >= opened]
    if len(fresh) != 1:
        raise RuntimeError(f"{len(fresh)} of 1 new batches came out")
    found.batches = [each for each in whole if each.first_time < opened]
    return found


async def _drain(consumer: Consumer, found: Found) -> None:
    while consumer.backlog:
        try:
            batch = await asyncio.wait_for(consumer.fetch(), 2.0)
        except TimeoutError:
            return
        consumer.acknowledge(batch.seq)
        found.batches.append(batch)
        found.gaps += decode_body(batch.body).gaps


def _false(original: Original, found: Found) -> list[str]:
    return [
        f"{batch.epoch}/{batch.seq}"
        for batch in found.batches
        if batch.epoch != original.epoch or original.bodies.get(batch.seq, batch.body) != batch.body
    ]


def _missing(original: Original, found: Found) -> tuple[list[int], list[int]]:
    """Seqs that did not come, and those of them that no gap covers, by number or by time."""
    delivered = {batch.seq for batch in found.batches}
    missing = [seq for seq in original.bodies if seq not in delivered]
    return missing, [seq for seq in missing if not _covered(original, seq, found.gaps)]


def _covered(original: Original, seq: int, gaps: list[Gap]) -> bool:
    at = decode_body(original.bodies[seq]).frames[0].time
    for gap in gaps:
        if gap.reason in {"corruption", "restart"}:
            named = gap.epoch == original.epoch and gap.first_seq <= seq <= gap.last_seq
            if named or (not gap.first_seq and gap.since <= at <= gap.until):
                return True
    return False
