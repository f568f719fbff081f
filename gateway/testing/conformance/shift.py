"""Silver rules: it survives the shift."""

from __future__ import annotations

import asyncio
import json
import random
import resource
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from gateway.model.faults import Fault
from gateway.model.frame import FrameFlag
from gateway.model.quality import Quality
from gateway.observe.status import DeviceState
from gateway.sdk.adapter import Write, Writes
from gateway.sdk.manifest import Manifest
from gateway.testing.chaos import Mischief
from gateway.testing.conformance.reads import Check, descriptors
from gateway.testing.conformance.result import Short
from gateway.testing.conformance.rig import PATIENCE, TIMEOUT, Rig, configure, rig, within
from gateway.testing.conformance.subject import Subject

BRANCHES: Final = 95.0
"""Per cent of branches that tests of the folder must reach."""
GROWTH_KB: Final = 6_000
"""Resident memory that a hundred start and stop cycles may add, allocator noise included."""


def _more(things: Sequence[object], than: int) -> bool:
    return len(things) > than


def _dated(at_work: Rig, moment: int) -> bool:
    return any(row.time == moment and row.flags & FrameFlag.SOURCE_TIME for row in at_work.rows)


async def chaos_matrix(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """chaos-matrix: every mischief at several moments: recovers, and no wrong value."""
    kinds = [kind for kind in Mischief if kind.value not in subject.harmful]
    moments = (0, 2) if fast else (0, 1, 3)
    done = 0
    async with rig(manifest, subject) as at_work, at_work.collecting():
        await at_work.good_again()
        for kind in kinds:
            for after in moments:
                at_work.link.delay = 0.02 if kind is Mischief.DRIP else 2 * TIMEOUT
                before = len(at_work.link.done)
                at_work.link.next(kind, after)
                await at_work.until(partial(_more, at_work.link.done, before), f"{kind!r}", "poll on")
                await at_work.good_again()
                at_work.judge()
                done += 1
        at_work.simulator.hang_up()
        await at_work.good_again()
        at_work.judge()
    return f"{done} times, {len(kinds)} kinds, and a restart of the peer; {len(at_work.rows)} values, none wrong"


async def stale_reply(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """stale-reply: an answer that comes after its time-out is nobody's answer."""
    rounds = 3 if fast else 8
    async with rig(manifest, subject, delay=TIMEOUT * 1.3) as at_work, at_work.collecting():
        await at_work.good_again()
        for _ in range(rounds):
            before = len(at_work.link.done)
            at_work.link.next(Mischief.LATE)
            await at_work.until(partial(_more, at_work.link.done, before), "a late answer", "poll on")
            await at_work.good_again()
            at_work.judge()
    return f"{rounds} late answers, {len(at_work.rows)} values, none stale"


async def limits_honoured(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """limits-honoured: what the adapter declares is never exceeded, as the simulator saw it."""
    async with rig(manifest, subject) as at_work:
        async with at_work.collecting():
            await at_work.good_again()
            await asyncio.sleep(0.5 if fast else 2.0)
        limits = subject.limits(at_work.simulator, at_work.adapter)
    for name, (seen, allowed) in limits.items():
        if not 0 < seen <= allowed:
            raise Short(f"{name}: the simulator saw {seen:g}, declared are {allowed:g}", "keep to the declared limits")
    return ", ".join(f"{name} {seen:g} of {allowed:g}" for name, (seen, allowed) in limits.items())


async def planner(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """planner: near the optimum, whatever the order of the tags; every tag in one request."""
    mend = "sort by address, merge within max_gap, pack to the PDU"
    if not subject.corpus:
        raise Short("the subject has no corpus", "give a seeded set of scattered tags and the most requests for it")
    made = configure(manifest, subject, 1, subject.corpus)
    adapter, device = manifest.load().adapter(made.connection), made.devices["d0"]
    dice = random.Random(7)  # noqa: S311 - repeatable on purpose
    first = adapter.plan(device.config, device.tags)
    for _ in range(5 if fast else 20):
        tags = list(device.tags)
        dice.shuffle(tags)
        plan = adapter.plan(device.config, tags)
        if (len(plan.requests), plan.wire_bytes) != (len(first.requests), first.wire_bytes):
            raise Short(f"{len(first.requests)} requests in one order, {len(plan.requests)} in another", mend)
        covered = sorted(tag for request in plan.requests for tag in request.tags)
        if covered != list(range(len(tags))):
            raise Short("some tags are in no request, or in several", mend)
    if len(first.requests) > subject.requests_most:
        raise Short(f"{len(first.requests)} requests; near the optimum are {subject.requests_most}", mend)
    return f"{len(device.tags)} tags in {len(first.requests)} requests"


async def fault_map(manifest: Manifest, subject: Subject, fast: bool) -> str:  # noqa: ARG001 - one shape for all
    """fault-map: every code of the specification means something here."""
    codes = list(subject.codes)
    if subject.mapped is None or not codes:
        raise Short("the subject names no codes", "give the codes of the specification, and what maps them")
    for code in codes:
        try:
            found = subject.mapped(code)
        except KeyError:
            raise Short(f"code {code!r} is not mapped", "map it to a fault or a quality") from None
        kind = found if isinstance(found, type) else type(found)
        if not issubclass(kind, Fault | Quality):
            raise Short(f"code {code!r} is mapped to {found!r}", "map it to a fault or a quality")
    return f"{len(codes)} codes"


async def edge_logging(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """edge-logging: however often it fails, one edge down and one up."""
    wanted = 10 if fast else 40
    async with rig(manifest, subject) as at_work, at_work.collecting():
        await at_work.good_again()
        at_work.states.clear()
        tried = at_work.link.connections
        at_work.link.refusing = True
        at_work.link.hang_up()
        await at_work.until(
            lambda: at_work.link.connections - tried >= wanted,
            f"{wanted} tries",
            "raise faults, and the runtime tries on",
        )
        at_work.link.refusing = False
        await at_work.good_again()
        edges = [state for name, state in at_work.states if name == "d0"]
    down, up = edges.count(DeviceState.DOWN), edges.count(DeviceState.UP)
    if (down, up) != (1, 1):
        raise Short(
            f"{wanted} failed tries were {down} times down, {up} times up", "do not come up before values are there"
        )
    return f"{wanted} failed tries: 1 down, 1 up"


async def reload(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """reload: start and stop again and again: flat, and others do not notice."""
    cycles = 10 if fast else 100
    async with rig(manifest, subject) as other, rig(manifest, subject.second or subject) as at_work, other.collecting():
        await other.good_again()
        sizes: list[tuple[int, int, int]] = []
        for _ in range(cycles):
            async with at_work.collecting():
                count = len(at_work.rows)
                await at_work.until(partial(_more, at_work.rows, count), "a first value", "read")
            await asyncio.sleep(0.02)
            sizes.append((len(asyncio.all_tasks()), descriptors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
        gaps = [gap for gap in other.gaps if gap.reason == "outage"]
    early, late = sizes[cycles // 2], sizes[-1]
    grown = late[0] - early[0], late[1] - early[1], late[2] - early[2]
    if grown[0] > 2 or grown[1] > 2 or grown[2] > GROWTH_KB:
        seen = f"{cycles // 2} cycles left {grown[0]} tasks, {grown[1]} descriptors, {grown[2]} kB"
        raise Short(seen, "leave nothing behind when the context of open() ends")
    if gaps:
        raise Short(f"another device missed {len(gaps)} times", "share nothing between connections")
    return f"{cycles} cycles: {grown[0]} tasks, {grown[1]} descriptors, {grown[2]} kB more in the second half"


async def time_truth(manifest: Manifest, subject: Subject, fast: bool) -> str:  # noqa: ARG001
    """time-truth: the device's own time is the value's time, and is marked so."""
    if subject.source_time is None:
        raise Short("the subject does not set the device's clock", "give source_time, or exempt the rule with a reason")
    moments = [1_700_000_000_000_000_000, 1_711_846_800_000_000_000, 1_483_228_799_000_000_000]
    async with rig(manifest, subject) as at_work, at_work.collecting():
        for moment in moments:
            subject.source_time(at_work.simulated(), moment)
            await at_work.until(
                partial(_dated, at_work, moment),
                f"a value of time {moment}",
                "give the source's time with the value: time= or times=",
            )
    return f"{len(moments)} moments, a change of summer time and a leap second among them"


async def safe_writes(manifest: Manifest, subject: Subject, fast: bool) -> str:  # noqa: ARG001
    """safe-writes: what is written arrives once; an unknown outcome is told as such."""
    async with rig(manifest, subject) as at_work:
        tag, device = at_work.tags[0], at_work.config()
        async with at_work.adapter.open() as session:
            if not isinstance(session, Writes):
                raise Short("the session cannot write", "exempt the rule with the reason, or add write()")
            await within(PATIENCE, session.write(device, [Write(tag, 4321)]), "a write", "keep the time-out")
        told = {row.tag: row.value for row in await at_work.read() if row.device == "d0"}
        if told[tag.name] != 4321:
            raise Short(f"wrote 4321 to {tag.name}, it has {told[tag.name]!r}", "mend write()")
        at_work.link.next(Mischief.STALL, 3)
        outcome = await _blind_write(at_work, tag, device)
        if outcome is None:
            raise Short("a write whose answer never came was told as done", "raise Timeout or LinkLost")
        return f"arrived; without an answer: {outcome}"


async def _blind_write(at_work: Rig, tag: Any, device: Any) -> str | None:
    try:
        async with at_work.adapter.open() as session:
            for value in range(8):
                await within(
                    PATIENCE, cast("Writes", session).write(device, [Write(tag, value)]), "a write", "keep the time-out"
                )
    except Fault as fault:
        return type(fault).__name__
    return None


async def fairness(manifest: Manifest, subject: Subject, fast: bool) -> str:
    """fairness: a dead device delays those beside it by at most its time-outs."""
    if not subject.others:
        raise Short("the subject has one device for each connection", "name others, or exempt the rule with the reason")
    seconds = 2.0 if fast else 5.0
    async with rig(manifest, subject) as at_work, at_work.collecting():
        await at_work.good_again("d1")
        subject.silence(at_work.simulated("d0"), True)
        await at_work.until(
            lambda: at_work.status("d0").state is DeviceState.DOWN, "d0 down", "raise Timeout from read()"
        )
        count = sum(row.device == "d1" for row in at_work.rows)
        await asyncio.sleep(seconds)
        polls = (sum(row.device == "d1" for row in at_work.rows) - count) / len(at_work.tags)
        subject.silence(at_work.simulated("d0"), False)
        await at_work.good_again("d0")
        at_work.judge()
    least = seconds / (0.05 + 2 * TIMEOUT)
    if polls < least:
        raise Short(
            f"{polls:.0f} polls of its neighbour in {seconds:g} s", "wait for one device only as long as its time-out"
        )
    return f"{polls:.0f} polls of its neighbour in {seconds:g} s"


def coverage(manifest: Manifest, file: Path | None) -> str | None:
    """coverage: of the folder, by branches; None: not measured."""
    if file is None:
        return None
    files = json.loads(file.read_text("utf-8"))["files"]
    counts = [0, 0]
    for name, found in files.items():
        path = Path(name).resolve()
        if manifest.folder.resolve() in path.parents and "tests" not in path.parts and path.stem != "conformance":
            summary = found["summary"]
            counts[0] += summary["covered_lines"] + summary.get("covered_branches", 0)
            counts[1] += summary["num_statements"] + summary.get("num_branches", 0)
    share = 100 * counts[0] / counts[1] if counts[1] else 0.0
    if share < BRANCHES:
        raise Short(f"{share:.1f} %", f"test what is not reached; {BRANCHES:g} % are asked for")
    return f"{share:.1f} %"


RULES: Final[dict[str, Check]] = {
    "chaos-matrix": chaos_matrix,
    "stale-reply": stale_reply,
    "limits-honoured": limits_honoured,
    "planner": planner,
    "fault-map": fault_map,
    "edge-logging": edge_logging,
    "reload": reload,
    "time-truth": time_truth,
    "safe-writes": safe_writes,
    "fairness": fairness,
}
