"""What the reference agent has said, in three versions of it, played back: see `recording`."""

import email
import io
import random
import re
from functools import cache
from http.client import HTTPResponse, IncompleteRead
from xml.etree import ElementTree as ET

import pytest

from adapters.mtconnect.codec import Response
from adapters.mtconnect.document import parse
from adapters.mtconnect.tests.conftest import until
from adapters.mtconnect.tests.platform import at_platform
from adapters.mtconnect.tests.playing import Player
from adapters.mtconnect.tests.recording import FOLDER, load
from adapters.mtconnect.tests.reference import moment
from gateway.observe.status import DeviceState
from gateway.sdk import LinkLost

VERSIONS = {"1.8.0.3": "1.8", "2.2.0.17": "1.7", "2.5.0.11": "2.5"}
"""Of agents → of the schema of their documents."""
LIMIT = 1 << 20
CHAPTERS = ("begins", "was started anew", "resumes", "has lost the rest", "was overrun")
"""Sessions; after the last the agent refuses several things."""


@cache
def recorded(version):
    return load(FOLDER / f"cppagent-{version}.json")


each_version = pytest.mark.parametrize("version", VERSIONS)


def test_every_recording_is_played_back():
    assert sorted(path.name for path in FOLDER.iterdir()) == [f"cppagent-{version}.json" for version in VERSIONS]
    for version, schema in VERSIONS.items():
        exchanges = recorded(version)
        assert tuple(dict.fromkeys(one.chapter for one in exchanges if one.chapter != "refuses")) == CHAPTERS
        for one in exchanges:
            assert f' version="{version}"'.encode() in one.answer
            assert set(re.findall(rb'"urn:mtconnect.org:MTConnect\w+:([\d.]+)"', one.answer)) == {schema.encode()}
            assert set(b"".join(re.findall(rb'sender="([^"]*)"', one.answer))) == set(b"x"), "the name of a host"


# The same bytes, read by the adapter and by others


class Bytes:
    def __init__(self, data):
        self.data = data

    def makefile(self, _mode):
        return io.BytesIO(self.data)


def as_others_read(exchange):
    """Status, whole or not, documents: by http, email and ElementTree of Python."""
    response = HTTPResponse(Bytes(exchange.answer))
    response.begin()
    whole = True
    try:
        body = response.read()
    except IncompleteRead as error:
        whole, body = False, error.partial
    kind = response.headers["content-type"]
    if not kind.startswith("multipart/"):
        return response.status, whole, [contents(body)]
    parts = email.message_from_bytes(f"Content-Type: {kind}\n\n".encode() + body).get_payload()
    return response.status, whole, [contents(part.get_payload(decode=True)) for part in parts]


def local(element):
    return element.tag.rpartition("}")[2]


def contents(document):
    root = ET.fromstring(document)
    header = next(child for child in root if local(child) == "Header").attrib
    items, observations = [], []
    for machine in [child for group in root if local(group) == "Devices" for child in group]:
        for item in [found for found in machine.iter() if local(found) == "DataItem"]:
            named = (item.get(key, "") for key in ("id", "name", "category", "type", "units", "representation"))
            items.append((machine.get("name"), machine.get("uuid"), *named))
    for group in [found for found in root.iter() if local(found) in {"Samples", "Events", "Condition"}]:
        for one in group:
            told = (one.get("dataItemId"), int(one.get("sequence")), one.get("timestamp"))
            condition = ("", "")
            if local(group) == "Condition":
                condition = local(one), one.get("conditionId") or one.get("nativeCode", "")
            observations.append((*told, None if len(one) else one.text or "", *condition))
    return (
        local(root),
        tuple(int(header.get(key, 0)) for key in ("instanceId", "firstSequence", "nextSequence", "bufferSize")),
        items,
        observations,
        [(one.get("errorCode"), one.text) for one in root.iter() if local(one) == "Error"],
    )


def as_we_read(exchange, pieces):
    documents = []
    response = Response(LIMIT, documents.append if exchange.streams else None)
    for piece in pieces:
        assert response.feed(piece) is response.complete
    if not exchange.streams:
        documents = [bytes(response.body)]
    return response.status, response.complete, [plain(parse(one)) for one in documents]


def plain(document):
    items = [(item.device, item.uuid, *item[3:]) for item in document.items]
    return document.kind, document.header[:4], items, list(map(tuple, document.observations)), document.errors


