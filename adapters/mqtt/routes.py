"""Which messages concern whom: topic filters of all feeds in one tree, topics that were seen in a bounded cache.

Sans-io.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, cast

from adapters.mqtt.codec import Subscription
from adapters.mqtt.config import MqttConnection, MqttDevice, MqttTag, PayloadFormat
from adapters.mqtt.nodes import Ask, EdgeNode
from adapters.mqtt.payload import TAKERS, Delivery, Taker
from adapters.mqtt.plan import filters
from adapters.mqtt.topics import FilterTree, covers, unshared
from gateway.model.faults import ProtocolFault
from gateway.sdk import Feed, Feeds

Take = Callable[[bytes | None, bool], None]
Route = tuple[Take, ...]
CACHE_BYTES: Final = 8 << 20
"""Topics whose routes are remembered, in bytes, with the estimated cost of one; then the cache is begun anew."""
_ENTRY: Final = 256


class Routes:
    """The way from topics to feeds, for one subscription."""

    def __init__(self, connection: MqttConnection, delivery: Delivery, ask: Ask) -> None:
        self._feeds: Feeds = delivery.feeds
        self._delivery = delivery
        self._qos = connection.qos
        self._tree: FilterTree[tuple[Feed, int] | EdgeNode] = FilterTree()
        self._announced: FilterTree[bool] = FilterTree()
        self._takers: dict[tuple[int, tuple[int, ...]], Taker] = {}
        self._known: dict[bytes, Route] = {}
        self._bytes = 0
        self.nodes: list[EdgeNode] = []
        self.asked: list[tuple[Subscription, tuple[Feed, ...]]] = []
        """What to subscribe to, and whose tags depend on it."""
        wanted: dict[str, dict[int, Feed]] = {}
        retained: set[str] = set()
        sparkplug: dict[tuple[str, str], list[Feed]] = {}
        for feed in self._feeds:
            device = cast("MqttDevice", feed.device)
            if device.format is PayloadFormat.SPARKPLUG:
                sparkplug.setdefault((device.group, device.node), []).append(feed)
                continue
            own = self._place(feed, device)
            for topic_filter in _widest(own):
                wanted.setdefault(topic_filter, {})[id(feed)] = feed
                if device.retained == "use":
                    retained.add(topic_filter)
        for (group, name), feeds in sparkplug.items():
            node = EdgeNode(group, name, feeds, delivery, ask)
            self.nodes.append(node)
            self._tree.add(node.topic_filter, node)
            self.asked.append((Subscription(node.topic_filter, self._qos, own=False), tuple(feeds)))
        for topic_filter in connection.announce:
            self._announced.add(unshared(topic_filter), True)
            wanted.setdefault(topic_filter, {})
        for topic_filter, concerned in wanted.items():
            subscription = Subscription(topic_filter, self._qos, retained=topic_filter in retained)
            self.asked.append((subscription, tuple(concerned.values())))

    def _place(self, feed: Feed, device: MqttDevice) -> list[str]:
        """Put a feed's tags into the tree; returns its filters."""
        found: dict[str, None] = {}
        for place, tag in enumerate(feed.tags):
            for topic_filter in filters(device, cast("MqttTag", tag)):
                self._tree.add(unshared(topic_filter), (feed, place))
                found[topic_filter] = None
        return list(found)

    def deliver(self, topic: bytes, payload: bytes | None, retained: bool) -> None:
        """Hand a message to all whom it concerns."""
        for take in self._known.get(topic) or self._route(topic):
            take(payload, retained)

    def _route(self, topic: bytes) -> Route:
        known = self._known.get(topic)
        if known is not None:
            return known
        try:
            name = topic.decode()
        except UnicodeDecodeError as error:
            raise ProtocolFault("MQTT: a topic that is not UTF-8", data=topic) from error
        route = self._find(name)
        if not route and self._announced.match(name):
            self._feeds.unknown(name, "MQTT topic")
        self._bytes += len(topic) + _ENTRY
        if self._bytes > CACHE_BYTES:
            self._known.clear()
            self._bytes = len(topic) + _ENTRY
        self._known[topic] = route
        return route

    def _find(self, topic: str) -> Route:
        found: list[Take] = []
        places: dict[int, tuple[Feed, set[int]]] = {}
        for target in self._tree.match(topic):
            if isinstance(target, EdgeNode):
                _, _, kind, _, *device = topic.split("/", 4)
                found.append(partial(target.take, kind, device[0] if device else ""))
            else:
                feed, place = target
                places.setdefault(id(feed), (feed, set()))[1].add(place)
        for feed, own in places.values():
            found.append(self._taker(feed, tuple(sorted(own))).take)
        return tuple(found)

    def _taker(self, feed: Feed, places: tuple[int, ...]) -> Taker:
        key = (id(feed), places)
        if key not in self._takers:
            kind = TAKERS[cast("MqttDevice", feed.device).format]
            self._takers[key] = kind(feed, places, self._delivery)
        return self._takers[key]


def _widest(topic_filters: Iterable[str]) -> list[str]:
    """Filters without those that another of them covers: a broker may deliver twice what was asked for twice."""
    every = list(topic_filters)
    wide = [topic_filter for topic_filter in every if topic_filter.endswith("#") or "+" in topic_filter]
    return [narrow for narrow in every if not any(other is not narrow and covers(other, narrow) for other in wide)]
