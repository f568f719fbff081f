"""What a simulated agent holds: machines with data items, the newest observations in a buffer, and its documents."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from gateway.sdk import DataType, Value
from gateway.sdk.simulator import raw_value

from .config import MtconnectTag
from .values import UNAVAILABLE

BUFFER: Final = 4096
"""Observations that the agent keeps."""
_URN: Final = "urn:mtconnect.org:MTConnect{0}:2.0"
_LEVELS: Final = ("Normal", "Warning", "Fault")


class Kept(NamedTuple):
    """One observation in the buffer."""

    sequence: int
    machine: str
    item: str
    text: str
    stamp: str
    native: str


def format_value(kind: DataType, value: Value) -> str:
    """Write a raw value as an agent does. Raises ValueError for what XML cannot hold."""
    if isinstance(value, bool) or kind is DataType.BOOL:
        return "ON" if value else "OFF"
    text = value if isinstance(value, str) else repr(value)
    if any(ord(letter) < 32 and letter not in "\t\n\r" for letter in text) or len(text) > 65_536:
        raise ValueError("XML holds no control characters, and a value is not longer than 65,536 letters")
    return text


class Machine:
    """One device behind the agent."""

    def __init__(self, agent: Agent, name: str) -> None:
        self.name = name
        self.uuid = f"uuid-{name}"
        self.items: dict[str, str] = {}
        """id → SAMPLE, EVENT or CONDITION."""
        self.time = 0
        """Its own clock, ns since the epoch; 0: that of this computer."""
        self._agent = agent

    @property
    def silent(self) -> bool:
        """The agent takes requests and answers none, and its streams stand still."""
        return self._agent.silent

    @silent.setter
    def silent(self, silent: bool) -> None:
        self._agent.silent = silent

    def set(self, tag: MtconnectTag, value: Value) -> None:
        """Set an engineering value: a gateway with this tag reads just that. Raises ValueError when it does not fit."""
        kind = tag.type
        text = format_value(kind, raw_value(tag, value))
        category = "SAMPLE" if kind.packed and kind is not DataType.BOOL else "EVENT"
        self.observe(str(tag.address), text, category)

    def observe(self, item: str, text: str = UNAVAILABLE, category: str = "EVENT", native: str = "") -> None:
        """Tell something of a data item, which is made on first use, as after a restart of the agent with it.

        Of a condition, ``text`` is the level, and ``native`` which fault it is about.
        """
        new = item not in self.items
        self.items.setdefault(item, category)
        self._agent.add(self.name, item, text, self.time, native)
        if new:
            self._agent.restart()

    def refuse(self, tag: MtconnectTag) -> None:
        """Have a data item no more, as after a restart of the agent without it."""
        self.items.pop(str(tag.address), None)
        self._agent.restart()


class Agent:
    """All that an agent knows. ``changed`` and ``restarted`` are called so that those who listen can be told."""

    def __init__(self, changed: Callable[[], None], restarted: Callable[[], None], buffer: int = BUFFER) -> None:
        self.instance = 1_700_000_000
        self.next = 1
        self.size = buffer
        self.kept: deque[Kept] = deque(maxlen=buffer)
        self.machines: dict[str, Machine] = {}
        self.silent = False
        self._latest: dict[tuple[str, str, str], Kept] = {}
        self._changed = changed
        self._restarted = restarted

    @property
    def first(self) -> int:
        """Oldest sequence number in the buffer."""
        return self.kept[0].sequence if self.kept else self.next

    def machine(self, name: str) -> Machine:
        """One device, made on first use."""
        return self.machines.setdefault(name, Machine(self, name))

    def add(self, machine: str, item: str, text: str, moment: int, native: str) -> None:
        """Take an observation into the buffer."""
        moment = moment or time.time_ns()
        whole = datetime.fromtimestamp(moment // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        one = Kept(self.next, machine, item, text, f"{whole}.{moment % 10**9:09d}Z", native)
        self.next += 1
        self.kept.append(one)
        if text == "Normal":
            for key in [key for key in self._latest if key[:2] == (machine, item) and native in ("", key[2])]:
                del self._latest[key]
        self._latest[machine, item, native] = one
        self._changed()

    def restart(self) -> None:
        """Begin anew: another instanceId, sequence numbers from 1, every connection closed."""
        self.instance += 1
        self.next = 1
        self.kept.clear()
        latest, self._latest = list(self._latest.values()), {}
        for one in latest:
            if one.item in self.machines[one.machine].items:
                kept = one._replace(sequence=self.next)
                self.kept.append(kept)
                self._latest[one.machine, one.item, one.native] = kept
                self.next += 1
        self._restarted()

    # documents

    def devices(self) -> bytes:
        """Answer of /probe."""
        body = "".join(
            f"<Device id={quoteattr('d_' + machine.name)} name={quoteattr(machine.name)} "
            f"uuid={quoteattr(machine.uuid)}>"
            f'<Components><Controller id={quoteattr("c_" + machine.name)} name="controller"><DataItems>'
            + "".join(
                f"<DataItem id={quoteattr(item)} name={quoteattr(item + '_name')} category={quoteattr(category)} "
                f"type={quoteattr('POSITION' if category == 'SAMPLE' else 'MESSAGE')}/>"
                for item, category in machine.items.items()
            )
            + "</DataItems></Controller></Components></Device>"
            for machine in self.machines.values()
        )
        return self._document("Devices", "", f"<Devices>{body}</Devices>")

    def current(self) -> bytes:
        """Answer of /current."""
        return self._streams(self._latest.values(), self.next)

    def sample(self, start: int, count: int) -> tuple[bytes, int]:
        """Answer of /sample, and the sequence number that comes next."""
        found = [one for one in self.kept if one.sequence >= start][:count]
        following = found[-1].sequence + 1 if found else self.next
        return self._streams(found, following), following

    def error(self, code: str, words: str) -> bytes:
        """An error document."""
        return self._document("Error", "", f'<Errors><Error errorCode="{code}">{escape(words)}</Error></Errors>')

    def _streams(self, found: Iterable[Kept], following: int) -> bytes:
        parts: dict[str, dict[str, list[str]]] = {}
        for one in found:
            if category := self.machines[one.machine].items.get(one.item):
                parts.setdefault(one.machine, {}).setdefault(category, []).append(_element(one, category))
        wraps = {"SAMPLE": "Samples", "EVENT": "Events", "CONDITION": "Condition"}
        body = "".join(
            f"<DeviceStream name={quoteattr(machine)} uuid={quoteattr(self.machines[machine].uuid)}>"
            '<ComponentStream component="Controller" name="controller" componentId="c">'
            + "".join(f"<{wraps[name]}>{''.join(elements)}</{wraps[name]}>" for name, elements in categories.items())
            + "</ComponentStream></DeviceStream>"
            for machine, categories in parts.items()
        )
        numbers = f'firstSequence="{self.first}" lastSequence="{self.next - 1}" nextSequence="{following}"'
        return self._document("Streams", numbers, f"<Streams>{body}</Streams>")

    def _document(self, kind: str, numbers: str, body: str) -> bytes:
        told = f'version="2.0" sender="xingsha" bufferSize="{self.size}"'
        header = f'<Header instanceId="{self.instance}" {told} {numbers}/>'
        root = f'MTConnect{kind} xmlns="{_URN.format(kind)}"'
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{header}{body}</MTConnect{kind}>'.encode()


def _element(one: Kept, category: str) -> str:
    told = f'dataItemId={quoteattr(one.item)} sequence="{one.sequence}" timestamp="{one.stamp}"'
    if category == "CONDITION":
        level = one.text if one.text in _LEVELS else "Unavailable"
        native = f" nativeCode={quoteattr(one.native)}" if one.native else ""
        return f'<{level} {told} type="SYSTEM"{native}/>'
    name = "Position" if category == "SAMPLE" else "Message"
    return f"<{name} {told}>{escape(one.text, {chr(13): '&#13;'})}</{name}>"