def split(data, seed):
    """Whole, byte by byte, or anyhow."""
    if seed == "whole":
        return [data]
    if seed == "bytes":
        return [data[at : at + 1] for at in range(len(data))]
    drawn = random.Random(seed)
    ends = sorted(drawn.sample(range(1, len(data)), drawn.randint(1, min(200, len(data) - 1))))
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@each_version
@pytest.mark.parametrize("seed", ["whole", "bytes", 1, 2, 3, 4])
def test_it_is_read_as_others_read_it(version, seed):
    for exchange in recorded(version):
        assert as_we_read(exchange, split(exchange.answer, seed)) == as_others_read(exchange), exchange.target


@each_version
def test_the_last_byte_counts(version):
    for exchange in recorded(version):
        if not exchange.streams:
            response = Response(LIMIT)
            assert not response.feed(exchange.answer[:-1])
            assert response.feed(exchange.answer[-1:])
            assert response.closes is exchange.closed


@each_version
def test_what_it_has(version):
    answer = Response(LIMIT)
    answer.feed(recorded(version)[0].answer)
    items = {item.id: item for item in parse(bytes(answer.body)).items}
    x, force = items["l_x"], items["p_force"]
    assert (x.path, x.category, x.type, x.units) == ("lathe/controller/path/Xabs", "SAMPLE", "POSITION", "MILLIMETER")
    assert (force.path, force.uuid, force.units) == ("press/force", "uuid-press", "NEWTON")
    assert {"l_avail", "l_exec", "l_parts", "l_msg", "l_at", "l_volts", "l_vars", "l_sys", "p_avail"} < set(items)
    assert items["agent_avail"].path == "Agent/agent_avail"


@each_version
def test_what_it_refuses(version):
    said = {one.target: as_we_read(one, [one.answer]) for one in recorded(version) if one.chapter == "refuses"}
    unknown = 400 if version.startswith("1.") else 404
    assert {target: (status, documents[0][-1][0][0]) for target, (status, _, documents) in said.items()} == {
        "/nothing": (unknown, "INVALID_REQUEST"),
        "/nowhere/probe": (404, "NO_DEVICE"),
        "/sample?from=1&count=10": (400, "OUT_OF_RANGE"),
        "/sample?from=99999999&count=10": (400, "OUT_OF_RANGE"),
        "/sample?count=99999": (400, "OUT_OF_RANGE"),
        "/current?path=//DataItem[": (400, "INVALID_XPATH"),
        "/current?at=1": (400, "OUT_OF_RANGE"),
    }


# The adapter at work on them

KINDS = {"Xabs": "float64", "exec": "string", "parts": "int64", "msg": "string", "at": "string", "volts": "string"}
KINDS |= {"vars": "string", "sys": "uint8"}
SETTINGS = {"count": 40, "interval": "500ms", "heartbeat": "1s", "timeout": "5s"}
LATHE = {
    1: {"Xabs": -0.125, "exec": "ACTIVE", "parts": 1207, "at": "1.5 -2 3"},
    2: {"msg": "door <open> & 门"},
    3: {"volts": "1 2.5 3"},
    4: {"vars": "undecodable"},
    6: {"sys": 0},
    7: {"sys": 1},
    8: {"sys": 2},
    9: {"sys": 2},
    10: {"sys": 2},
    11: {"sys": 1},
    12: {"parts": "not_available"},
}
"""Changes of its first life, by their number."""


def by_time(feed, *, replayed):
    """Values that were told, by the number of the change; those that the agent has set by itself are left out."""
    numbers, found = {moment(number): number for number in range(1000)}, {}
    for values, time, again in feed.samples:
        if time in numbers and again is replayed:
            found.setdefault(numbers[time], {}).update(values)
    return found


def counted(numbers):
    return {number: {"parts": number, "Xabs": number / 4} for number in numbers}


def pressed(numbers):
    return {number: {"force": number * 2} for number in numbers}


MISSED = {61: {"sys": 1}, 62: {"sys": 2}, 63: {"exec": "READY"}}
SESSIONS = {
    "begins": (12, {}, LATHE, {}, {5: {"force": 42}}),
    "was started anew": (31, {}, counted((30, 31)), {}, pressed((30, 31))),
    "resumes": (
        65, counted([*range(32, 61), 64]) | MISSED, counted((64, 65)) | MISSED,
        pressed([*range(32, 61), 64]), pressed((64, 65)),
    ),
    "has lost the rest": (111, {}, counted((110, 111)) | MISSED, {}, pressed((110, 111))),
    "was overrun": (411, {}, counted((410, 411)) | MISSED, {}, pressed((410, 411))),
}  # fmt: skip
"""Chapter → its last change; what is replayed, and what is told as it is, of the lathe and of the press."""


