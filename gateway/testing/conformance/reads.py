"""Bronze rules about behaviour: it reads the right values, and fails politely."""

from __future__ import annotations

import asyncio
import math
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, Final

from gateway.model.faults import Fault, ProtocolFault
from gateway.model.types import DataType, Value
from gateway.sdk.adapter import Probes
from gateway.sdk.manifest import Manifest
from gateway.testing.chaos import NOISE, Mischief
from gateway.testing.conformance.result import Short
from gateway.testing.conformance.rig import PATIENCE, TIMEOUT, Rig, configure, rig, within
from gateway.testing.conformance.subject import Receiver, Subject
from gateway.testing.ports import free_port

HOSTILE: Final = 3000
"""Messages for each receiver, --fast: a tenth."""
LONGEST: Final = 4096


async def simulator(manifest: Manifest, subject: Subject, fast: bool) -> str:  # noqa: ARG001
    """simulator: stands where the connection looks, and gives what is set."""
    mend = "name a class in adapter.toml that follows gateway.sdk.simulator.Simulator"
    if not manifest.simulator:
        raise Short("there is no simulator", mend)
    async with rig(manifest, subject, timeout=PATIENCE) as at_work:
        found = await within(PATIENCE, at_work.read(), "a read", mend)
        for row in found:
            held = at_work.held[row.device, row.tag]
            if row.quality or row.value != held:
                raise Short(f"{row.device}.{row.tag} is {row.value!r}, quality {row.quality:#x}; set was {held}", mend)
        return f"{len(found)} tags read as they were set"


def _same(kind: DataType, told: Value | None, expected: Value) -> bool:
    if isinstance(expected, float) and isinstance(told, int | float):
        if math.isnan(expected):
            return math.isnan(told)
        if kind is DataType.FLOAT32 and math.isfinite(expected):
            return bool(told == struct.unpack("<f", struct.pack("<f", expected))[0])
    return type(told) is type(expected) and told == expected


async def value_matrix(manifest: Manifest, subject: Subject, fast: bool) -> str:  # noqa: ARG001
    """value-matrix: every type and order, at its limits, through the simulator and back."""
    count = 0
    tags = [settings for settings, _ in subject.matrix]
    async with rig(manifest, subject, tags, timeout=PATIENCE) as at_work:
        columns = list(zip_longest(*(values for _, values in subject.matrix)))
        for row in columns:
            expected: dict[str, Value] = {}
            for tag, value in zip(at_work.tags, row, strict=True):
                wanted = at_work.subject.matrix[at_work.tags.index(tag)][1][-1] if value is None else value
                at_work.simulated().set(tag, wanted)
                expected[tag.name] = wanted
            for told in await at_work.read():
                if told.device != "d0":
                    continue
                kind = next(tag.type for tag in at_work.tags if tag.name == told.tag)
                count += 1
                if told.quality or not _same(kind, told.value, expected[told.tag]):
                    seen = f"{told.tag}: set {expected[told.tag]!r}, read {told.value!r}, quality {told.quality:#x}"
                    raise Short(seen, "mend type, byte order or scaling in the codec, or in the simulator")
    kinds = {tag["type"] for tag in tags}
    return f"{count} values of {len(tags)} tags, {len(kinds)} types"


async def partial_truth(manifest: Manifest, subject: Subject, fast: bool) -> str:  # noqa: ARG001
    """partial-truth: one bad tag, its neighbours good, in the same cycle."""
    mend = "call out.fail (or give failures) for that tag alone, and read its neighbours all the same"
    async with rig(manifest, subject) as at_work:
        bad = at_work.tags[1]
        subject.refuse(at_work.simulated(), bad)
        for again in range(3):
            for row in await at_work.read():
                refused = row.device == "d0" and row.tag == bad.name
                if refused and row.quality < 0x80:
                    raise Short(f"{row.tag} is refused by its device, and told as {row.value!r}", mend)
                if not refused and row.quality:
                    seen = (
                        f"read {again + 1}: {row.device}.{row.tag} has quality {row.quality:#x} because of {bad.name}"
                    )
                    raise Short(seen, mend)
        return f"{bad.name} bad, {len(at_work.tags) - 1} neighbours good, three times"


