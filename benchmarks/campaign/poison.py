"""Values that no codec can write, messages that no broker takes, schemas without measure: what is poison goes alone.

poison-values   a third party's adapter, installed by its entry point, with every mistake that an adapter can make; a
                broker that takes packets of up to 100 kB; two lanes, columnar and JSON. Each device counts its polls,
                so the judge, which decodes with other libraries than the gateway, sees from the data what is missing.
poison-schema   65,000 tags in a device, with long Chinese names; and names so long that `xingsha check` refuses them
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import msgpack
import numpy as np
import paho.mqtt.client as mqtt
import zstandard
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.campaign.scenario import Course, Outcome, Scenario, end, wait
from benchmarks.poisonous import POISONS, TIMES
from benchmarks.processes import GATEWAY_ID, ROOT, Broker, Gateway, plant

PACKET: Final = 100_000
"""Bytes of the largest packet that the broker takes."""
BAD: Final = object()
"""Expected where there can be no value."""
EXPECTED: Final[dict[tuple[str, str], Any]] = {
    ("float64", "nan"): math.nan,
    ("float64", "infinite"): math.inf,
    ("float64", "negative infinite"): -math.inf,
    ("float64", "minus zero"): -0.0,
    ("float64", "denormal"): 5e-324,
    ("float64", "googol"): 1e100,
    ("float64", "ten thousand digits"): BAD,
    ("float64", "none"): BAD,
    ("float64", "text"): BAD,
    ("float64", "complex"): BAD,
    ("float64", "list"): BAD,
    ("float64", "numpy nan"): BAD,
    ("float32", "nan"): math.nan,
    ("float32", "infinite"): math.inf,
    ("float32", "too large for 32 bits"): BAD,
    ("float32", "googol"): BAD,
    ("uint64", "largest"): 2**64 - 1,
    ("uint64", "too large"): BAD,
    ("uint64", "negative"): BAD,
    ("int64", "largest"): BAD,
    ("int64", "ten thousand digits"): BAD,
    ("int64", "nan"): BAD,
    ("int64", "infinite"): BAD,
    ("int64", "numpy"): 7,
    ("int16", "half"): BAD,
    ("int16", "decimal"): BAD,
    ("int16", "object"): BAD,
    ("uint8", "googol"): BAD,
    ("bool", "two"): BAD,
    ("bool", "nan"): BAD,
    ("bool", "list"): BAD,
    ("string", "half a surrogate pair"): BAD,
    ("string", "pair the wrong way round"): BAD,
    ("string", "bytes"): BAD,
    ("string", "none"): BAD,
    ("string", "nan"): BAD,
    ("string", "zero byte"): "a\0b",
    ("string", "empty"): "",
    ("string", "other scripts"): POISONS["other scripts"],
    ("bytes", "bytes"): b"\xff\x00",
    ("bytes", "text"): BAD,
}
"""What arrives, by type and poison."""
_DTYPES: Final = {
    "bool": "u1", "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4",
    "int64": "<i8", "uint64": "<u8", "float32": "<f4", "float64": "<f8",
}  # fmt: skip
BAD_FROM: Final = 0x80


def values(course: Course, folder: Path) -> Outcome:
    """Everything at once: what is sound beside it must arrive, poll by poll."""
    outcome = Outcome("poison-values")
    install(folder)
    with ExitStack() as stack:
        broker = Broker(folder)
        with broker.log.with_name("mosquitto.conf").open("a") as config:
            config.write(f"max_packet_size {PACKET}\n")
        stack.enter_context(broker)
        books = stack.enter_context(Books(broker.port))
        (folder / "gateway.yaml").write_text(json.dumps(_configuration(course, broker.port), ensure_ascii=False))
        gateway = Gateway(folder, folder / "gateway.yaml")
        gateway.environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{folder}"
        stack.enter_context(gateway)
        wait(lambda: all(books.counts[lane]["sound"] for lane in LANES), 60)
        time.sleep(course.steady + course.outage)
        reached = {lane: max(books.counts[lane]["sound"], default=0) for lane in LANES}
        outcome.recovery = round(wait(lambda: all(max(books.counts[lane]["huge"], default=0) >= reached[lane] > 0
                                                  for lane in LANES), 60), 1)  # fmt: skip
        gateway.stop(30.0)
        code = gateway.process.returncode if gateway.process else None
        books.settle()
        outcome.check("the gateway ends in order", code == 0, f"{code}: {gateway.tail(600)}")
        letters = {lane: len(list((folder / "deadletters" / lane).glob("*"))) for lane in LANES}
        outcome.check("a single value too large is set aside", all(letters.values()), letters)
        log = gateway.log.read_text("utf-8", "replace")
    _judge(outcome, books, log)
    outcome.figures |= {"dead_letters": letters, "bad_values": books.bad, "gaps": len(books.gaps)}
    return outcome


def schema(course: Course, folder: Path) -> Outcome:
    """As many tags as Modbus has registers, under names as long as the file may be; then longer ones."""
    outcome = Outcome("poison-schema")
    with plant(course.setting(connection={"timeout": "10s"}), folder) as run:
        file = folder / "gateway.yaml"
        plain = json.loads(file.read_text())
        _rename(plain, LONGEST_NAME, file)
        code, said = _check(file)
        plain_words = code == 1 and said.count("\n") <= 2 and "Traceback" not in said
        outcome.check("what is too much is refused with one message", plain_words, f"{code}: {said[:500]}")
        outcome.figures["refused"] = said.strip().splitlines()[0][-200:] if said.strip() else ""
        name = (LARGEST_FILE // course.registers - 150) // 3 if course.outage > 30 else 20
        _rename(plain, name, file)
        began = time.monotonic()
        code, said = _check(file)
        outcome.figures |= {"name_characters": name, "file_mb": round(file.stat().st_size / 1e6, 1),
                            "check_s": round(time.monotonic() - began, 1)}  # fmt: skip
        outcome.check("what is large is good", code == 0, f"{code}: {said[:500]}")
        run.gateway.start()
        outcome.recovery = round(run.wait_for_data(300.0), 1)
        time.sleep(course.steady + course.outage)
        report = end(run, outcome)
        outcome.figures["log"] = run.gateway.tail(300)
    outcome.check("nothing is lost", not report["lost"], f"{report['lost']} points, {report['missing'][:5]}")
    outcome.check("something arrives", report["points"] > 2 * course.devices * course.registers, report["points"])
    return outcome


LONGEST_NAME: Final = 1000
LARGEST_FILE: Final = 64 * 1024 * 1024
"""Bytes that a configuration may have."""


def _rename(configuration: dict[str, Any], characters: int, file: Path) -> None:
    """Write the configuration with long Chinese names for all tags."""
    for number, tag in enumerate(configuration["profiles"]["plain"]["tags"]):
        tag["name"] = "温" * (characters - 6) + f"r{number}"
    file.write_text(json.dumps(configuration, ensure_ascii=False), "utf-8")


def _check(file: Path) -> tuple[int, str]:
    """What `xingsha check` says."""
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "check", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


LANES: Final = ("lane1", "lane2")
SOUND: Final = ("sound", "numbers", "texts", "times", "large", "huge")
"""Devices that bring each poll, whatever else they bring."""


def _judge(outcome: Outcome, books: Books, log: str) -> None:
    for lane in LANES:
        for device in SOUND:
            counts = books.counts[lane][device]
            missing = sorted(set(range(1, max(counts, default=1))) - counts)
            outcome.check(f"{lane}: every poll of {device} arrives", len(counts) > 3 and not missing, missing[:5])
            outcome.lost += len(missing)
        for key, found in books.wrong[lane].items():
            outcome.check(f"{lane}: {key} arrives as it should", False, found)
        told = {gap["device"] for gap in books.gaps if gap["reason"] == "poison" and lane in gap.get("detail", "")}
        outcome.check(f"{lane}: what was set aside is declared as a gap", {"huge", "wide"} <= told, told)
    seen = {key for lane in LANES for key in books.seen[lane]}
    outcome.check("every poison was tried", seen >= EXPECTED.keys(), EXPECTED.keys() - seen)
    outcome.check("what is poison for no reason does not arrive", not books.counts["lane1"]["wide"], "wide arrived")
    parked = [device for device in ("mad", "crashing") if not _parked(log, device)]
    outcome.check("an adapter's bug parks its device", not parked, parked)
    outcome.check("the rest of the log is free of tracebacks", log.count("Traceback") <= 2 * 5, log[-800:])
    outcome.check("no message is unreadable", not books.unreadable, books.unreadable[:3])
    holes = sorted(set(range(1, max(books.seqs, default=1))) - books.seqs)
    outcome.check("no batch is missing in the numbering", not holes, holes[:5])
    outcome.kept = books.points


def _parked(log: str, device: str) -> bool:
    return any("device_parked" in line and device in line for line in log.splitlines())


def _configuration(course: Course, port: int) -> dict[str, Any]:
    count = {"name": "count", "type": "int64", "poison": "count"}
    numbers = [{"name": f"{kind} {poison}", "type": kind, "poison": poison} for kind, poison in EXPECTED]
    tags = {
        "sound": [count],
        "numbers": [count, *(tag for tag in numbers if tag["type"] not in {"string", "bytes"})],
        "texts": [count, *(tag for tag in numbers if tag["type"] in {"string", "bytes"})],
        "times": [count, *({"name": name, "type": "int64", "poison": name} for name in TIMES)],
        "large": [count, *({"name": f"t{n}", "type": "string", "poison": "random 9000"} for n in range(20))],
        "huge": [count, {"name": "t", "type": "string", "poison": f"random {3 * PACKET}"}],
        "wide": [count, *({"name": "温" * 1000 + str(n), "type": "uint8", "poison": "two"} for n in range(100))],
        "mad": [count, {"name": "q", "type": "uint8", "poison": "quality"}],
        "crashing": [count, {"name": "c", "type": "uint8", "poison": "crash"}],
    }
    # those with a bug cost their session; the others share one
    lines = {name: name if name in {"mad", "crashing"} else "shared" for name in tags}
    scan = f"{course.scan * 1000:g}ms"
    to = {"host": "127.0.0.1", "port": port}
    prefix = "xingsha/v1/json/{gateway}"
    topics = {"data": f"{prefix}/data", "schema": f"{prefix}/schema/{{schema}}",
              "status": f"{prefix}/status", "device_status": f"{prefix}/device/{{device}}"}  # fmt: skip
    return {
        "gateway": {"id": GATEWAY_ID},
        "bus": {"kind": "journal", "path": "journal.db"},
        "connections": {
            line: {"adapter": "poisonous", "line": line, "retry": "100ms", "retry_max": "200ms"}
            for line in sorted(set(lines.values()))
        },
        "devices": {
            name: {"connection": lines[name], "description": name, "scan": scan, "report": "always", "tags": found}
            for name, found in tags.items()
        },
        "lanes": {
            "lane1": {"sink": "mqtt", "to": to, "payload": "columnar"},
            "lane2": {"sink": "mqtt", "to": {**to, "topics": topics}, "payload": "json"},
        },
        "observe": {"http": "off", "log_format": "text"},
    }


def install(folder: Path) -> None:
    """Make the poisonous adapter known, as pip would, to whoever has ``folder`` on his path."""
    about = folder / "poisonous-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: poisonous\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[xingsha.adapters]\npoisonous = benchmarks.poisonous\n")


class Books:
    """A platform that takes both payloads, decodes them with libraries of its own, and keeps the books."""

    def __init__(self, port: int) -> None:
        self.counts: dict[str, dict[str, set[int]]] = {lane: defaultdict(set) for lane in LANES}
        """Polls that arrived, by lane and device."""
        self.seen: dict[str, set[tuple[str, str]]] = {lane: set() for lane in LANES}
        self.wrong: dict[str, dict[str, str]] = {lane: {} for lane in LANES}
        self.gaps: list[dict[str, Any]] = []
        self.seqs: set[int] = set()
        self.unreadable: list[str] = []
        self.points = self.bad = self.messages = 0
        self._schemas: dict[bytes, dict[str, Any]] = {}
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "books")
        self._client.on_connect = lambda client, *_: client.subscribe("xingsha/v1/#", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._message
        self._port = port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self._subscribed.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def settle(self) -> None:
        """Wait until nothing has come for a while."""
        before = -1
        while before != self.messages:
            before = self.messages
            time.sleep(0.5)

    def _message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        self.messages += 1
        levels = message.topic.split("/")
        try:
            if levels[2] == "json" and levels[-1] == "data":
                self._json(json.loads(message.payload))
            elif levels[2] != "json" and levels[-1] == "data":
                self._columnar(message.payload)
            elif levels[2] != "json" and levels[-2] == "schema":
                self._schemas[bytes.fromhex(levels[-1])] = msgpack.unpackb(message.payload)
        except Exception as error:  # noqa: BLE001 - a judge notes whatever it cannot read
            self.unreadable.append(f"{message.topic}: {error!r}")

    def _columnar(self, payload: bytes) -> None:
        _version, _gateway, _epoch, seq, _part, _parts, body = msgpack.unpackb(payload)
        frames, gaps = msgpack.unpackb(zstandard.ZstdDecompressor().decompress(body, max_output_size=1 << 28))
        self.seqs.add(seq)
        self.gaps += gaps
        for frame in frames:
            schema = self._schemas[frame[0]]
            for name, kind, value in _cells(schema, frame + [None] * (7 - len(frame))):
                self._cell("lane1", schema["device"], name, kind, value)

    def _json(self, record: dict[str, Any]) -> None:
        for frame in record["frames"]:
            for name, value in frame.get("values", {}).items():
                bad = name in frame.get("quality", {})
                self._cell("lane2", frame["device"], name, name.split()[0], BAD if bad else value)

    def _cell(self, lane: str, device: str, name: str, kind: str, value: Any) -> None:
        self.points += 1
        self.bad += value is BAD
        if name == "count":
            self.counts[lane][device].add(value)
            return
        key = (kind, name.removeprefix(f"{kind} "))
        if key not in EXPECTED:
            return
        self.seen[lane].add(key)
        wanted = EXPECTED[key] if lane == "lane1" or EXPECTED[key] is BAD else _as_json(EXPECTED[key])
        if not (wanted is value or repr(wanted) == repr(value)):
            self.wrong[lane][name] = f"{str(value)[:100]!r}, not {str(wanted)[:100]!r}"


def _as_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return "/wA=" if value == b"\xff\x00" else value


def _cells(schema: dict[str, Any], frame: list[Any]) -> Iterator[tuple[str, str, Any]]:
    """Name, type and raw value of everything in a frame (docs/payload.md)."""
    _, _, columns, index, quality, _, _ = frame
    names = [(name, column["type"]) for column in schema["columns"] for name in column["names"]]
    places = range(len(names)) if index is None else np.frombuffer(index, "<u2").tolist()
    found: list[Any] = []
    for column, packed in zip(schema["columns"], columns, strict=True):
        kind = column["type"]
        found += np.frombuffer(packed, _DTYPES[kind]).tolist() if kind in _DTYPES else packed
    for number, (place, value) in enumerate(zip(places, found, strict=True)):
        name, kind = names[place]
        yield name, kind, BAD if quality is not None and quality[number] >= BAD_FROM else value


SCENARIOS: Final = (
    Scenario(
        "poison-values",
        "an adapter brings NaN, vast numbers, half surrogates, times of no clock, values larger than the broker takes",
        "live data",
        values,
        short=Course(outage=2.0, steady=1.0, scan=0.2),
        long=Course(outage=55.0, steady=5.0, scan=0.2),
    ),
    Scenario(
        "poison-schema",
        "65,000 tags in a device, names as long as a configuration may be",
        "live data",
        schema,
        short=Course(outage=2.0, steady=2.0, scan=1.0, devices=1, registers=65_000),
        long=Course(outage=60.0, steady=10.0, scan=1.0, devices=2, registers=65_000),
    ),
)
