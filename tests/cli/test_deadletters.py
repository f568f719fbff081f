"""`xingsha deadletters`: list, show, replay through the lane's own sink, discard."""

from __future__ import annotations

import asyncio
import io
import json

import msgspec
import pytest

from gateway.cli.app import main
from gateway.cli.deadletters import spool_folder
from gateway.forward.deadletters import Spool, write_letter
from gateway.forward.payload import Poison
from gateway.reader import Frames, Reader
from gateway.runtime.making import load_configuration
from gateway.testing.ports import free_port
from tests.forward import vectors
from tests.mosquitto import Mosquitto
from tests.platform import Platform, until

SCHEMAS = {vectors.PRESS_ID: vectors.PRESS.encode(), vectors.LIMITS_ID: vectors.LIMITS.encode()}

PLANT = """
gateway: {{id: gw}}
connections:
  line: {{adapter: modbus, host: 127.0.0.1}}
devices:
  press-1: {{connection: line, tags: [{{name: a, address: "hr:0", type: int16}}]}}
lanes:
  cloud: {{to: {{host: 127.0.0.1, port: {port}{more}}}}}
  local: {{payload: json, to: {{host: 127.0.0.1, port: {port}{more}}}}}
"""


@pytest.fixture
def plant(tmp_path):
    """A configuration file, and letters of both of its lanes."""
    path = tmp_path / "plant.yaml"

    def write(port: int, more: str = ""):
        path.write_text(PLANT.format(port=port, more=more))
        configuration = load_configuration(path)
        for lane, seq in (("cloud", 1), ("cloud", 2), ("local", 3)):
            batch = vectors.batch(seq, [vectors.WHOLE, vectors.EXTREMES], [vectors.GAP])
            poison = [Poison(vectors.WHOLE, 5, "value_too_large", "too large")] if seq == 2 else []
            letter = write_letter(
                "gw", lane, batch, SCHEMAS, code="payload_refused", reason="not wanted", poison=poison
            )
            assert Spool(spool_folder(configuration, lane)).put(letter)
        return path

    return write


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["deadletters", *map(str, arguments)])
    return ended.value.code or 0


def names(capsys, path) -> list[str]:
    assert run("list", path, "--json") == 0
    return [json.loads(line)["letter"] for line in capsys.readouterr().out.splitlines()]


CLOUD_1, CLOUD_2, LOCAL_3 = ("cloud/0000000002-0000000000000000001", "cloud/0000000002-0000000000000000002",
                             "local/0000000002-0000000000000000003")  # fmt: skip


def test_list_and_show(plant, tmp_path, capsys):
    path = plant(1883)
    assert names(capsys, path) == [CLOUD_1, CLOUD_2, LOCAL_3]
    assert run("list", path, "--lane", "cloud") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "payload_refused" in lines[1]
    assert "not wanted" in lines[1]
    assert run("show", path, CLOUD_2) == 0
    text = capsys.readouterr().out
    assert "temperature = 85.3 °C good" in text
    assert "int64_min" not in text
    assert run("show", path, CLOUD_1) == 0
    text = capsys.readouterr().out
    assert "int64_max = 9223372036854775807" in text
    assert "Gap(reason='outage'" in text


def test_damage_is_listed(plant, tmp_path, capsys):
    path = plant(1883)
    (tmp_path / "var/deadletters" / f"{CLOUD_1}.dead").write_bytes(b"{}")
    assert run("list", path) == 0
    assert "damaged" in capsys.readouterr().out
    assert run("show", path) == 0
    assert '"damaged"' in capsys.readouterr().out


def test_a_letter_without_its_schema_is_still_shown(plant, tmp_path, capsys):
    path = plant(1883)
    letter = write_letter("gw", "local", vectors.batch(9, [vectors.WHOLE], []), {}, code="x", reason="y")
    Spool(tmp_path / "var/deadletters/local").put(msgspec.structs.replace(letter))
    assert run("show", path, "--lane", "local") == 0
    assert f"schema {vectors.PRESS_ID.hex()} that cannot be read" in capsys.readouterr().out


def test_names_that_are_not_there(plant, capsys):
    path = plant(1883)
    assert run("show", path, "cloud/7") == 1
    assert "no dead letter 'cloud/7'" in capsys.readouterr().err
    assert run("list", path, "--lane", "clod") == 1
    assert "no lane 'clod'" in capsys.readouterr().err


def test_replay(plant, tmp_path, capsys):
    with Mosquitto(tmp_path / "broker") as broker, Platform(broker.port) as platform:
        path = plant(broker.port)
        assert run("replay", path, CLOUD_2, "--keep") == 0
        assert capsys.readouterr().out == f"{CLOUD_2}: delivered\n"
        assert run("replay", path, "--lane", "cloud") == 0
        assert capsys.readouterr().out.splitlines()[-2:] == [f"{CLOUD_1}: delivered", f"{CLOUD_2}: delivered"]
        assert names(capsys, path) == [LOCAL_3]
        assert run("replay", path) == 0
        assert capsys.readouterr().out == f"{LOCAL_3}: delivered\n"
        assert run("list", path) == 0
        assert "no dead letters" in capsys.readouterr().out
        asyncio.run(until(lambda: len(platform.sizes) == 4))
    assert sorted(set(platform.seqs)) == [1, 2, 3]
    assert any("/schema/" in topic for topic in platform.topics)
    assert not any("/status" in topic for topic in platform.topics), (
        "a replay does not say that the gateway is off line"
    )
    assert platform.reader.report().duplicates == 1


def test_replay_of_what_a_worker_set_aside(plant, tmp_path, capsys):
    with Mosquitto(tmp_path / "broker") as broker, Platform(broker.port) as platform:
        path = plant(broker.port)
        batch = vectors.batch(8, [vectors.WHOLE], [])
        of_worker = write_letter("gw.2", "local", batch, SCHEMAS, code="payload_refused", reason="no")
        assert Spool(tmp_path / "var/deadletters/local", mark="-2").put(of_worker)
        assert run("replay", path, "local/0000000002-0000000000000000008-2") == 0
        asyncio.run(until(lambda: len(platform.sizes) == 1))
    assert {topic.split("/")[2] for topic in platform.topics} == {"gw"}
    assert list(platform.reader.report().journals) == [("gw.2", 2)]


def test_replay_of_what_is_refused_or_damaged(plant, tmp_path, capsys):
    with Mosquitto(tmp_path / "broker", "allow_anonymous true", "max_packet_size 420") as broker:
        path = plant(broker.port)
        (tmp_path / "var/deadletters" / f"{CLOUD_1}.dead").write_bytes(b"{}")
        assert run("replay", path) == 1
        found = capsys.readouterr().out
        assert f"{CLOUD_1}: damaged" in found
        assert f"{LOCAL_3}: refused again" in found
        assert LOCAL_3 in names(capsys, path)


def test_replay_while_nobody_is_there(plant, capsys):
    path = plant(free_port())
    assert run("replay", path) == 1
    assert "error [connect_refused]" in capsys.readouterr().err
    assert len(names(capsys, path)) == 3


def test_discard(plant, capsys, monkeypatch):
    path = plant(1883)
    assert run("discard", path, CLOUD_1, "--yes") == 0
    assert "1 letters thrown away" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run("discard", path) == 1
    capsys.readouterr()
    assert names(capsys, path) == [CLOUD_2, LOCAL_3]


def test_vectors_are_readable_by_the_reader():
    reader = Reader()
    for encoded in SCHEMAS.values():
        reader.feed("", encoded)
    assert any(isinstance(event, Frames) for event in reader.feed("", vectors.message(1, [vectors.WHOLE], [])))
