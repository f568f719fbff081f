"""The plant behaves like machines do: it repeats itself by seed, warms up, cycles, counts, fails and recovers."""

import math

import pytest

from gateway.testing.plant import KINDS, Plant
from gateway.testing.plant.compressor import CHANGE_FILTER, DISCHARGE_HOT, LOAD_AT, TRIP_TEMPERATURE, UNLOAD_AT
from gateway.testing.plant.press import OVERLOAD, OVERLOAD_ALARM, Phase


def run(plant, seconds, every=0.1):
    """Values after each ``every`` seconds."""
    for _ in range(round(seconds / every)):
        plant.step(every)
        yield plant.values()


def test_same_seed_same_day_whatever_the_steps():
    one, other = Plant(seed=7), Plant(seed=7)
    for _ in range(1200):
        one.step(0.1)
    for _ in range(80):
        other.step(1.5)
    assert one.values() == other.values()
    assert Plant(seed=8).values() != Plant(seed=7).values()


def test_looking_at_a_machine_does_not_change_its_course():
    watched, alone = Plant(seed=7), Plant(seed=7)
    for _ in run(watched, 60):
        pass
    alone.step(60)
    for name in ("strokes", "state", "good_parts", "cycle_time"):
        assert watched.values()["press-1"][name] == alone.values()["press-1"][name]


def test_time_shorter_than_a_tick_is_not_lost():
    fine, coarse = Plant(seed=3), Plant(seed=3)
    for _ in range(5000):
        fine.step(0.001)
    coarse.step(5.0)
    assert fine.values() == coarse.values()


def test_values_keep_their_types_and_are_finite():
    plant = Plant(seed=1)
    types = {(d, t): type(v) for d, tags in plant.values().items() for t, v in tags.items()}
    for values in run(plant, 120, every=1.0):
        for device, tags in values.items():
            for tag, value in tags.items():
                wanted = types[device, tag]
                assert isinstance(value, int | float) if wanted in {int, float} else type(value) is wanted
                assert not isinstance(value, float) or math.isfinite(value), (device, tag)


def test_press_strokes_follow_the_force_curve_and_count():
    plant = Plant({"press-1": "press"}, seed=2)
    before = plant.values()["press-1"]
    force_by_phase = {phase: [] for phase in Phase}
    for values in run(plant, 60):
        press = values["press-1"]
        force_by_phase[Phase(press["state"])].append(press["force"])
        assert abs(press["oil_pressure"] - 8.0 - press["force"] / 10.0) < 3.0
    after = plant.values()["press-1"]
    assert after["strokes"] - before["strokes"] == (after["good_parts"] - before["good_parts"]) + (
        after["scrap_parts"] - before["scrap_parts"]
    )
    assert 4 <= after["strokes"] - before["strokes"] <= 15
    assert max(force_by_phase[Phase.APPROACH]) < 20.0 < 2000.0 < min(force_by_phase[Phase.DWELL])
    assert 4.0 < after["cycle_time"] < 30.0


def test_press_jams_and_is_freed():
    plant = Plant({"press-1": "press"}, seed=1)
    jams, was, scrap = 0, False, plant.values()["press-1"]["scrap_parts"]
    for values in run(plant, 900):
        press = values["press-1"]
        if press["jammed"]:
            assert press["alarm"] == OVERLOAD_ALARM
            assert not press["guard_closed"]
            assert press["state"] == Phase.JAMMED
            assert press["force"] > OVERLOAD * 0.7
        jams += press["jammed"] and not was
        was = press["jammed"]
    assert 3 <= jams <= 40
    assert press["scrap_parts"] - scrap == jams - was


def test_oil_and_windings_warm_up_towards_a_limit():
    plant = Plant(seed=5)
    cold = plant.values()
    plant.step(1200)
    warm = plant.values()
    plant.step(1800)
    hot = plant.values()
    for device, tag in (("press-1", "oil_temperature"), ("compressor-1", "motor_temperature")):
        assert warm[device][tag] > cold[device][tag] + 5
        assert 30 < hot[device][tag] < 95
    assert warm["cnc-1"]["spindle_temperature"] > cold["cnc-1"]["spindle_temperature"] + 4


