"""Checks what reaches a subscriber, value by value, against what the simulated devices served.

Decodes the columnar payload on its own (msgpack, zstandard, numpy; docs/payload.md), without the gateway's code, and
works on a whole message at once, so that the judge costs a fraction of the judged. Nothing is sampled.

* wrong: a value that is not the one served at the count its block's marker tells, a schema whose factors do not make
  exactly raw ÷ 10 of each of the 65,536 raw values, or a value that cannot be placed at all.
* lost: a change that was served and never arrived, or arrived in a report that left out other changes of its read.
  The last read of a block is not judged: the gateway may have been stopped before it had the answer.
* duplicated: a read that arrived more than once; ``repeated`` of them in a batch known by (gateway, epoch, seq, part).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt
import zstandard

from benchmarks.pattern import Ints, Pattern, Scoreboard, Words

CONFIRMED: Final = 1
_RAW: Final = np.arange(1 << 16)
_MAX_BODY: Final = 256 << 20


class Unreadable(ValueError):
    """A message that the specification of the payload does not allow."""


@dataclass
class Tally:
    """Running totals, in points unless named otherwise."""

    batches: int = 0
    frames: int = 0
    points: int = 0
    wire_bytes: int = 0
    wrong: int = 0
    bad_quality: int = 0
    omitted: int = 0
    """Changes left out of a report of the very read that showed them."""
    duplicated: int = 0
    repeated: int = 0
    confirmations: int = 0
    """Frames that say: read, and unchanged."""
    unreadable: int = 0
    """Messages."""
    last_receive: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep the first few findings in words."""
        if len(self.notes) < 20:
            self.notes.append(text)


@dataclass(frozen=True)
class Known:
    """A schema that was found good."""

    device: int
    registers: Ints
    """Register number by schema position."""
    in_order: bool


