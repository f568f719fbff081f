"""Sparkplug edge nodes as a host sees them: what was born, what its aliases mean, whether a message is missing.

Sans-io. A node is believed only from its birth on, and only as long as its messages come without a gap: an alias whose
birth was missed could mean another metric. In doubt the node is asked for a rebirth, which tells everything anew.
Source: Eclipse Sparkplug Specification 3.0.0, clauses 4.2 (topics), 5.4 to 5.10 (sessions, sequence numbers, rebirth).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Final, NamedTuple, cast

from adapters.mqtt.config import MqttDevice, MqttTag
from adapters.mqtt.payload import Delivery
from adapters.mqtt.sparkplug import Metric, Payload, decode, rebirth
from gateway.model.faults import LinkLost, ProtocolFault
from gateway.sdk import Feed, Quality, Value
from gateway.sdk.source_time import credible

NAMESPACE: Final = "spBv1.0"
SEQUENCE: Final = 256
Ask = Callable[[str, bytes], None]
"""Publishes a command: topic, payload."""


class Place(NamedTuple):
    """Where the values of a metric go."""

    feed: Feed
    tag: int


class Known(NamedTuple):
    """What a birth told of a metric that has a tag."""

    device: str
    datatype: int
    places: list[Place]


class Bundle(NamedTuple):
    """What one message says for one feed at one time."""

    values: dict[int, Value | None]
    failures: dict[int, Quality]


class EdgeNode:
    """One edge node with those of its devices that are configured; lives as long as a subscription."""

    def __init__(self, group: str, node: str, feeds: Iterable[Feed], delivery: Delivery, ask: Ask) -> None:
        self.group = group
        self.node = node
        self._delivery = delivery
        self._ask = ask
        self._command = f"{NAMESPACE}/{group}/NCMD/{node}"
        self._feeds: dict[str, list[Feed]] = {}
        self._places: dict[tuple[str, str], list[Place]] = {}
        self._may_ask = False
        for feed in feeds:
            device = cast("MqttDevice", feed.device)
            self._may_ask |= device.rebirth
            self._feeds.setdefault(device.device, []).append(feed)
            for number, tag in enumerate(feed.tags):
                name = cast("MqttTag", tag).address.metric
                self._places.setdefault((device.device, name), []).append(Place(feed, number))
        self._born = False
        self._live: set[str] = set()
        """Configured devices that were born; the node itself is ``""``."""
        self._seq = 0
        self._bd_seq: int | None = None
        self._newest = 0
        """The latest time that the node gave, ms: what its commands are stamped with."""
        self._ignored = 0
        """Messages not believed since the last birth."""
        self._by_alias: dict[int, Known] = {}
        self._by_name: dict[tuple[str, str], Known] = {}

    @property
    def topic_filter(self) -> str:
        """Filter of all that the node and its devices publish."""
        return f"{NAMESPACE}/{self.group}/+/{self.node}/#"

    def ask(self) -> None:
        """Request a rebirth, unless that is switched off."""
        if self._may_ask:
            self._ask(self._command, rebirth(self._newest))

    def take(self, kind: str, device: str, payload: bytes | None, retained: bool) -> None:
        """Take a message. ``kind``: NBIRTH, DDATA …; retained ones are refused, since they tell of another time."""
        act = self._acts.get(kind)
        if act is None or retained:
            return
        if payload is None:
            self._doubt(f"a message of {kind} that is too large")
            return
        try:
            found = decode(payload)
        except ProtocolFault as fault:
            self._doubt(str(fault))
            return
        self._newest = max(self._newest, found.timestamp if credible(found.timestamp * 10**6) else 0)
        act(self, device, found)

    # what the messages mean

    def _node_birth(self, _device: str, payload: Payload) -> None:
        self._born, self._ignored = True, 0
        self._seq = payload.seq or 0
        self._bd_seq = _bd_seq(payload)
        self._live = {""}
        self._by_alias.clear()
        self._by_name.clear()
        self._birth("", payload)

    def _device_birth(self, device: str, payload: Payload) -> None:
        if not self._follows(payload):
            return
        if device in self._feeds:
            self._live.add(device)
            self._birth(device, payload)
        else:
            self._delivery.feeds.unknown(f"{self.group}/{self.node}/{device}", "Sparkplug device")

    def _data(self, device: str, payload: Payload) -> None:
        if not self._follows(payload):
            return
        if device in self._live:
            self._deliver(device, payload, missing={})
        elif device in self._feeds:
            self._not_believed()

    def _node_death(self, _device: str, payload: Payload) -> None:
        """A death that belongs to an earlier session of the node arrives late, and says nothing of this one."""
        told = _bd_seq(payload)
        if self._born and None not in (told, self._bd_seq) and told != self._bd_seq:
            return
        self._born = False
        self._down(self._feeds, LinkLost(f"edge node {self.node} says that it is offline", code="declared_offline"))

    def _device_death(self, device: str, payload: Payload) -> None:
        if self._follows(payload) and device in self._feeds:
            self._live.discard(device)
            self._down([device], LinkLost(f"device {device} is offline, says its node", code="declared_offline"))

    def _follows(self, payload: Payload) -> bool:
        """Tell whether a message may be believed: the node was born, and nothing is missing in between."""
        if not self._born:
            self._not_believed()
            return False
        if payload.seq is None or payload.seq == (self._seq + 1) % SEQUENCE:
            self._seq = self._seq if payload.seq is None else payload.seq
            return True
        if payload.seq != self._seq:  # else delivered twice
            self._doubt(f"edge node {self.node}: number {payload.seq} follows {self._seq}")
        return False

    def _doubt(self, why: str) -> None:
        """Something is missing: nothing is believed until the node tells all anew."""
        if self._born:
            self._born, self._ignored = False, 0
            self._down(self._feeds, LinkLost(f"{why}: messages are missing", code="sequence_gap"))
        self._not_believed()

    def _not_believed(self) -> None:
        """Ask for a birth at the first message that is not believed, the second, the fourth, the eighth …"""
        self._ignored += 1
        if self._ignored & (self._ignored - 1) == 0:
            self.ask()

    def _down(self, devices: Iterable[str], why: LinkLost) -> None:
        for device in devices:
            for feed in self._feeds[device]:
                feed.fail(why)

    _acts: ClassVar[dict[str, Callable[[EdgeNode, str, Payload], None]]] = {
        "NBIRTH": _node_birth,
        "DBIRTH": _device_birth,
        "NDATA": _data,
        "DDATA": _data,
        "NDEATH": _node_death,
        "DDEATH": _device_death,
    }
    """What each kind of message does."""

    # values

    def _birth(self, device: str, payload: Payload) -> None:
        """Learn names, aliases and types of metrics that have a tag; a tag without its metric is bad."""
        for metric in payload.metrics:
            places = self._places.get((device, metric.name))
            if places:
                known = self._by_name[device, metric.name] = Known(device, metric.datatype, places)
                if metric.alias is not None:
                    self._by_alias[metric.alias] = known
        missing = {
            place: Quality.ADDRESS_REFUSED
            for (owner, name), places in self._places.items()
            if owner == device and (owner, name) not in self._by_name
            for place in places
        }
        self._deliver(device, payload, missing)

    def _deliver(self, device: str, payload: Payload, missing: dict[Place, Quality]) -> None:
        """Give every feed of a device what a message says for it, in order, live and historical values apart."""
        bundles: dict[tuple[int, int, bool], Bundle] = {}
        feeds = {id(feed): feed for feed in self._feeds.get(device, ())}
        for metric in payload.metrics:
            known = self._known(device, metric)
            if known is None:
                continue
            time = credible((metric.timestamp or payload.timestamp) * 10**6)
            value, quality = _judged(metric, known.datatype)
            for feed, tag in known.places:
                bundle = bundles.setdefault((id(feed), time, metric.historical), Bundle({}, {}))
                if quality < Quality.NOT_CONNECTED:
                    bundle.values[tag] = value
                if quality is not Quality.GOOD:
                    bundle.failures[tag] = quality
        for (feed, tag), quality in missing.items():
            bundles.setdefault((id(feed), 0, False), Bundle({}, {})).failures[tag] = quality
        for (feed_id, time, historical), bundle in bundles.items():
            feed = feeds[feed_id]
            self._delivery.give(feed, bundle.values, time, bundle.failures, replayed=historical)
        for feed_id, feed in feeds.items():
            if all(key[0] != feed_id for key in bundles):
                feed.alive()

    def _known(self, device: str, metric: Metric) -> Known | None:
        if metric.name:
            return self._by_name.get((device, metric.name))
        known = self._by_alias.get(-1 if metric.alias is None else metric.alias)
        return known if known is not None and known.device == device else None


def _judged(metric: Metric, datatype: int) -> tuple[Value | None, Quality]:
    """Value and quality of a metric; from 0x80 on there is no value."""
    if metric.null:
        return None, metric.quality if metric.quality >= Quality.NOT_CONNECTED else Quality.NOT_AVAILABLE
    value = metric.value(metric.datatype or datatype)
    if metric.quality >= Quality.NOT_CONNECTED or value is not None:
        return value, metric.quality
    return None, Quality.UNDECODABLE


def _bd_seq(payload: Payload) -> int | None:
    """Number of the node's session, which its birth and its death have in common."""
    for metric in payload.metrics:
        if metric.name == "bdSeq" and isinstance(metric.raw, int):
            return metric.raw
    return None
