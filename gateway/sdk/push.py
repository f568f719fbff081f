"""Sources that push: subscriptions, devices that dial in, broadcasts. What arrives goes into feeds, column or single.

A plan with ``push`` says that its tags are not polled. The runtime then gives the session a `Feeds`: one `Feed` for
each such poll group behind the connection. The session asks its peer for the values (or simply listens), puts what
arrives into the feeds, and returns never. Scaling, ranges, deadbands and the rest are applied behind the feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from gateway.config.base import DeviceConfig, TagConfig
from gateway.model.faults import Fault
from gateway.model.quality import Quality
from gateway.model.types import Value

if TYPE_CHECKING:
    from gateway.sdk.adapter import Plan

Tags = npt.NDArray[np.intp]
Times = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
Column = npt.NDArray[np.generic] | list[Value | None]


@dataclass(frozen=True, slots=True)
class Push:
    """How a source behaves that pushes the tags of a poll group by itself."""

    silence: float = 0.0
    """Seconds without a sign of life (`Feed.alive`, or values) after which the device counts as down; 0: for ever."""
    on_change: bool = False
    """The device sends a value when it changes: while it shows signs of life, the last value still holds."""
    kept: bool = False
    """The source keeps what it could not deliver, and delivers it later: an interruption is no gap."""
    resumes: bool = False
    """The session itself goes on where the last one was cut off, and says by `Feed.caught_up` when all is told."""


class Feed(Protocol):
    """Where the values of one poll group of one device go. Tags are named by their place in ``tags``."""

    name: str
    """Name of the device."""
    device: DeviceConfig
    tags: tuple[TagConfig, ...]
    plan: Plan

    def sample(
        self,
        values: Mapping[int, Value | None],
        *,
        time: int = 0,
        failures: Mapping[int, Quality] | None = None,
        replayed: bool = False,
    ) -> None:
        """Take raw values that belong together, and tags that have none or a doubtful one (``failures``: why).

        ``time``: the device's own, ns since the Unix epoch; 0: it has none. ``replayed``: not live, out of the
        device's memory. A value that does not fit the type of its tag becomes bad (undecodable). The cheapest way for a
        few values; the same tags in the same order are cheaper than others.
        """

    def put(
        self,
        tags: Tags,
        values: Column,
        *,
        quality: Codes | None = None,
        times: Times | None = None,
        replayed: bool = False,
    ) -> None:
        """Take a column: ``values[i]`` is a raw value of tag ``tags[i]``; all tags named have the same type.

        Numbers as a numpy array of any numeric type: they are converted to the type of the tags, and what does not fit
        becomes bad. Text and bytes as a list. ``quality``: one code each, None for all good. ``times``: ns since the
        epoch, 0 for none. A tag named more than once has had all these values, in this order. The cheapest way for
        many values.
        """

    def alive(self) -> None:
        """Note a sign of life without values, such as a keep-alive of a subscription."""

    def caught_up(self, *, lost: bool) -> None:
        """Say that what was missed has been told, or that something of it never will be (``lost``): that is a gap.

        For sources that resume (`Push.resumes`), in each session, once it is known. Until then an interruption lasts,
        whatever arrives: when the session ends before, the next one takes its place; when there is none, it is a gap.
        """

    async def room(self) -> None:
        """Wait until there is room for more: between the steps of a replay."""

    def fail(self, why: Fault) -> None:
        """Note that this device cannot be had, while others can: its tags become bad, until something arrives again."""


class Feeds(Protocol):
    """All feeds behind one connection, and what they share."""

    def __iter__(self) -> Iterator[Feed]:
        """Feeds in the order of the configuration."""

    @property
    def has_room(self) -> bool:
        """False while nothing can be stored: a source that can be held up should not be read; see `room`.

        What arrives all the same is dropped, counted, and declared as a gap.
        """

    async def room(self) -> None:
        """Wait until there is room."""

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call ``then``, in the loop, as soon as all that was given to the feeds by now is safe in the journal.

        A source that acknowledges must not do so before. When it cannot be made safe, ``then`` is never called, and the
        session is ended: what was not acknowledged is sent again in the next.
        """

    async def durable(self) -> None:
        """Wait until all that was given to the feeds by now is safe in the journal."""

    def unknown(self, identity: str, detail: str = "") -> None:
        """Note a device that announces itself and that no configuration knows. Told to people once per identity."""


@runtime_checkable
class Subscribes(Protocol):
    """Capability of a session: the device pushes (subscription), dials in (listening) or broadcasts."""

    async def subscribe(self, feeds: Feeds) -> NoReturn:
        """Have the tags of all feeds pushed, and hand over what arrives, until the link ends. Raises a Fault.

        Runs beside `Session.read` of polled groups and beside writes, in the same loop.
        """


@runtime_checkable
class ReadsHistory(Protocol):
    """Capability of a session: the device remembers what it could not tell."""

    async def read_history(self, feed: Feed, since: int, until: int) -> None:
        """Put into the feed, ``replayed``, oldest first, what the device recorded from ``since`` to before ``until``.

        Called after a link came back, with the time for which nothing arrived (ns since the epoch). Raises a Fault when
        the device cannot tell; the time is then declared as a gap.
        """


K = TypeVar("K")


def places_by(feeds: Iterable[Feed], key: Callable[[Any], K]) -> dict[K, list[tuple[Feed, int]]]:
    """Where what arrives belongs: ``key(tag)``, such as its address → feeds and places of all tags that have it."""
    found: dict[K, list[tuple[Feed, int]]] = {}
    for feed in feeds:
        for place, tag in enumerate(feed.tags):
            found.setdefault(key(tag), []).append((feed, place))
    return found