class Verifier:
    """Takes messages as they arrive; `loss` tells in the end what never came."""

    def __init__(self, pattern: Pattern, board: Scoreboard) -> None:
        self.pattern = pattern
        self.board = board
        self.tally = Tally()
        self.gaps: list[dict[str, Any]] = []
        self.batches: set[tuple[str, int, int, int]] = set()
        """(gateway, epoch, seq, part): each worker of a gateway has its own name and numbers."""
        self.ages: list[tuple[Ints, Ints, Ints]] = []
        """Per batch: ns from the frame's time, and from the device's answer (0: not known), to the subscriber; and
        the frame's time."""
        self._schemas: dict[bytes, Known] = {}
        self._seen = np.zeros((pattern.total, 256), np.uint8)
        self._state = np.zeros((pattern.total, pattern.width), np.uint16)
        self._newest = np.full(pattern.total, -1, np.int64)
        self._unpack = zstandard.ZstdDecompressor()

    def schema(self, identity: str, encoded: bytes) -> None:
        """Take a retained schema message; ``identity`` is the last level of its topic."""
        try:
            if blake2b(encoded, digest_size=8).hexdigest() != identity:
                raise Unreadable("its id is not the hash of its content")
            self._schemas[bytes.fromhex(identity)] = self._know(msgpack.unpackb(encoded))
        except (ValueError, KeyError, TypeError) as error:
            self.tally.wrong += 1
            self.tally.note(f"schema {identity}: {error}")

    def _know(self, schema: dict[str, Any]) -> Known:
        if len(schema["columns"]) != 1 or schema["columns"][0]["type"] != "uint16":
            raise Unreadable("expected one column of uint16")
        column = schema["columns"][0]
        names = column["names"]
        neutral = {"multiply": 1.0, "divide": 1.0, "add": 0.0}
        scales = {name: column.get(name) or [value] * len(names) for name, value in neutral.items()}
        for multiply, divide, add in set(zip(*scales.values(), strict=True)):
            if not np.array_equal(_RAW.astype(np.float64) * multiply / divide + add, _RAW / 10):
                raise Unreadable(f"raw × {multiply} ÷ {divide} + {add} is not raw ÷ 10")
        registers = np.array([int(name.rpartition("r")[2]) for name in names], np.int64)
        device = int(schema["device"].removeprefix("d"))
        if not 0 <= device < self.pattern.devices or sorted(registers) != list(range(self.pattern.registers)):
            raise Unreadable(f"device {schema['device']} with {len(names)} tags is none of the plant's")
        return Known(device, registers, bool((np.diff(registers) == 1).all()))

    def data(self, payload: bytes, now: int, wire_bytes: int = 0) -> None:
        """Take a data message that was received at ``now`` (ns since the epoch)."""
        tally = self.tally
        tally.last_receive = now
        tally.wire_bytes += wire_bytes
        try:
            version, gateway, epoch, seq, part, _parts, body = msgpack.unpackb(payload)
            if version != 1:
                raise Unreadable(f"payload version {version}")
            frames, gaps = msgpack.unpackb(self._unpack.decompress(body, max_output_size=_MAX_BODY))
        except (ValueError, TypeError, zstandard.ZstdError) as error:
            tally.unreadable += 1
            tally.note(f"message not readable: {error}")
            return
        key = gateway, epoch, seq, part
        again = key in self.batches
        self.batches.add(key)
        tally.batches += 1
        if not again:
            self.gaps.extend(gaps)
        before = tally.duplicated
        self._frames([frame + [None] * (6 - len(frame)) for frame in frames], now)
        if again:
            tally.repeated += tally.duplicated - before

    def _frames(self, frames: list[list[Any]], now: int) -> None:
        whole: list[tuple[Known, list[Any]]] = []
        partial: list[tuple[Known, list[Any]]] = []
        self.tally.frames += len(frames)
        for frame in frames:
            known = self._schemas.get(frame[0])
            if known is None:
                self.tally.unreadable += 1
                self.tally.note(f"frame with schema {frame[0].hex()}, which was not published before it")
            elif len(frame) > 6 and frame[6] & CONFIRMED:
                self.tally.confirmations += 1
            else:
                plain = frame[3] is None and frame[4] is None and known.in_order
                (whole if plain else partial).append((known, frame))
        # order among frames of one device matters only to the state, which takes the newest of each kind
        if whole:
            self._whole(whole, now)
        if partial:
            self._partial(partial, now)

    def _whole(self, frames: list[tuple[Known, list[Any]]], now: int) -> None:
        pattern = self.pattern
        raw = np.frombuffer(b"".join(frame[2][0] for _, frame in frames), "<u2")
        if len(raw) != len(frames) * pattern.registers:
            self.tally.wrong += len(raw)
            self.tally.note("a frame without index does not hold all tags of its schema")
            return
        self.tally.points += len(raw)
        device = np.array([known.device for known, _ in frames])
        block = (device[:, None] * pattern.blocks + np.arange(pattern.blocks)).ravel()
        raw = raw.reshape(-1, pattern.width)
        count = pattern.counts(block, raw[:, 0], self.board.served[block])
        expected = pattern.values(block, count)
        self._mismatch(raw != expected, block, count)
        self._arrived(block, count)
        newer = pattern.markers(block, count) > self._newest[block]
        self._state[block[newer]] = expected[newer]
        np.maximum.at(self._newest, block, pattern.markers(block, count))
        self._age(frames, device, count[:: pattern.blocks], now)

    def _partial(self, frames: list[tuple[Known, list[Any]]], now: int) -> None:
        """Reports by exception: some registers of a device, the markers of their blocks among them."""
        pattern, tally = self.pattern, self.tally
        registers, values, owner = [], [], []
        for number, (known, frame) in enumerate(frames):
            places = slice(None) if frame[3] is None else np.frombuffer(frame[3], "<u2")
            where, what = known.registers[places], np.frombuffer(frame[2][0], "<u2")
            if len(where) != len(what):
                tally.wrong += len(what)
                tally.note("a frame has another number of values than its index says")
                continue
            if frame[4] is not None:
                good = np.frombuffer(frame[4], np.uint8) == 0
                tally.bad_quality += int((~good).sum())
                where, what = where[good], what[good]
            registers.append(where)
            values.append(what)
            owner.append(np.full(len(where), number))
        if not registers:
            return
        register, value, of = np.concatenate(registers), np.concatenate(values), np.concatenate(owner)
        tally.points += len(value)
        device = np.array([known.device for known, _ in frames])
        inner, place = np.divmod(register, pattern.width)
        pair = of * pattern.blocks + inner  # one block in one frame
        row = np.full(len(frames) * pattern.blocks, -1)
        heads = np.flatnonzero(place == 0)
        row[pair[heads]] = np.arange(len(heads))
        at = row[pair]
        if (at < 0).any():
            tally.wrong += int((at < 0).sum())
            tally.note("values without the marker of their block")
            place, value, at = place[at >= 0], value[at >= 0], at[at >= 0]
        block = device[of[heads]] * pattern.blocks + inner[heads]
        count = pattern.counts(block, value[place == 0], self.board.served[block])
        expected = pattern.values(block, count)
        wrong = value != expected[at, place]
        tally.wrong += int(wrong.sum())
        if wrong.any():
            tally.note(f"{int(wrong.sum())} values of {len(value)} in a report are not those served")
        self._arrived(block, count)
        self._follow(block, count, expected, at, place, value)
        first = inner[heads] == 0
        reached = np.zeros(len(frames), np.int64)
        reached[of[heads][first]] = count[first]
        self._age(frames, device, reached, now)

    def _follow(self, block: Ints, count: Ints, expected: Words, at: Ints, place: Ints, value: Words) -> None:
        """Apply reports to the state kept for each block; afterwards it must equal the device's."""
        marker = self.pattern.markers(block, count)
        last = self._newest[block]
        newer = marker > last
        known = last >= 0
        apply = newer[at]
        self._state[block[at[apply]], place[apply]] = value[apply]
        np.maximum.at(self._newest, block, marker)
        final = newer & known & (marker == self._newest[block])
        target = block[final]
        differing = self._state[target] != expected[final]
        if not differing.any():
            return
        self._state[target] = expected[final]
        since = zip(target, last[final], marker[final], strict=True)
        unbroken = np.array([self._seen[number, low + 1 : high + 1].all() for number, low, high in since])
        omitted = int(differing[unbroken].sum())  # behind a read that is missing as a whole, `loss` counts
        self.tally.omitted += omitted
        self.tally.note(f"{omitted} changed registers were left out of a report")

    def _mismatch(self, differing: npt.NDArray[np.bool_], block: Ints, count: Ints) -> None:
        wrong = int(differing.sum())
        if wrong:
            self.tally.wrong += wrong
            where = int(np.flatnonzero(differing.any(1))[0])
            self.tally.note(f"{wrong} values not as served, first in block {block[where]} at count {count[where]}")

    def _arrived(self, block: Ints, count: Ints) -> None:
        sound = count > 0
        block, count = block[sound], count[sound]
        marker = self.pattern.markers(block, count)
        if len(marker) and marker.max() >= self._seen.shape[1]:
            grown = np.zeros((self.pattern.total, int(marker.max()) * 2), np.uint8)
            grown[:, : self._seen.shape[1]] = self._seen
            self._seen = grown
        before = self._seen[block, marker]
        np.add.at(self._seen, (block, marker), np.uint8(1))
        again = (before > 0) | _repeats(block * self._seen.shape[1] + marker)
        if again.any():
            self.tally.duplicated += int(self.pattern.changed(block[again], count[again]).sum())

    def _age(self, frames: list[tuple[Known, list[Any]]], device: Ints, count: Ints, now: int) -> None:
        stamps = np.array([frame[1] for _, frame in frames], np.int64)
        served = self.board.times(device, count)
        self.ages.append((now - stamps, np.where(served > 0, now - served, 0), stamps))

    def loss(self) -> tuple[int, list[tuple[int, int, int, int, int]]]:
        """Points lost, and runs of reads behind it: (device, first count, last count, time of first, of last)."""
        pattern = self.pattern
        lost, runs = 0, set()
        served = self.board.served.copy()
        for number in np.flatnonzero(served > 1):
            last = int(served[number]) - 1
            count = np.arange(1, last + 1)
            block = np.full(last, number)
            marker = pattern.markers(block, count)
            seen = np.zeros(int(marker[-1]) + 1, bool)
            have = self._seen[number, : len(seen)] > 0
            seen[: len(have)] = have
            due = np.ones(last, bool)
            due[1:] = marker[1:] != marker[:-1]  # a read that changed nothing is not reported
            missing = np.flatnonzero(due & ~seen[marker])
            if not len(missing):
                continue
            lost += int(np.maximum(pattern.changed(block[missing], count[missing]), 1).sum())
            device = number // pattern.blocks
            for run in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
                ends = count[run[[0, -1]]]
                times = self.board.times(np.array([device, device]), ends)
                runs.add((int(device), int(ends[0]), int(ends[1]), int(times[0]), int(times[1])))
        return lost + self.tally.omitted, sorted(runs)

    def has(self, device: int, first: int, last: int) -> bool:
        """True when any of these reads of a device arrived, in any of its blocks."""
        blocks = slice(device * self.pattern.blocks, (device + 1) * self.pattern.blocks)
        return bool(self._seen[blocks, first : last + 1].any())

    def has_all(self, device: int, first: int, last: int) -> bool:
        """True when all of these reads of a device arrived, in all of its blocks."""
        blocks = slice(device * self.pattern.blocks, (device + 1) * self.pattern.blocks)
        seen = self._seen[blocks, first : last + 1]
        return bool(seen.shape[1] == last + 1 - first and seen.all())

    def holes(self) -> list[tuple[int, int]]:
        """Batches that are missing in the numbering: (epoch, seq), from 1 to the last received of each epoch."""
        held: dict[tuple[str, int], set[int]] = {}
        for gateway, epoch, seq, _part in self.batches:
            held.setdefault((gateway, epoch), set()).add(seq)
        return [(key[1], seq) for key, seqs in held.items() for seq in range(1, max(seqs)) if seq not in seqs]

    def streams(self) -> list[str]:
        """Names under which batches came: the gateway's, and those of its further workers."""
        return sorted({gateway for gateway, _, _, _ in self.batches})


def _repeats(keys: Ints) -> npt.NDArray[np.bool_]:
    """True for each key that stands earlier in the array already."""
    order = np.argsort(keys, kind="stable")
    found = np.zeros(len(keys), bool)
    found[order[1:]] = keys[order][1:] == keys[order][:-1]
    return found
