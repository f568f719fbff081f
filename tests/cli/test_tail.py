"""`xingsha tail` against a real broker, and what it prints of every kind of event."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import threading

import pytest

from gateway.cli.app import main
from gateway.cli.tail import Printer
from gateway.forward.columnar import Columnar
from gateway.forward.json_payload import JsonPayload
from gateway.model.batch import Batch, Gap, encode_body
from gateway.model.frame import Frame
from gateway.model.schema import Column, Schema, schema_id
from gateway.model.types import DataType
from gateway.sdk.sink import Message
from gateway.sinks import make_sink, sink_model
from gateway.testing.ports import free_port
from tests.mosquitto import Mosquitto
from tests.sinks.authority import Authority

NOON = 1_795_435_200_000_000_000
PRESS = Schema(
    "press-1", "g", (Column(DataType.FLOAT64, ("t", "nan"), units=("°C", "")), Column(DataType.STRING, ("text",)))
)
OVEN = Schema("oven", "g", (Column(DataType.INT16, ("a",)), Column(DataType.BYTES, ("raw",))))
IDS = {one.device: schema_id(one.encode()) for one in (PRESS, OVEN)}


def frames(seq: int) -> list[Frame]:
    return [
        Frame(
            IDS["press-1"],
            NOON + seq * 10**9,
            [struct.pack("<2d", 85.25, float("nan")), ["ok\x1b[2J"]],
            quality=bytes([0, 0, 0x40]),
        ),
        Frame(IDS["oven"], NOON, [struct.pack("<h", seq), [b"\x00\xff"]], quality=bytes([0x81, 0])),
    ]


def message(seq: int, gaps: list[Gap] = [], payload=Columnar) -> bytes:
    batch = Batch(1, seq, encode_body(frames(seq), gaps), 2, 5, NOON, NOON, tuple(IDS.values()))
    return payload("gw").encode(batch, 1 << 20, {IDS[one.device]: one.encode() for one in (PRESS, OVEN)}).parts[0]


def printer(**settings) -> tuple[Printer, list[str], list[str]]:
    out, err = [], []
    return Printer(settings.pop("devices", frozenset()), out=out.append, err=err.append, **settings), out, err


def ready(**settings):
    found = printer(**settings)
    for one in (PRESS, OVEN):
        found[0].take("s", one.encode())
    return found


def test_for_people():
    given, out, err = ready()
    given.take("d", message(1))
    assert out == [
        "2026-11-23 12:00:01.000  press-1  t  85.25 °C",
        "2026-11-23 12:00:01.000  press-1  nan  nan",
        "2026-11-23 12:00:01.000  press-1  text  ok\\x1b[2J  [out_of_range]",
        "2026-11-23 12:00:00.000  oven  a  –  [timeout]",
        "2026-11-23 12:00:00.000  oven  raw  00 ff",
    ]
    given.summary()
    assert err == ["5 values in 1 batches, 0 missing, 0 gaps declared, 0 duplicates, 0 unreadable"]


def test_for_programs():
    given, out, _ = ready(as_json=True, devices=frozenset({"press-1"}))
    given.take("d", message(1))
    records = [json.loads(line) for line in out]
    assert records[0] == {"gateway": "gw", "epoch": 1, "seq": 1, "device": "press-1", "tag": "t", "value": 85.25,
                          "quality": "good", "time": NOON + 10**9, "unit": "°C", "clock": 0}  # fmt: skip
    assert [record["value"] for record in records] == [85.25, "NaN", "ok\x1b[2J"]


def test_whatever_is_not_as_it_should_be():
    given, _, err = ready()
    given.take("d", message(1))
    given.take("d", message(1))
    given.take("d", message(5))
    given.take("d", message(3))
    gap = Gap("overflow", NOON, NOON + 30 * 10**9, "press-1", "g", 12, 2, 4, 1, "the disk was full")
    given.take("d", message(6, [gap]))
    given.take("d", message(7, [Gap("restart", NOON, 2**62)]))
    given.take("x/\x1b", b"\x97")
    given.take("xingsha/v1/gw/status", b'{"gateway": "gw", "online": false}')
    assert err == [
        "! gw: duplicate of batch 1/1, part 0",
        "! gw: missing: 2–4",
        "! gw: missing: 2, 4",
        "! gw: gap (overflow) press-1 g 2026-11-23 12:00:00.000 to 2026-11-23 12:00:30.000 12 missing batches 2–4 the disk was full",
        "! gw: nothing is missing any more",
        f"! gw: gap (restart) 2026-11-23 12:00:00.000 to {'2116-02-20 23:53:38.427'}",
        "! x/\\x1b: cannot be read: Input data was truncated",
        '! {"gateway": "gw", "online": false}',
    ]


def test_json_payload_and_enough():
    given, out, _ = printer(count=2)
    given.take("d", message(1, payload=JsonPayload))
    assert out == ["press-1  t  85.25", "press-1  nan  NaN"]
    assert given.enough


def serve(port: int, *messages: Message, **settings) -> None:
    """Publish after a while, so that tail is there; schemas and data are retained, so it may also be late."""

    async def publish():
        target = make_sink(
            "mqtt", sink_model("mqtt").model_validate({"host": "localhost", "port": port} | settings), "gw", "x"
        )
        async with target.open() as session:
            for one in messages:
                await session.send(one)

    asyncio.run(publish())


ALL = [Message("xingsha/v1/gw/schema/1", PRESS.encode(), True), Message("xingsha/v1/gw/schema/2", OVEN.encode(), True),
       Message("xingsha/v1/gw/data", message(1), True)]  # fmt: skip


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["tail", *map(str, arguments)])
    return ended.value.code


def test_from_a_broker(tmp_path, capsys):
    with Mosquitto(tmp_path) as broker:
        serve(broker.port, *ALL)
        assert run("--host", "127.0.0.1", "--port", broker.port, "--count", 4, "--json") == 0
        found = capsys.readouterr()
        assert [json.loads(line)["tag"] for line in found.out.splitlines()] == ["t", "nan", "text", "a"]
        assert "5 values in 1 batches" in found.err
        assert run("--host", "127.0.0.1", "--port", broker.port, "--device", "oven", "--for", "500ms", "-t", "#") == 0
        assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["oven", "oven"]


def test_broker_that_comes_back(tmp_path, capsys):
    with Mosquitto(tmp_path) as broker:

        def again():
            broker.kill()
            broker.start()
            serve(broker.port, *ALL)

        timer = threading.Timer(0.7, again)
        timer.start()
        assert run("--host", "127.0.0.1", "--port", broker.port, "--count", 1, "--for", "20s") == 0
        timer.join()
        found = capsys.readouterr()
        assert "press-1  t" in found.out
        assert "! " in found.err


def test_nobody_there(capsys):
    assert run("--host", "127.0.0.1", "--port", free_port()) == 1
    assert "error [connect_refused]" in capsys.readouterr().err


def test_tls_user_and_password(tmp_path, capsys, monkeypatch):
    authority = Authority(tmp_path / "ca", "tail")
    cert, key = authority.issue("broker", "DNS:localhost")
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-c", "-b", users, "plant", "s3cret"], check=True, capture_output=True)
    users.chmod(0o644)
    lines = (f"certfile {cert}", f"keyfile {key}", f"password_file {users}", "allow_anonymous false")
    with Mosquitto(tmp_path / "b", *lines) as broker:
        serve(broker.port, *ALL, tls={"ca": authority.cert}, username="plant", password="s3cret")
        options = ["--host", "localhost", "--port", broker.port, "--ca", authority.cert, "-u", "plant", "-n", 1]
        assert run(*options) == 1
        assert "error [auth_refused]" in capsys.readouterr().err
        monkeypatch.setenv("XINGSHA_PASSWORD", "s3cret")
        assert run(*options, "--cert", cert, "--key", key) == 0
        assert "press-1  t" in capsys.readouterr().out
        assert run(*options, "--ca", tmp_path / "ca" / "broker.crt") == 1
