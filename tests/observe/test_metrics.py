import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.observe.metrics import BUS, DEVICE, LANE, registry, render
from gateway.observe.status import (
    BusStatistics,
    DeviceState,
    DeviceStatus,
    GatewayStatus,
    LaneStatus,
    WorkerStatus,
)


def sample_status():
    return GatewayStatus(
        gateway="线 1",
        version="0.1.0",
        started=1_700_000_000_000_000_000,
        now=1_700_000_100_000_000_000,
        devices=[
            DeviceStatus(
                "press-1", "hall-a", DeviceState.UP, last_good=1_700_000_099_500_000_000, polls=100, reads=500
            ),
            DeviceStatus(
                'odd "name"\\', "hall-a", DeviceState.DOWN, reason="no_answer", failed_polls=7, line_load=0.25
            ),
        ],
        lanes=[LaneStatus("cloud", connected=True, batches=12, payload_bytes=3456, backlog=2)],
        bus=BusStatistics(kind="journal", points=480, depth_bytes=1234, hours_left=31.5, gaps=3, full=False),
    )


def scrape(status):
    text = render(registry(lambda: status)).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_values_reach_the_scrape():
    found = scrape(sample_status())
    press = (("connection", "hall-a"), ("device", "press-1"))
    odd = (("connection", "hall-a"), ("device", 'odd "name"\\'))
    assert found["xingsha_info", ("gateway", "线 1"), ("version", "0.1.0")] == 1
    assert found["xingsha_start_timestamp_seconds",] == 1_700_000_000
    assert found["xingsha_device_last_good_timestamp_seconds", *press] == 1_700_000_099.5
    assert found["xingsha_device_polls_total", *press] == 100
    assert found["xingsha_device_values_read_total", *press] == 500
    assert found["xingsha_device_failed_polls_total", *odd] == 7
    assert found["xingsha_device_line_load_ratio", *odd] == 0.25
    assert found["xingsha_lane_connected", ("lane", "cloud")] == 1
    assert found["xingsha_lane_payload_bytes_total", ("lane", "cloud")] == 3456
    assert found["xingsha_lane_backlog_batches", ("lane", "cloud")] == 2
    assert found["xingsha_bus_depth_bytes",] == 1234
    assert found["xingsha_bus_gaps_total",] == 3
    assert found["xingsha_bus_full",] == 0
    assert found["xingsha_bus_hours_left",] == 31.5
    assert found["process_cpu_seconds_total",] > 0
    assert found["process_resident_memory_bytes",] > 1e6


def test_what_each_worker_has_for_itself_carries_its_number():
    status = sample_status()
    second = BusStatistics(kind="journal", points=7)
    status.workers = [
        WorkerStatus(1, "线 1", up=True, devices=2, cpu_seconds=1.5, lanes=status.lanes, bus=status.bus),
        WorkerStatus(2, "线 1.2", restarts=3, lanes=[LaneStatus("cloud", reason="link_lost")], bus=second),
        WorkerStatus(3, "线 1.3"),
    ]
    found = scrape(status)
    assert found["xingsha_lane_connected", ("lane", "cloud"), ("worker", "1")] == 1
    assert found["xingsha_lane_connected", ("lane", "cloud"), ("worker", "2")] == 0
    assert found["xingsha_lane_reason", ("lane", "cloud"), ("reason", "link_lost"), ("worker", "2")] == 1
    assert found["xingsha_bus_points_total", ("worker", "1")] == 480
    assert found["xingsha_bus_points_total", ("worker", "2")] == 7
    assert ("xingsha_bus_points_total", ("worker", "3")) not in found, "nothing is known of a bus that is not open"
    assert found["xingsha_bus_hours_left", ("worker", "1")] == 31.5
    assert ("xingsha_bus_hours_left", ("worker", "2")) not in found
    assert [found["xingsha_worker_up", ("worker", number)] for number in "123"] == [1, 0, 0]
    assert found["xingsha_worker_restarts_total", ("worker", "2")] == 3
    assert found["xingsha_worker_cpu_seconds_total", ("worker", "1")] == 1.5
    assert ("xingsha_lane_connected", ("lane", "cloud")) not in found


@pytest.mark.parametrize("state", DeviceState)
def test_a_device_is_in_exactly_one_state(state):
    status = sample_status()
    status.devices[0].state = state
    found = scrape(status)
    ones = {
        dict(labels)["state"]
        for (name, *labels), value in found.items()
        if name == "xingsha_device_state" and dict(labels)["device"] == "press-1" and value == 1
    }
    assert ones == {state.value}


def test_a_reason_is_there_while_it_holds():
    status = sample_status()
    down = ("xingsha_device_reason", ("device", 'odd "name"\\'), ("reason", "no_answer"))
    assert scrape(status)[down] == 1
    status.devices[1].reason = ""
    assert not [name for name, *_ in scrape(status) if name == "xingsha_device_reason"]
    status.lanes[0].reason = "tls_untrusted"
    assert scrape(status)["xingsha_lane_reason", ("lane", "cloud"), ("reason", "tls_untrusted")] == 1


def test_hours_left_is_absent_while_unknown():
    status = sample_status()
    status.bus.hours_left = None
    assert not [name for name, *_ in scrape(status) if name == "xingsha_bus_hours_left"]


def test_an_empty_gateway_can_be_scraped():
    found = scrape(GatewayStatus("g", "0", 0, 0))
    assert all(math.isfinite(value) for value in found.values())


def test_every_number_that_is_counted_is_a_metric():
    """A counter added to a record and forgotten in the table would never be seen by anybody."""
    words = {"reads": "values_read", "dropped": "dropped_values", "last_good": "last_good_timestamp_seconds", "since": "state_since_timestamp_seconds",
             "line_load": "line_load_ratio", "backlog": "backlog_batches", "in_flight": "in_flight_batches",
             "resent": "resent_batches", "last_delivery": "last_delivery_timestamp_seconds",
             "oldest_time": "oldest_timestamp_seconds", "disk_free": "disk_free_bytes"}  # fmt: skip
    elsewhere = {"name", "connection", "state", "reason", "message", "kind", "hours_left"}
    for record, table in ((DeviceStatus, DEVICE), (LaneStatus, LANE), (BusStatistics, BUS)):
        fields = set(record.__slots__) - elsewhere
        if record is LaneStatus:
            fields.discard("since")
        assert {words.get(field, field) for field in fields} == {name for _, name, _, _ in table}
