"""`xingsha check` and `xingsha schema`, with the tiny adapter standing where an installed one would."""

import json
import sys
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import check, schema
from gateway.config.reference import page
from gateway.model.faults import ConfigFault

GOOD = """\
gateway: {id: plant-1}
connections:
  line: {adapter: tiny, serial: /dev/ttyS1, baud: %s}
  net: {adapter: tiny, host: 10.0.0.5}
devices:
  press-1: {connection: line, station: 1, tags: [{name: force, type: int16, word: %s}, {name: way, type: int16, word: 2}]}
  press-2: {connection: net, station: 1, tags: [{name: force, type: int16, word: 1}]}
lanes:
  cloud: {to: {host: broker}}
"""


@pytest.fixture
def run(tiny, monkeypatch, tmp_path):
    manifests = {
        name: SimpleNamespace(load=lambda models=models: SimpleNamespace(models=models, adapter=tiny.Adapter))
        for name, models in tiny.adapters.items()
    }
    monkeypatch.setattr("gateway.sdk.manifest.manifests", lambda: manifests)
    monkeypatch.setattr("gateway.collect.forecast.manifests", lambda: manifests)
    sinks = SimpleNamespace(sink_model=tiny.sink_model, sink_ids=lambda: sorted(tiny.sinks))
    monkeypatch.setitem(sys.modules, "gateway.sinks", sinks)
    app = typer.Typer()
    check.register(app)
    schema.register(app)

    def invoke(*arguments, text=None):
        if text is not None:
            (tmp_path / "plant.yaml").write_text(text)
        monkeypatch.chdir(tmp_path)
        return CliRunner().invoke(app, list(arguments))

    return SimpleNamespace(invoke=invoke, manifests=manifests)


def test_a_good_file_gives_a_forecast(run):
    result = run.invoke("check", "plant.yaml", text=GOOD % (9600, 1))
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines() if line.strip()]
    assert lines[0] == ["connection", "devices", "tags", "requests", "bytes", "cycle", "load", "verdict"]
    assert lines[2] == ["line", "1", "2", "2", "30", "51", "ms", "5.1%", "ok"]
    assert lines[3] == ["net", "1", "1", "1", "15", "≈", "10", "ms", "≈", "1.0%", "ok"]
    assert result.output.splitlines()[-1] == "plant.yaml: good; 2 connections, 2 devices, 3 tags, 1 lane"


def test_the_same_for_programs(run):
    result = run.invoke("check", "plant.yaml", "--json", text=GOOD % (9600, 1))
    assert result.exit_code == 0
    found = json.loads(result.output)
    assert (found["good"], found["errors"], found["devices"], found["tags"], found["lanes"]) == (
        True,
        [],
        2,
        3,
        ["cloud"],
    )
    line, net = found["connections"]
    assert (line["connection"], line["verdict"], line["requests"]) == ("line", "ok", 2)
    assert line["groups"][0] == {
        "device": "press-1", "group": "1s", "scan": 1.0, "tags": 2, "requests": 2, "wire_bytes": 30,
        "line_seconds": 0.03125, "answer_seconds": 0.02, "seconds": pytest.approx(0.05125),
    }  # fmt: skip
    assert net["line_load"] == 0


def test_errors_and_exit_code(run):
    text = "gateway: {id: plant 1}\nconnections: {line: {adapter: tinny}}\n"
    result = run.invoke("check", "plant.yaml", text=text)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "plant.yaml:1:15: gateway.id: expected a name without space, quote, backslash, /, +, # or $; got 'plant 1'",
        (
            "plant.yaml:2:31: connections.line.adapter: expected the id of an installed adapter (other, tiny); got 'tinny' "
            "(nearest: tiny)"
        ),
        "plant.yaml: 2 errors",
    ]
    result = run.invoke("check", "plant.yaml", "--json", text=text)
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert found["good"] is False
    assert found["errors"][1] == {
        "file": "plant.yaml", "line": 2, "column": 31, "path": "connections.line.adapter",
        "expected": "the id of an installed adapter (other, tiny)", "got": "'tinny'", "suggestion": "tiny",
        "code": "adapter_unknown", "message": found["errors"][1]["message"],
    }  # fmt: skip


def test_what_an_adapter_refuses_is_an_error_in_its_place(run):
    result = run.invoke("check", "plant.yaml", text=GOOD % (9600, 20_000))
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "plant.yaml:6:50: devices.press-1.tags[0]: tag force: the machine has words 0 to 9999",
        "plant.yaml: 1 error",
    ]


def test_a_line_that_cannot_keep_up_is_refused(run):
    text = (GOOD % (300, 1)).replace("station: 1, tags", "station: 1, scan: 500ms, tags")
    result = run.invoke("check", "plant.yaml", text=text)
    assert result.exit_code == 1
    assert "line: the line would have to be busy 200% of the time" in result.output
    assert result.output.splitlines()[-1].startswith("plant.yaml: the scan rates cannot be met; 2 connections")
    assert "1.02 s" in result.output
    assert json.loads(run.invoke("check", "plant.yaml", "--json").output)["good"] is False


def test_back_to_back(run):
    text = (GOOD % (9600, 1)).replace("station: 1, tags", "station: 1, scan: 0s, tags")
    result = run.invoke("check", "plant.yaml", text=text)
    assert result.exit_code == 0
    assert "back to back" in result.output
    assert json.loads(run.invoke("check", "plant.yaml", "--json").output)["connections"][0]["back_to_back"] is True


def test_a_file_without_connections(run):
    result = run.invoke("check", "plant.yaml", text="gateway: {id: x}")
    assert (result.exit_code, result.output) == (0, "plant.yaml: good; 0 connections, 0 devices, 0 tags, 0 lanes\n")


def test_schema_and_reference(run, tiny):
    result = run.invoke("schema")
    assert result.exit_code == 0
    found = json.loads(result.output)
    assert found["properties"]["connections"]["additionalProperties"]["properties"]["adapter"]["enum"] == [
        "other",
        "tiny",
    ]
    assert run.invoke("schema", "--reference").output == page(tiny.adapters, tiny.sinks)


def test_an_adapter_that_lacks_a_dependency_is_left_out(run):
    def missing():
        raise ConfigFault("adapter other needs the module rare", code="extra_missing")

    run.manifests["other"].load = missing
    result = run.invoke("schema", "--reference")
    assert result.exit_code == 0
    assert "left out: adapter other needs the module rare" in result.stderr
    assert "## Adapter `tiny`" in result.stdout
    assert "## Adapter `other`" not in result.stdout
