"""A web server of a machine, for tests and demonstrations: real requests on a real socket, one document for each path.

``async with Simulator() as plant:`` serves at 127.0.0.1, port ``plant.port``.
"""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, Self
from xml.sax.saxutils import escape, quoteattr

from gateway.sdk import ConfigFault, Value
from gateway.sdk.simulator import raw_value
from gateway.wire.serving import FramingOfEach, Peer, StreamServer

from .address import Address, DocumentFormat, Step
from .codec import credentials
from .config import HttpConnection, HttpDevice, HttpTag
from .posts import GO_ON, parse, refusal, reply, request_framing
from .refused import Refused

if TYPE_CHECKING:
    from .simulated import Poster

LARGEST: Final = 64 * 1024


class Device:
    """What the simulated machine holds, and how it misbehaves."""

    def __init__(self, config: HttpDevice) -> None:
        self.config = config
        self.values: dict[str, dict[Address, Any]] = {}
        """Decoded values by path of the document and address."""
        self.refused: set[Address] = set()
        self.silent = False
        """Takes requests and answers none."""
        self.status = 200
        """Anything else is answered with this, and without a document."""
        self.fields: tuple[str, ...] = ()
        """Header lines beside it."""
        self.time: Any = None
        """What the document says of its time."""

    def set(self, tag: HttpTag, value: Value) -> None:
        """Set an engineering value: a gateway with this tag reads just that. Raises ValueError when it does not fit."""
        raw = raw_value(tag, value)
        if isinstance(raw, float) and not abs(raw) < float("inf"):
            raise ValueError(f"{tag.name}: a document holds no {value!r}")
        self.values.setdefault(tag.path or self.config.path, {})[tag.address] = raw

    def refuse(self, tag: HttpTag) -> None:
        """Leave a value out from now on."""
        self.refused.add(tag.address)

    def has(self, path: str) -> bool:
        """Tell whether there is a document at a path."""
        return path == self.config.path or path in self.values

    def document(self, path: str) -> bytes:
        """What is at a path."""
        held = {address: raw for address, raw in self.values[path].items() if address not in self.refused}
        if self.config.time is not None and self.time is not None:
            held[self.config.time.path] = self.time
        if self.config.format is DocumentFormat.XML:
            return _xml(held)
        if self.config.format is DocumentFormat.CSV:
            return _csv(held, self.config.delimiter)
        found: Any = {}
        for address, raw in held.items():
            found = _put(found, address.steps, raw)
        return json.dumps(found, ensure_ascii=False).encode()


class Simulator(StreamServer):
    """See the module."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(host, port, FramingOfEach(lambda: request_framing(LARGEST)), self.reply)
        self.devices: dict[str, Device] = {}
        self._headers = headers
        """Header fields that a request must have to be let in."""

    @classmethod
    def of(cls, connection: HttpConnection) -> Self | Poster:
        """Make the simulator that listens where a gateway with this connection connects to, or posts where it listens.

        Raises ConfigFault for TLS.
        """
        if connection.listen:
            from .simulated import Poster  # which needs our Device

            return Poster(connection)
        if connection.tls:
            raise ConfigFault("servers with TLS are not simulated", code="no_simulator")
        return cls(connection.host, connection.effective_port, tuple(credentials(connection)))

    def device(self, config: HttpDevice) -> Device:
        """Return the machine whose document is at a path, made on first use."""
        return self.devices.setdefault(config.path, Device(config))

    def reply(self, peer: Peer, frame: bytes) -> bytes:
        """Answer one request; hang up after one that is none."""
        try:
            request = parse(frame, LARGEST)
        except Refused as no:
            peer.send(refusal(no.status, no.code, str(no), closes=True))
            peer.finish()
            return b""
        if request.waits:
            return GO_ON
        target = frame.split(b" ", 2)[1].decode("ascii")
        if any(request.fields.get(name.lower()) != value for name, value in self._headers):
            return refusal(401, "auth_refused", "who are you?", "WWW-Authenticate: Basic")
        device = next(
            (device for device in self.devices.values() if target in (device.config.path, *device.values)), None
        )
        if device is None or request.method != "GET":
            return refusal(404, "not_found", "there is nothing here")
        if device.silent:
            return b""
        if device.status != 200:
            return refusal(device.status, "simulated", "as told", *device.fields)
        if target not in device.values:
            device.values[target] = {}
        body = device.document(target)
        tag = f'"{hash(body):x}"'
        if request.fields.get("if-none-match") == tag:
            return reply(304, b"", f"ETag: {tag}")
        return reply(200, body, f"Content-Type: application/{device.config.format}", f"ETag: {tag}", *device.fields)


def _put(document: Any, steps: tuple[Step, ...], raw: Any) -> Any:
    """Return the document with a value in it; what an array lacks before it is null."""
    if not steps:
        return raw
    step, *rest = steps
    if isinstance(step, int):
        found = document if isinstance(document, list) else []
        found += [None] * (step + 1 - len(found))
        found[step] = _put(found[step], tuple(rest), raw)
        return found
    held = document if isinstance(document, dict) else {}
    held[step] = _put(held.get(step), tuple(rest), raw)
    return held


def _csv(held: dict[Address, Any], delimiter: str) -> bytes:
    """Rows in the order of their numbers, then those told by a column, then the last."""
    rows: dict[tuple[Step, ...], dict[str, Any]] = {}
    numbers = [int(address.steps[1]) for address in held if len(address.steps) == 2]
    for number in range(max(numbers, default=-1) + 1):
        rows[number,] = {}
    for address in sorted(held, key=lambda address: address.steps[1:] == (-1,)):
        column, *selector = address.steps
        row = rows.setdefault(tuple(selector), {str(selector[0]): selector[1]} if len(selector) == 2 else {})
        row[str(column)] = held[address]
    out = StringIO()
    names = dict.fromkeys(name for row in rows.values() for name in row)
    writer = csv.DictWriter(out, list(names) or ["empty"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows.values())
    return out.getvalue().encode()


def _xml(held: dict[Address, Any]) -> bytes:
    """Elements in the order of their numbers; those in between are empty."""
    tree: dict[str, Any] = {}
    for address, raw in held.items():
        node = tree
        steps = list(address.steps)
        attribute = str(steps.pop()) if str(steps[-1]).startswith("@") else ""
        for name, number in zip(steps[::2], steps[1::2], strict=True):
            found = node.setdefault(str(name), [])
            found += [{} for _ in range(int(number) - len(found))]
            node = found[int(number) - 1]
        node[attribute] = str(raw).lower() if isinstance(raw, bool) else str(raw)
    return "".join(_elements(tree)).encode() or b"<empty/>"


def _elements(node: dict[str, Any]) -> list[str]:
    found = []
    for name, elements in node.items():
        if name and not name.startswith("@"):
            for element in elements:
                attributes = "".join(f" {key[1:]}={quoteattr(text)}" for key, text in element.items() if key[:1] == "@")
                inner = escape(element.get("", "")) + "".join(_elements(element))
                found.append(f"<{name}{attributes}>{inner}</{name}>")
    return found