@asynccontextmanager
async def _talker(answer: bytes) -> Any:
    """Somebody who listens and says always the same, or nothing."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while await reader.read(4096):
                writer.write(answer)
                await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None
        await asyncio.sleep(0)


async def probe_first(manifest: Manifest, subject: Subject, fast: bool) -> str:  # noqa: ARG001
    """probe-first: tells refused, timeout, wrong protocol, auth and ok apart, in time."""
    found: dict[str, str] = {}

    async def probe(port: int, expected: str, **more: Any) -> None:
        made = configure(manifest, subject, port, subject.tags, **more)
        adapter = manifest.load().adapter(made.connection)
        if not isinstance(adapter, Probes):
            raise Short("the adapter has no probe()", "add probe(); gateway.sdk.probe_with makes one out of a question")
        work = adapter.probe(made.devices["d0"].config)
        told = await within(PATIENCE, work, f"the probe of a peer that is {expected}", "keep the time-out")
        if told.outcome != expected:
            mend = "map the fault: gateway.sdk.probing.outcome does"
            raise Short(f"expected {expected}, was told {told.outcome}: {told.detail}", mend)
        found[expected] = told.detail

    await probe(free_port(), "refused")
    async with _talker(b"") as port:
        await probe(port, "timeout")
    async with _talker(NOISE) as port:
        await probe(port, "wrong_protocol")
    async with rig(manifest, subject) as at_work:
        await probe(at_work.link.port, "ok")
        if subject.auth is not None:
            await probe(at_work.link.port, "auth", **subject.auth)
    return ", ".join(found)


async def deadline(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """deadline: whatever the peer does, every await ends, and the session closes."""
    worst = 0.0
    loop = asyncio.get_running_loop()
    kinds = [Mischief.STALL, Mischief.DRIP, Mischief.LOSE, Mischief.CUT]
    for mischief in kinds[: 2 if fast else 4]:
        for after in (0, 1):
            async with rig(manifest, subject, delay=TIMEOUT * 1.5) as at_work:
                at_work.link.next(mischief, after)
                pushes = any(plan_pushes(at_work))
                wait = 4 * TIMEOUT if pushes else PATIENCE
                began = loop.time()
                words = f"a read, when answer {after + 1} met {mischief!r},"
                await within(2 * PATIENCE, at_work.read(wait), words, "give every await a time-out, or let the link")
                worst = max(worst, loop.time() - began)
    return f"longest {worst:.1f} s, with a time-out of {TIMEOUT:g} s"


def plan_pushes(at_work: Rig) -> Iterator[bool]:
    """Whether each device pushes its tags."""
    for device in at_work.made.devices.values():
        yield at_work.adapter.plan(device.config, device.tags).push is not None


def descriptors() -> int:
    """File descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def clean_close(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """clean-close: open and close leave nothing behind, also when opening fails."""
    rounds = 5 if fast else 20
    async with rig(manifest, subject) as at_work:
        dead = manifest.load().adapter(configure(manifest, subject, free_port(), subject.tags).connection)

        async def once() -> None:
            async with at_work.adapter.open():
                pass
            with suppress(Fault):
                async with dead.open():
                    pass

        await once()
        await asyncio.sleep(0.1)
        tasks, files = _own_tasks(at_work), descriptors()
        for _ in range(rounds):
            await within(PATIENCE, once(), "open and close", "leave the context without waiting for the peer")
        for _ in range(50):
            await asyncio.sleep(0.05)
            left = _own_tasks(at_work) - tasks, descriptors() - files
            if max(left) <= 0:
                return f"{rounds} times: 0 tasks, 0 descriptors left"
        raise Short(
            f"{rounds} times left {left[0]} tasks, {left[1]} descriptors",
            "close in a finally, or use the link's context",
        )


def _own_tasks(at_work: Rig) -> int:
    """Tasks of this loop, those of the chaos link left out."""
    return len(asyncio.all_tasks()) - len(at_work.link.tasks)


async def hostile_bytes(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """hostile-bytes: any bytes give a value, need more, or a ProtocolFault; however they are split."""
    if not subject.receivers:
        raise Short("the subject names no receivers", "give fresh sans-io receivers of the codec")
    answers: list[bytes] = []
    async with rig(manifest, subject) as at_work:
        at_work.link.tap = lambda way, data: answers.append(data) if way == "<" else None
        await at_work.read()
    seeds = [data[:LONGEST] for data in answers] or [NOISE]
    dice = random.Random(20_26)  # noqa: S311 - repeatable on purpose
    count = 0
    for make in subject.receivers:
        for _ in range(HOSTILE // (10 if fast else 1)):
            data = _mutated(dice, seeds) or NOISE  # nothing at all is never fed: a link gives bytes
            whole, split = _fed(make(), [data]), _fed(make(), _pieces(dice, data))
            count += 1
            if whole != split:
                seen = f"{data[:48].hex()} gave {whole} in one piece, {split} in several"
                raise Short(seen, "the result must not depend on how bytes are split")
    return f"{count} messages, {len(seeds)} of them as seeds"


def _mutated(dice: random.Random, seeds: Sequence[bytes]) -> bytes:
    data = bytearray(dice.choice(seeds) if dice.random() < 0.9 else dice.randbytes(dice.randrange(1, 64)))
    for _ in range(dice.randrange(0, 4)):
        place = dice.randrange(len(data)) if data else 0
        match dice.randrange(5):
            case 0 if data:
                data[place] = dice.randrange(256)
            case 1 if data:
                data[place] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2 if data:
                del data[place : place + dice.randrange(1, 8)]
            case 3:
                data[place:place] = dice.randbytes(dice.randrange(1, 8))
            case _:
                data += dice.choice(seeds)[: dice.randrange(1, 64)]
    return bytes(data[:LONGEST])


def _pieces(dice: random.Random, data: bytes) -> list[bytes]:
    cuts = sorted({dice.randrange(len(data) + 1) for _ in range(4)} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(cuts)]


def _fed(receiver: Receiver, pieces: Sequence[bytes]) -> str:
    """What a receiver says in the end; a fault wins, wherever it comes."""
    complete = False
    try:
        for piece in pieces:
            complete = receiver.feed(piece) or complete
    except ProtocolFault:
        return "fault"
    except Fault as fault:
        return type(fault).__name__
    except Exception as error:  # whatever else it raises is what this rule looks for
        raise Short(
            f"{b''.join(pieces)[:48].hex()} raised {error!r}", "validate lengths and types, raise ProtocolFault"
        ) from error
    return "complete" if complete else "more"


Check = Callable[[Manifest, Subject, bool], Any]

RULES: Final[dict[str, Check]] = {
    "simulator": simulator,
    "value-matrix": value_matrix,
    "partial-truth": partial_truth,
    "probe-first": probe_first,
    "deadline": deadline,
    "clean-close": clean_close,
    "hostile-bytes": hostile_bytes,
}
