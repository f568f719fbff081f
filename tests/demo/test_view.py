"""The live view: fits the terminal it is given, computes rates, and tells edges as events, each once."""

import math
from dataclasses import dataclass

import pytest
from rich.cells import cell_len
from rich.console import Console

from gateway.cli.view import RATE_WINDOW, Received, View, duration, hours, number, size
from gateway.model.quality import Quality
from gateway.observe.status import BusStatistics, DeviceState, DeviceStatus, GatewayStatus, LaneStatus

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND


@dataclass
class Reading:
    device: str
    tag: str
    value: object
    quality: int = 0
    unit: str = ""


def status(seconds, *, devices=3, state=DeviceState.UP, reason="", message="", connected=True, per_second=100):
    now = START + round(seconds * SECOND)
    return GatewayStatus(
        "plant-7",
        "1.2.3",
        START,
        now,
        devices=[
            DeviceStatus(
                f"machine-{n}",
                "line",
                state=state if n == 0 else DeviceState.UP,
                reason=reason if n == 0 else "",
                message=message if n == 0 else "",
                last_good=now - SECOND // 2,
                polls=10,
                poll_seconds=0.025,
                reads=int(seconds * per_second),
                points=int(seconds * per_second / 2),
            )
            for n in range(devices)
        ],
        lanes=[
            LaneStatus(
                "cloud",
                connected=connected,
                reason="" if connected else "connection_refused",
                batches=12,
                points=int(seconds * 40),
                payload_bytes=45_600,
                backlog=3,
            )
        ],
        bus=BusStatistics("journal", depth_bytes=1_234_567, hours_left=31.4),
    )


def readings(devices=3, tags=8):
    return [Reading(f"machine-{n}", f"tag_{m}", 1.5 * m, 0, "bar") for n in range(devices) for m in range(tags)]


def screen(view, width, height):
    console = Console(width=width, height=height, color_system=None, force_terminal=True, record=True, file=None)
    with console.capture() as captured:
        console.print(view)
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 40), (200, 60)])
@pytest.mark.parametrize("devices", [1, 3, 6])
def test_fits_the_terminal(width, height, devices):
    view = View()
    for second in range(8):
        reason = "no_answer" if second % 2 else ""
        state = DeviceState.DOWN if second % 2 else DeviceState.UP
        message = "a very long message about a machine that does not answer " * 4
        view.update(
            status(second, devices=devices, state=state, reason=reason, message=message),
            [*readings(devices, 20), Reading("machine-0", "程序名称", "法兰盘" * 20)],
            Received(12, 400),
        )
    lines = screen(view, width, height)
    assert len(lines) <= height
    assert max(cell_len(line) for line in lines) <= width
    text = "\n".join(lines)
    for word in ("machine-0", "● down", "no_answer", "tag_0", "lost 0", "31 h left", "12 batches delivered"):
        assert word in text


def test_starts_before_anything_is_known():
    assert screen(View(), 80, 24) == [View().line().plain] == ["starting …"]
    view = View()
    view.update(GatewayStatus("plant-7", "1", START, START), [])
    assert view.rate("reads") == 0.0
    text = "\n".join(screen(view, 80, 24))
    assert "0 of 0 up" in text
    assert "platform" not in text


def test_rates_are_means_over_the_window():
    view = View()
    for quarter in range(81):
        view.update(status(quarter / 4, per_second=100), [])
    assert view.rate("reads") == pytest.approx(300)
    assert view.rate("points") == pytest.approx(150, rel=0.02)
    assert view.rate("delivered") == pytest.approx(40)
    slow = status(20, per_second=100)
    slow.now += 10 * SECOND  # nothing more was read for ten seconds
    for device in slow.devices:
        device.reads = 2000
    view.update(slow, [])
    later = status(20, per_second=100)
    later.now = slow.now + RATE_WINDOW
    view.update(later, [])
    assert view.rate("reads") == 0.0


def test_a_device_that_joins_counts_from_nought():
    view = View()
    view.update(status(10, devices=1), [])
    view.update(status(12, devices=2), [])
    assert view.rate("reads") == pytest.approx((1200 - 1000 + 1200) / 2)
    assert any("machine-1" in line for line in screen(view, 100, 30))