@each_version
def test_sessions(run, kit, version):
    exchanges = [one for one in recorded(version) if one.chapter != "refuses"]
    streamed = {one.chapter: one.answer.count(b"<MTConnectStreams ") for one in exchanges if one.streams}

    async def listen(player, made, chapter):
        last, *expected = SESSIONS[chapter]
        lathe = kit.feed(*(kit.tag(name, kind) for name, kind in KINDS.items()), kit.tag("none"), device="lathe")
        press = kit.feed(kit.tag("force", "int32"), device="uuid-press")
        async with kit.subscribed(made, lathe, press) as task:
            await until(lambda: any(last in by_time(feed, replayed=False) for feed in (lathe, press)))
            await until(lambda: lathe.signs == press.signs == 1 + streamed[chapter])
            assert lathe.settled == press.settled == [chapter != "resumes"]
            if chapter != "has lost the rest":
                player.hang_up()
            with pytest.raises(LinkLost, match="cannot go on" if chapter == "has lost the rest" else None):
                await task.future
        found = [by_time(feed, replayed=again) for feed in (lathe, press) for again in (True, False)]
        assert found == expected
        assert lathe.last["none"] == "address_refused"
        assert not lathe.faults
        if chapter == "begins":
            first = {name: value for values, *_ in reversed(lathe.samples) for name, value in values.items()}
            assert {name for name, value in first.items() if value == "not_available"} == set(KINDS)
        if chapter == "was started anew":
            bad = {name for name, value in lathe.last.items() if value == "not_available"}
            assert bad == set(KINDS) - {"parts", "Xabs"}

    async def work():
        async with Player(exchanges) as player:
            made = kit.adapter(player, **SETTINGS)
            for chapter in CHAPTERS:
                await listen(player, made, chapter)
            assert (player.refused, list(player.left)) == ([], [])

    run(work)


CONFIGURATION = """
gateway: {{id: hall-5}}
observe: {{http: "off"}}
bus: {{path: {path}, linger: 20ms}}
connections:
  agent: {{adapter: mtconnect, host: 127.0.0.1, port: {port}, retry: 50ms, count: 40, interval: 500ms, heartbeat: 1s}}
devices:
  lathe: {{connection: agent, device: lathe, tags: [{{name: parts, address: parts, type: int64}}]}}
  press: {{connection: agent, device: press, tags: [{{name: force, address: p_force, type: int32}}]}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {broker}}}}}
"""


@each_version
def test_from_recording_to_platform(run, tmp_path, version):
    async def work():
        exchanges = [one for one in recorded(version) if one.chapter != "refuses"]
        async with Player(exchanges) as player, at_platform(tmp_path, CONFIGURATION, player.port) as here:
            for chapter, lost in zip(CHAPTERS, (0, 1, 1, 2, 3), strict=True):
                number, factors = SESSIONS[chapter][0], (("parts", 1), ("force", 2))
                if chapter == "begins":
                    await until(lambda: here.heard("force") == [(42, moment(5))])
                    await until(lambda: here.heard("parts") == [(1207, moment(1))])
                else:
                    await until(lambda: all((number * by, moment(number)) in here.heard(tag) for tag, by in factors))
                expected = ["lathe"] * lost + ["press"] * lost
                await until(lambda expected=expected: sorted(gap.device for gap in here.gaps) == expected)
                if chapter not in {"has lost the rest", CHAPTERS[-1]}:
                    player.hang_up()
            assert {one.state for one in here.gateway.status().devices} == {DeviceState.UP}
            await here.stop()
            assert (player.refused, list(player.left)) == ([], [])
            numbers = [*range(30, 61), 64, 65, 110, 111, 410, 411]
            assert here.heard("parts") == [(1207, moment(1)), *((number, moment(number)) for number in numbers)]
            assert here.heard("force") == [(42, moment(5)), *((number * 2, moment(number)) for number in numbers)]
            assert (len(here.gaps), here.subscriber.reader.report().lost) == (6, 0)

    run(work)
