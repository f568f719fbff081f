"""What 1,000 scattered words of a MELSEC CPU cost: requests of a cycle, and CPU of the gateway by point.

    script/bench adapters mc --seconds 10

Three sets of tags, drawn with a fixed seed: ``scattered`` (1,000 words over 2,000,000 file registers, so far from each
other that none comes for the price of another), ``plant`` (1,000 words over D0 to D7999: one word in eight is wanted)
and ``dense`` (D0 to D999). For each: requests of a poll, beside the fewest that there can be (⌈1000 / 192⌉ places for
the first, ⌈1000 / 960⌉ words for the last; for the second, with no such simple figure, how many it would take with
batch reads, 0401, over gaps of 32 alone).

Then the gateway, in a process of its own, polls ``plant`` as fast as the simulator of this adapter answers (another
process, TCP, 3E binary), journals, and sends to Mosquitto. All words are counted up at every request, so that each is
reported at every poll; such values compress better than a plant's. The figure is CPU, user and system, of the gateway's
process by point that reached the receiver; batches that were journalled and did not arrive are counted as lost. Gaps
that the gateway declares are told with their reasons.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from adapters.mc import adapter, models
from adapters.mc.simulator import Simulator
from benchmarks.adapters._receiver import Receiver
from benchmarks.adapters._row import Row
from benchmarks.machine import Unfit, run_folder
from benchmarks.processes import Broker, Child, Gateway
from gateway.reader import Declared, Reader
from gateway.testing.ports import free_port

TAGS: Final = 1000
PLACES: Final = 192
WORDS: Final = 960
GAP: Final = 32
DEVICE: Final = {"connection": "cpu", "series": "q"}


def _word(area: str, place: int) -> dict[str, Any]:
    return {"name": f"{area}{place}", "address": f"{area}{place}", "type": "uint16"}


def workload(name: str) -> list[dict[str, Any]]:
    """Tags of a set, in no order."""
    dice = random.Random(1)
    if name == "scattered":
        tags = [_word("ZR", place) for place in dice.sample(range(0, 2_000_000, 40), TAGS)]
    elif name == "dense":
        tags = [_word("D", place) for place in range(TAGS)]
    else:
        tags = [_word("D", place) for place in dice.sample(range(8000), TAGS)]
    dice.shuffle(tags)
    return tags


def connection(port: int) -> dict[str, Any]:
    """The connection to the simulator."""
    return {"adapter": "mc", "host": "127.0.0.1", "port": port, "timeout": "2s"}


def planned(name: str) -> dict[str, object]:
    """Requests of one poll of a set, beside the fewest."""
    made = adapter(models.connection.model_validate(connection(5007)))
    tags = [models.tag.model_validate(tag) for tag in workload(name)]
    device = models.device.model_validate(DEVICE)
    made.plan(device, tags[:1])
    began = time.perf_counter()
    plan = made.plan(device, tags)
    took = time.perf_counter() - began
    found: dict[str, object] = {"requests": len(plan.requests), "wire_bytes": plan.wire_bytes}
    if name == "plant":
        places = sorted(int(tag["address"][1:]) for tag in workload(name))
        found["requests_by_batch_reads"] = _batch_reads(places)
    else:
        found["fewest"] = -(-TAGS // (PLACES if name == "scattered" else WORDS))
    return found | {"planning_ms": round(took * 1000, 1)}


def _batch_reads(places: list[int]) -> int:
    count, first = 1, places[0]
    for before, after in pairwise(places):
        if after - before - 1 > GAP or after - first >= WORDS:
            count, first = count + 1, after
    return count


async def serve(port: int) -> None:
    """Be the CPU. Every word holds another value at every poll; its lines tell how many words were read."""
    async with Simulator(port=port) as plant:
        cpu = plant.cpu("q")
        cells = cpu.cells("D")
        requests = 0

        def change(*_: object) -> None:
            nonlocal requests
            if plant.counters.requests != requests:
                requests = plant.counters.requests
                cells[:] += 1

        cpu.on_read = change
        print(json.dumps({"port": plant.port}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"requests": plant.counters.requests}), flush=True)


def configuration(port: int, broker: int, scan: str) -> dict[str, Any]:
    """The whole configuration of the gateway."""
    device = DEVICE | {"scan": scan, "tags": workload("plant")}
    return {
        "gateway": {"id": "bench"},
        "bus": {"kind": "journal", "path": "journal.db", "synchronous": "full"},
        "connections": {"cpu": connection(port)},
        "devices": {"cell": device},
        "lanes": {"platform": {"sink": "mqtt", "to": {"host": "127.0.0.1", "port": broker}, "payload": "columnar"}},
        "observe": {"http": "off", "log_format": "text"},
    }


def run(seconds: float, scan: str = "0s") -> dict[str, object]:
    """Plan all sets, and poll ``plant`` for some seconds. ``scan``: 0s for as fast as the simulator answers."""
    found: dict[str, object] = {name: planned(name) for name in ("scattered", "plant", "dense")}
    with run_folder() as folder, ExitStack() as stack:
        broker = stack.enter_context(Broker(folder))
        receiver = Receiver(broker.port)
        stack.callback(receiver.close)
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.adapters.mc", "--serve", str(port)]
        cpu = stack.enter_context(Child("cpu", command, folder))
        cpu.hear()
        (folder / "gateway.yaml").write_text(json.dumps(configuration(port, broker.port, scan)))
        gateway = stack.enter_context(Gateway(folder, folder / "gateway.yaml"))
        _wait(lambda: any(topic.endswith("/data") for topic, _ in receiver.messages))
        time.sleep(1.0)
        first, before = gateway.cpu_seconds(), cpu.ask("?")["requests"]
        begin, began = len(receiver.messages), time.monotonic()
        time.sleep(seconds)
        used, requests = gateway.cpu_seconds() - first, cpu.ask("?")["requests"] - before
        end, took = len(receiver.messages), time.monotonic() - began
        memory = gateway.memory_mb()[1]
        gateway.stop(10.0)
        time.sleep(1.0)
        points, report, reasons = _counted(receiver.messages, begin, end)
    return found | {
        "scan": scan,
        "polls_per_second": round(requests / int(found["plant"]["requests"]) / took, 1),  # type: ignore[index]
        "requests_per_second": round(requests / took),
        "points_per_second": round(points / took),
        "gateway_cpu_us_per_point": round(used / points * 1e6, 3),
        "gateway_cores": round(used / took, 2),
        "rss_mb": round(memory, 1),
        "lost": report.lost,
        "gaps": reasons,
    }


def _counted(messages: list[tuple[str, bytes]], begin: int, end: int) -> tuple[int, Any, dict[str, int]]:
    """Points in the messages from ``begin`` to ``end``, what the reader says of all of them, and gaps by reason."""
    reader, marks, reasons = Reader(), {}, Counter[str]()
    for number, (topic, payload) in enumerate(messages):
        if number in (begin, end):
            marks[number] = reader.report().points
        for event in reader.feed(topic, payload):
            if isinstance(event, Declared):
                reasons[f"{event.gap.reason}: {event.gap.detail}"] += 1
    report = reader.report()
    return marks.get(end, report.points) - marks[begin], report, dict(reasons)


def _wait(condition: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Unfit("no values arrive at the receiver")
        time.sleep(0.05)


def rows(found: dict[str, Any]) -> list[Row]:
    """For the table."""
    beside = f"{found['plant']['requests']} requests a poll; {found['scattered']['requests']} where all are far apart"
    words = f"point, {TAGS:,} words, one in eight of D0 to D7999, back to back"
    cpu, rate = found["gateway_cpu_us_per_point"], found["points_per_second"]
    return [Row("MC", words, cpu, rate, found["lost"], beside)]


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--scan", default="0s", help="0s: as fast as the simulator answers")
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.serve))
        return 0
    found = run(options.seconds, options.scan)
    print(json.dumps({"adapter": "mc", **found}))
    return int(bool(found["lost"]))


if __name__ == "__main__":
    assert Path(__file__).exists()
    sys.exit(main())
