"""The programs that measure, measured: what they sum up, fit, draw and write, and that an RTU run is judged."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import growth, profile, startup, suite
from benchmarks import serial as rtu
from benchmarks.pipeline import sound
from benchmarks.plot import Series, chart
from benchmarks.serial_devices import checksum
from benchmarks.suite import CASES, PAGE, Case, Target, cells, write


def test_a_target_is_judged_by_its_key_and_direction():
    result = {"cpu": 0.2, "latency": {"p99": 14.5}, "rate": 3_000_000}
    assert Target("cpu", 0.3, "µs").judge(result)["met"]
    assert not Target("latency.p99", 14.0, "ms").judge(result)["met"]
    assert (
        Target("rate", 2_500_000, "points/s", at_least=True).judge(result)["words"]
        == "3,000,000 (target ≥ 2,500,000 points/s)"
    )
    assert not Target("latency.p50", 7.0, "ms").judge(result)["met"]
    assert not Target("nothing.at.all", 7.0, "ms").judge({"nothing": None})["met"]


def test_a_row_shows_loss_and_a_missed_target():
    result = {
        "points_read_per_s": 100_000, "cpu_percent": 1.0, "cpu_us_per_point_read": 0.0996, "rss_peak_mb": 80.4,
        "lost": 1, "wrong": 2, "duplicated": 3, "latency_since_answer_ms": {"p50": 100.4, "p99": 120.6},
        "targets": [Target("cpu_percent", 0.5, "%").judge({"cpu_percent": 1.0})],
    }  # fmt: skip
    row = cells(Case("n", "title", lambda *_: {}), result)
    assert row == ["title", "100,000", "1.0", "0.100", "–", "80", "100 / 121", "1/2/3", "**missed** 1 (target ≤ 0.5 %)"]
    assert len(row) == len(suite.HEADS)


def test_the_page_has_a_place_for_each_table_and_keeps_the_rest():
    page = PAGE.read_text()
    for name in ("suite", "profile", "growth"):
        once = write(page, name, "| a |")
        assert "\n| a |\n" in once
        assert write(once, name, "| b |") == write(page, name, "| b |")
    with pytest.raises(ValueError, match="no markers"):
        write(page, "nonsense", "| a |")


def test_every_case_has_a_name_of_its_own_and_the_whole_fits_in_eight_minutes():
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(case.seconds for case in CASES) < 200


def test_a_sample_belongs_to_the_innermost_step():
    loop = "main (gateway/cli/app.py:9);run (asyncio/runners.py:118)"
    stacks = Counter({
        loop: 5,
        f"{loop};poll (gateway/collect/endpoint.py:5);frames (gateway/collect/normalise.py:70)": 3,
        f"{loop};poll (gateway/collect/endpoint.py:5);sleep (asyncio/tasks.py:1)": 2,
    })  # fmt: skip
    found = profile.summed(stacks)
    assert found["steps"] == {
        profile.LOOP: 0.5,
        "normalise: gather, compare, pack": 0.3,
        "endpoint: schedule, queue, states": 0.2,
    }
    assert profile.WAITING.search("_bootstrap (threading.py:1);_worker (concurrent/futures/thread.py:81)")
    assert not profile.WAITING.search("_worker (concurrent/futures/thread.py:83);apply (gateway/bus/journal.py:1)")


def runs(poll: float, point: float) -> list[dict]:
    found = []
    for step in growth.STEPS:
        polls, points = step.devices, step.devices * step.tags
        found.append({
            "sweep": step.sweep, "devices": step.devices, "tags": step.tags, "lanes": step.lanes,
            "points_read_per_s": points, "cpu_percent": (polls * poll + points * point) / 1e4,
            "cpu_us_per_point_read": (polls * poll + points * point) / points,
            "rss_peak_mb": 60 + step.devices * 0.01 + points * 40e-6, "lost": 0, "wrong": 0, "duplicated": 0,
        })  # fmt: skip
    return found


def test_the_model_finds_the_costs_that_made_the_figures():
    model = growth.Model.of(runs(36.0, 0.05))
    assert model.poll_us == pytest.approx(36.0)
    assert model.point_us == pytest.approx(0.05)
    assert (model.base_mb, model.device_kb, model.tag_bytes) == pytest.approx((60, 10, 40))
    assert model.cores(1000, 20, 1.0) == pytest.approx(0.037)
    assert model.devices(0.5, 20, 1.0) == 14_000
    text = growth.markdown(runs(36.0, 0.05))
    assert "a poll costs 36 µs" in text
    assert "1,300,000 devices" in text


def test_the_plot_is_svg_with_all_points():
    drawn = ET.fromstring(growth.picture(runs(36.0, 0.05)))
    circles = drawn.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 8 + 8 + 3 + 3
    assert chart([("one", "x", [Series("s", [(1, 0.0)])])]).count("<circle") == 1


def test_the_checksum_is_the_standards():
    assert checksum(bytes.fromhex("010300000002")) == bytes.fromhex("c40b")


def test_rtu_is_read_through_a_real_terminal_and_verified(tmp_path: Path):
    result = rtu.measure(tmp_path, 1.0, lines=2, units=2)
    assert sound(result), result["notes"]
    assert result["requests_per_s"] > 10
    assert result["cpu_us_per_request"] > 0


def test_a_start_is_timed_from_exec_to_commit_to_delivery(tmp_path: Path):
    result = startup.measure(3, 20, 1, tmp_path, 0.2)
    assert sound(result), result["notes"]
    assert 0 < result["first_commit_s"] <= result["all_delivered_s"]
