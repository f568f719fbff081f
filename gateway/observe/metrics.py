"""Prometheus metrics, made from the gateway's status at scrape time: counting costs the hot path nothing.

One table per record says which metrics there are; units stand in the names (seconds, bytes, ratio).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.observe.status import (
    BusStatistics,
    DeviceState,
    DeviceStatus,
    GatewayStatus,
    LaneStatus,
    WorkerStatus,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_COUNTER: Final = CounterMetricFamily
_GAUGE: Final = GaugeMetricFamily
_Kind = type[CounterMetricFamily] | type[GaugeMetricFamily]
_Record = TypeVar("_Record")


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9


DEVICE: Final[Sequence[tuple[_Kind, str, str, Callable[[DeviceStatus], float]]]] = (
    (_GAUGE, "last_good_timestamp_seconds", "Last value of good quality; 0: never", lambda of: _seconds(of.last_good)),
    (_GAUGE, "state_since_timestamp_seconds", "When its state last changed", lambda of: _seconds(of.since)),
    (_COUNTER, "polls", "Polls done", lambda of: of.polls),
    (_COUNTER, "failed_polls", "Polls that brought no value", lambda of: of.failed_polls),
    (_COUNTER, "overruns", "Polls skipped because the one before was not done in time", lambda of: of.overruns),
    (_COUNTER, "dropped_values", "Pushed values for which there was no room", lambda of: of.dropped),
    (_COUNTER, "values_read", "Values read from the machine", lambda of: of.reads),
    (_COUNTER, "points", "Values given to the bus", lambda of: of.points),
    (_COUNTER, "poll_seconds", "Time spent in polls that succeeded", lambda of: of.poll_seconds),
    (_GAUGE, "line_load_ratio", "Share of time its endpoint is busy", lambda of: of.line_load),
)

LANE: Final[Sequence[tuple[_Kind, str, str, Callable[[LaneStatus], float]]]] = (
    (_GAUGE, "connected", "1 while the platform is connected", lambda of: of.connected),
    (_COUNTER, "batches", "Batches acknowledged by the platform", lambda of: of.batches),
    (_COUNTER, "points", "Values acknowledged by the platform", lambda of: of.points),
    (_COUNTER, "payload_bytes", "Payload acknowledged by the platform", lambda of: of.payload_bytes),
    (_GAUGE, "backlog_batches", "Batches committed and not acknowledged", lambda of: of.backlog),
    (_GAUGE, "in_flight_batches", "Batches sent and not acknowledged", lambda of: of.in_flight),
    (_COUNTER, "resent_batches", "Batches sent again after the link was lost", lambda of: of.resent),
    (
        _COUNTER,
        "dead_letters",
        "Batches that the platform rejected and that were set aside",
        lambda of: of.dead_letters,
    ),
    (
        _COUNTER,
        "dead_letters_dropped",
        "Dead letters that there was no room to keep",
        lambda of: of.dead_letters_dropped,
    ),
    (_COUNTER, "connects", "Connections made", lambda of: of.connects),
    (
        _GAUGE,
        "last_delivery_timestamp_seconds",
        "Last acknowledgement; 0: never",
        lambda of: _seconds(of.last_delivery),
    ),
)

BUS: Final[Sequence[tuple[_Kind, str, str, Callable[[BusStatistics], float]]]] = (
    (_COUNTER, "batches", "Batches committed", lambda of: of.batches),
    (_COUNTER, "frames", "Frames committed", lambda of: of.frames),
    (_COUNTER, "points", "Values committed", lambda of: of.points),
    (_COUNTER, "dropped_batches", "Batches given up before every lane had them", lambda of: of.dropped_batches),
    (_COUNTER, "dropped_points", "Values in the batches given up", lambda of: of.dropped_points),
    (_COUNTER, "gaps", "Gap records committed", lambda of: of.gaps),
    (_COUNTER, "commits", "Commits", lambda of: of.commits),
    (_COUNTER, "commit_seconds", "Time spent in commits, fsync included", lambda of: of.commit_seconds),
    (_GAUGE, "depth_batches", "Batches held now", lambda of: of.depth_batches),
    (_GAUGE, "depth_bytes", "Bytes of batches held now", lambda of: of.depth_bytes),
    (_GAUGE, "limit_bytes", "Most bytes of batches kept", lambda of: of.limit_bytes),
    (
        _GAUGE,
        "oldest_timestamp_seconds",
        "Time of the oldest frame held; 0: empty",
        lambda of: _seconds(of.oldest_time),
    ),
    (_GAUGE, "disk_free_bytes", "Bytes free on the journal's file system; 0: no disk", lambda of: of.disk_free),
    (_GAUGE, "full", "1 while the limit or the disk guard holds data back", lambda of: of.full),
    (_COUNTER, "quarantined", "Damaged batches or files set aside", lambda of: of.quarantined),
)


WORKER: Final[Sequence[tuple[_Kind, str, str, Callable[[WorkerStatus], float]]]] = (
    (_GAUGE, "up", "1 while it is at work and answers", lambda of: of.up),
    (_GAUGE, "leftover", "1: there is no such worker any more, its journal is being emptied", lambda of: of.leftover),
    (_COUNTER, "restarts", "Times that it ended by itself and was started again", lambda of: of.restarts),
    (_GAUGE, "devices", "Devices that it reads", lambda of: of.devices),
    (_COUNTER, "cpu_seconds", "User and system CPU time of its process", lambda of: of.cpu_seconds),
    (_GAUGE, "resident_memory_bytes", "Resident memory of its process", lambda of: of.memory_bytes),
)


class StatusCollector(Collector):
    """Turns one status into metric families, each time it is scraped.

    What each worker has for itself, its lanes and its bus, carries the label ``worker`` where there are several.
    """

    def __init__(self, status: Callable[[], GatewayStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """All families, one after the other."""
        status = self._status()
        info = _GAUGE("xingsha_info", "Which gateway this is", labels=("gateway", "version"))
        info.add_metric((status.gateway, status.version), 1)
        yield info
        yield _GAUGE("xingsha_start_timestamp_seconds", "When it was started", value=_seconds(status.started))
        yield _GAUGE(
            "xingsha_clock_trusted", "1 while somebody vouches for the machine's clock", value=status.clock_trusted
        )
        yield _states(status.devices)
        reasons = [((device.name,), device.reason) for device in status.devices]
        yield _reasons("xingsha_device_reason", ("device",), reasons)
        lanes, buses, label = _by_worker(status)
        yield _reasons("xingsha_lane_reason", ("lane", *label), [(names, lane.reason) for names, lane in lanes])
        yield from _families(
            "xingsha_device_",
            ("device", "connection"),
            DEVICE,
            [((of.name, of.connection), of) for of in status.devices],
        )
        yield from _families("xingsha_lane_", ("lane", *label), LANE, lanes)
        yield from _families("xingsha_bus_", label, BUS, buses)
        text = "Hours until the limit is reached at the present rate; absent: never"
        left = _GAUGE("xingsha_bus_hours_left", text, labels=label)
        for names, bus in buses:
            if bus.hours_left is not None:
                left.add_metric(names, bus.hours_left)
        yield left
        if status.workers:
            yield from _families("xingsha_worker_", label, WORKER, [((str(of.number),), of) for of in status.workers])

    def describe(self) -> Iterator[Metric]:
        """Nothing: what there is depends on the configuration, and registering must not ask for a status."""
        return iter(())


_Named = list[tuple[tuple[str, ...], _Record]]


def _by_worker(status: GatewayStatus) -> tuple[_Named[LaneStatus], _Named[BusStatistics], tuple[str, ...]]:
    """Lanes and buses with their labels, and the label that the worker has, if there are several."""
    if not status.workers:
        return [((lane.name,), lane) for lane in status.lanes], [((), status.bus)], ()
    there = [(str(worker.number), worker) for worker in status.workers if worker.bus.kind]
    lanes: _Named[LaneStatus] = [((lane.name, number), lane) for number, worker in there for lane in worker.lanes]
    buses: _Named[BusStatistics] = [((number,), worker.bus) for number, worker in there]
    return lanes, buses, ("worker",)


def _states(devices: Iterable[DeviceStatus]) -> Metric:
    family = _GAUGE(
        "xingsha_device_state",
        "1 for the state the device is in, 0 for the others",
        labels=("device", "connection", "state"),
    )
    for device in devices:
        for state in DeviceState:
            family.add_metric((device.name, device.connection, state.value), float(device.state is state))
    return family


def _reasons(name: str, labels: Sequence[str], reasons: Iterable[tuple[Sequence[str], str]]) -> Metric:
    family = _GAUGE(name, "1 for the code of the fault that holds now; absent: none", labels=(*labels, "reason"))
    for concerned, reason in reasons:
        if reason:
            family.add_metric((*concerned, reason), 1)
    return family


def _families(
    prefix: str,
    labels: Sequence[str],
    table: Sequence[tuple[_Kind, str, str, Callable[[_Record], float]]],
    records: Sequence[tuple[Sequence[str], _Record]],
) -> Iterator[Metric]:
    for kind, name, text, value in table:
        family = kind(prefix + name, text, labels=labels)
        for names, record in records:
            family.add_metric(names, float(value(record)))
        yield family


def registry(status: Callable[[], GatewayStatus]) -> CollectorRegistry:
    """Build a registry of its own: the gateway's metrics, and the process's CPU, memory and open files."""
    metrics = CollectorRegistry()
    metrics.register(StatusCollector(status))
    ProcessCollector(registry=metrics)
    return metrics


def render(metrics: CollectorRegistry) -> bytes:
    """Text exposition format 0.0.4 (see CONTENT_TYPE)."""
    return generate_latest(metrics)
