"""The benchmark itself, in short, with the real gateway; and that it tells a sound run from one that is not."""

import json

import pytest

from benchmarks import pipeline
from benchmarks.pattern import Pattern, parse_change
from benchmarks.processes import Setting

PROMISED = {
    "points_per_s", "cpu_us_per_point", "cpu_us_per_point_read", "cpu_percent", "rss_mb", "bytes_per_point", "lost",
    "duplicated", "wrong", "latency_ms",
}  # fmt: skip


def run(capsys, *arguments: str) -> tuple[int, dict]:
    code = pipeline.main(["--devices=4", "--registers=250", "--seconds=1", "--warm-up=0.5", *arguments])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--change=all", "--rate=max", "--json"],
        ["--change=1%", "--rate=100ms"],
        ["--change=all", "--rate=100ms", "--units-per-port=2", "--lanes=2", "--json"],
        ["--change=all", "--rate=100ms", "--floor", "--pipeline=1", "--json"],
        ["--change=all", "--rate=max", "--workers=2", "--core-share=20%", "--json"],
    ],
)
def test_a_short_run_is_sound(capsys, arguments):
    code, result = run(capsys, *arguments)
    assert code == 0, result["notes"]
    assert result.keys() >= PROMISED
    assert (result["lost"], result["duplicated"], result["wrong"]) == (0, 0, 0)
    assert result["points_per_s"] > 0
    assert 0 < result["cpu_us_per_point_read"] <= result["cpu_us_per_point"] * 1.2
    assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"] < 20_000
    assert result["rss_mb"] > 1
    assert result["workload"]["devices"] == 4
    assert result["connections"] == (2 if "--units-per-port=2" in arguments else 4)


@pytest.mark.parametrize(
    "fault", ["lost", "duplicated", "wrong", "unreadable", "holes", "refused_requests", "exit_code"]
)
def test_a_run_with_a_fault_is_not_sound(fault):
    keys = ("lost", "duplicated", "wrong", "unreadable", "bad_quality", "holes", "refused_requests", "exit_code")
    good = dict.fromkeys(keys, 0) | {"points_in_all": 5}
    assert pipeline.sound(good)
    assert not pipeline.sound(good | {fault: 1})
    assert not pipeline.sound(good | {"points_in_all": 0})


def test_without_mosquitto_there_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert pipeline.main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: mosquitto is not installed: apt-get install mosquitto\n")


@pytest.mark.parametrize("wrong", [["--rate=fast"], ["--change=some"], ["--registers=130"], ["--devices=0"]])
def test_options_that_make_no_sense(capsys, wrong):
    with pytest.raises(SystemExit) as ended:
        pipeline.main(wrong)
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err.splitlines()[-1]


def test_devices_may_share_connections():
    setting = Setting(Pattern(5, 20, parse_change("all")), units_per_port=2, lanes=2)
    found = setting.configuration([1001, 1002, 1003], 1883)
    assert [(device["connection"], device["unit"]) for device in found["devices"].values()] == [
        ("c0", 1), ("c0", 2), ("c1", 1), ("c1", 2), ("c2", 1),
    ]  # fmt: skip
    assert [connection["port"] for connection in found["connections"].values()] == [1001, 1002, 1003]
    assert found["lanes"]["lane2"]["to"]["topics"]["schema"] == "xingsha/v1/lane2/{gateway}/schema/{schema}"