def test_events_are_edges():
    view = View(alarms=["jammed"])
    for state, jammed, connected in (
        (DeviceState.CONNECTING, False, False),
        (DeviceState.UP, False, True),
        (DeviceState.UP, False, True),
        (DeviceState.UP, True, True),
        (DeviceState.DOWN, True, True),
        (DeviceState.DOWN, False, False),
        (DeviceState.UP, False, True),
    ):
        reason = "no_answer" if state is DeviceState.DOWN else ""
        view.update(
            status(1, devices=1, state=state, reason=reason, message="silence", connected=connected),
            [Reading("machine-0", "jammed", jammed), Reading("machine-0", "running", jammed)],
        )
    assert [text for _, _, text in view.events] == [
        "machine-0 connecting",
        "lane cloud not connected: connection_refused ()",
        "machine-0 up",
        "lane cloud connected",
        "machine-0 jammed",
        "machine-0 down: no_answer (silence)",
        "lane cloud not connected: connection_refused ()",
        "machine-0 no longer jammed",
        "machine-0 up",
        "lane cloud connected",
    ]


def test_an_alarm_that_cannot_be_read_is_no_event():
    view = View(alarms=["jammed"])
    view.update(status(1, devices=1), [Reading("machine-0", "jammed", True)])
    view.update(status(2, devices=1), [Reading("machine-0", "jammed", None, Quality.TIMEOUT)])
    view.update(status(3, devices=1), [Reading("machine-0", "jammed", True)])
    assert [text for _, _, text in view.events if "jammed" in text] == ["machine-0 jammed"]


def test_values_come_in_the_order_asked_for_and_bad_ones_say_why():
    view = View(order={"machine-0": ["second", "first"]})
    view.update(
        status(1, devices=1),
        [
            Reading("machine-0", "other", 3),
            Reading("machine-0", "first", 41.25, Quality.OUT_OF_RANGE, "°C"),
            Reading("machine-0", "second", None, Quality.TIMEOUT),
        ],
    )
    text = "\n".join(screen(view, 120, 30))
    assert text.index("second") < text.index("first") < text.index("other")
    assert "timeout" in text
    assert "41.2 °C" in text


def test_a_lane_that_is_away_and_a_full_buffer_are_plain_to_see():
    view = View()
    away = status(1, connected=False)
    away.bus.full = True
    view.update(away, [], Received(10, 100, lost=2, duplicates=5))
    text = "\n".join(screen(view, 120, 30))
    for word in ("not connected: connection_refused", "FULL", "lost 2", "duplicates 5"):
        assert word in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (True, "yes"),
        (False, "no"),
        (184_506, "184,506"),
        (48_211_930_000, "48211930000"),
        (0.0, "0.00"),
        (6.8423, "6.84"),
        (31.25, "31.2"),
        (231.58, "232"),
        (2431.4, "2,431"),
        (-12.5, "-12.5"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ("", "–"),
        ("O2310 法兰盘", "O2310 法兰盘"),
        (b"\x01\xff", "01 ff"),
    ],
)
def test_numbers_as_people_read_them(value, shown):
    assert number(value) == shown


def test_sizes_times_and_hours():
    assert [size(n) for n in (999, 45_600, 1_234_567, 2_500_000_000, 5e12)] == [
        "999 B", "45.6 kB", "1.2 MB", "2.5 GB", "5000.0 GB",
    ]  # fmt: skip
    assert [hours(n) for n in (None, 0.5, 31.4, 310.0, 100_000.0)] == ["–", "30 min", "31 h", "13 days", "4,167 days"]
    assert [duration(n) for n in (-1, 59.9, 72, 7_300)] == ["0 s", "59 s", "1 min 12 s", "2 h 1 min"]


def test_age_of_the_last_good_value():
    view = View()
    old = status(100)
    old.devices[0].last_good = 0
    old.devices[1].last_good = old.now - 75 * SECOND
    old.devices[2].polls = 0
    view.update(old, [])
    text = "\n".join(screen(view, 140, 30))
    for word in ("never", "1 min 15 s ago", "now", "–"):
        assert word in text


def test_one_line_where_there_is_no_terminal():
    view = View()
    for second in range(4):
        view.update(status(second, state=DeviceState.DOWN if second else DeviceState.UP), [])
    assert view.line().plain[8:] == "  2 of 3 up · 300 values/s read · 12 batches delivered · 3 waiting"