def test_compressor_swings_between_its_two_pressures():
    plant = Plant(seed=1)
    plant.step(60)
    edges, loaded = 0, plant.values()["compressor-1"]["loaded"]
    for values in run(plant, 240):
        compressor = values["compressor-1"]
        assert LOAD_AT - 1.6 < compressor["pressure"] < UNLOAD_AT + 0.1
        assert compressor["loaded"] == (compressor["flow"] > 0)
        edges += compressor["loaded"] != loaded
        loaded = compressor["loaded"]
    assert edges >= 6


def test_compressor_trips_cools_its_heels_and_starts_again():
    plant = Plant({"compressor-1": "compressor"}, seed=4)
    trips, was, starts = 0, False, plant.values()["compressor-1"]["starts"]
    for values in run(plant, 5400, every=0.5):
        compressor = values["compressor-1"]
        trips += compressor["tripped"] and not was
        was = compressor["tripped"]
        assert compressor["tripped"] == (compressor["trip"] != 0)
    assert trips >= 3
    assert compressor["starts"] - starts >= trips
    assert compressor["run_hours"] > compressor["load_hours"]


def test_clogged_filter_warns_and_is_changed():
    plant = Plant({"compressor-1": "compressor"}, seed=4)
    plant.machines["compressor-1"]._filter = CHANGE_FILTER - 0.01
    seen = []
    for values in run(plant, 1800, every=10.0):
        seen.append(values["compressor-1"]["filter_warning"])
        assert values["compressor-1"]["filter_dp"] < CHANGE_FILTER + 0.02
    assert seen[0] is True
    assert seen[-1] is False
    assert seen == sorted(seen, reverse=True)


def test_compressor_too_hot_trips_and_says_so():
    plant = Plant({"compressor-1": "compressor"}, seed=4)
    plant.step(5)
    plant.machines["compressor-1"]._discharge = TRIP_TEMPERATURE + 5
    plant.step(0.05)
    values = plant.values()["compressor-1"]
    assert values["tripped"]
    assert values["trip"] == DISCHARGE_HOT


def test_cnc_runs_programs_and_makes_parts():
    plant = Plant({"cnc-1": "cnc"}, seed=1)
    before = plant.values()["cnc-1"]
    programs, tools, alarms = set(), set(), set()
    for values in run(plant, 1500):
        cnc = values["cnc-1"]
        programs.add(cnc["program"])
        tools.add(cnc["tool"])
        if cnc["in_alarm"]:
            alarms.add(cnc["alarm_text"])
            assert cnc["alarm"]
        else:
            assert cnc["alarm_text"] == ""
        assert cnc["spindle_speed"] < 12_100
        assert -40 <= cnc["z"] <= 0
    assert len(programs) == 2
    assert len(tools) >= 5
    assert alarms
    assert 10 < cnc["parts"] - before["parts"] < 120


def test_meter_sees_what_the_machines_take_and_counts_energy():
    plant = Plant(seed=1)
    plant.step(60)
    start = plant.values()["meter-1"]["energy_import"]
    energy = 0.0
    for values in run(plant, 120):
        meter = values["meter-1"]
        energy += meter["active_power"] * 1000 * 0.1 / 3600
        machines = sum(tags["power"] for tags in values.values() if "power" in tags)
        assert machines + 2 < meter["active_power"] < machines + 7
        assert 0.5 < meter["power_factor"] <= 1
        assert sum(meter[f"power_l{n}"] for n in (1, 2, 3)) == pytest.approx(meter["active_power"], abs=0.2)
    counted = plant.values()["meter-1"]["energy_import"] - start
    assert counted == pytest.approx(energy, rel=0.02)
    assert start > 2**32  # does not fit into 32 bits: the profile has to say int64


def test_meter_without_load_and_unknown_kind():
    plant = Plant({"meter-1": "meter"})
    plant.step(10)
    assert plant.values()["meter-1"]["active_power"] > 2
    with pytest.raises(ValueError, match=r"lathe-1: no machine of kind 'lathe'; there are press, "):
        Plant({"lathe-1": "lathe"})
    assert set(KINDS) == {"press", "compressor", "meter", "cnc"}
