"""One server, one connection at a time, one request at a time: documents are asked for and taken apart."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

from gateway.model.faults import LinkLost, OutOfStep, ProtocolFault, TagFault, Timeout
from gateway.sdk import Plan, Quality, Readings, Request
from gateway.wire.connect import open_tcp
from gateway.wire.link import StreamLink

from .codec import Answer, Exchange, Field, conditions, credentials, host_field, status_fault
from .config import HttpConnection, HttpDevice, HttpTag
from .documents import ABSENT, decode, find, judge
from .times import read_time

KEPT: Final = 64
"""Documents remembered for 304 (not modified)."""


@dataclass(frozen=True, slots=True)
class GetDocument(Request):
    """A document, and the tags that are in it."""

    path: str
    device: HttpDevice
    wanted: tuple[HttpTag, ...]


class HttpSession:
    """See the module. A server may close an idle connection whenever it likes: the next request opens another."""

    def __init__(self, connection: HttpConnection, tls: ssl.SSLContext | None) -> None:
        self.connection = connection
        self._tls = tls
        self._host = host_field(connection)
        self._credentials = credentials(connection)
        self._stack = AsyncExitStack()
        self._link: StreamLink | None = None
        self._exchange = Exchange(self._host, connection.max_body)
        self._documents: dict[tuple[str, str], tuple[tuple[Field, ...], Any]] = {}
        """Path and format → what to ask with, and the document as decoded then."""

    async def connect(self) -> StreamLink:
        """Connect, anew if need be. Raises LinkLost, AuthFault, ProtocolFault."""
        await self.close()
        c = self.connection
        context = open_tcp(c.host, c.effective_port, c.timeout, tls=self._tls)
        self._link = link = await self._stack.enter_async_context(context)
        self._exchange = Exchange(self._host, c.max_body)
        return link

    async def close(self) -> None:
        """Close the connection, if there is one."""
        self._link = None
        await self._stack.aclose()

    async def read(self, plan: Plan, out: Readings) -> None:
        """Ask for each document; see gateway.sdk.Reads."""
        for request in cast("Sequence[GetDocument]", plan.requests):
            try:
                document = await self._document(request)
            except TagFault as fault:
                out.fail(request, fault)
                continue
            machine = request.device
            time = 0
            if machine.time is not None:
                time = read_time(_plain(find(document, machine.time.path)), machine.time.format)
            for place, tag in zip(request.tags, request.wanted, strict=True):
                value, quality = judge(find(document, tag.address), tag.type, machine.format)
                out.set(place, value, quality=quality, time=time)

    async def look(self, device: HttpDevice) -> Any:
        """Return the decoded document of a device. Raises what `read` would, and TagFault."""
        return await self._document(GetDocument((), device.path, device, ()))

    async def identify(self, path: str) -> tuple[tuple[str, str], ...]:
        """What the server says of itself. Raises the fault of a status that brings no document."""
        answer = await self._get(path)
        if answer.status != 200:
            raise status_fault(f"{self._host}{path}", answer.status, answer.fields)
        names = ("server", "content-type")
        return tuple((name, answer.fields[name]) for name in names if name in answer.fields)

    async def _document(self, request: GetDocument) -> Any:
        key = (request.path, request.device.format + request.device.delimiter)
        asked, known = self._documents.get(key, ((), None))
        answer = await self._get(request.path, asked)
        where = f"{self._host}{request.path}"
        if answer.status == 304 and asked:
            return known
        if answer.status != 200:
            raise status_fault(where, answer.status, answer.fields)
        try:
            document = decode(request.device.format, answer.body, request.device.delimiter)
        except ProtocolFault as fault:  # the connection is in step: only this document is no good
            raise TagFault(f"{where}: {fault}", quality=Quality.UNDECODABLE) from fault
        again = conditions(answer.fields)
        self._documents.pop(key, None)
        if again and len(self._documents) < KEPT:
            self._documents[key] = (again, document)
        return document

    async def _get(self, path: str, fields: Sequence[Field] = ()) -> Answer:
        link = self._link
        if link is None or link.lost or link.stray_bytes or not self._exchange.keeps:
            link = await self.connect()
        exchange = self._exchange
        whole = False
        try:
            data = exchange.get(path, self._host, [*self._credentials, *fields])
            await link.exchange(data, exchange, self.connection.timeout)
            whole = True
        except Timeout as fault:
            raise OutOfStep(str(fault), code=fault.code) from fault
        except LinkLost:
            if not exchange.end():  # an answer whose end is that of the connection
                raise
        finally:
            if not whole:
                link.abort(LinkLost(f"{link.name}: the link was closed, for an answer was broken off"))
        return exchange.answer


def _plain(found: Any) -> Any:
    """Text of an XML element; anything else as it is."""
    return found.get("", "") if isinstance(found, dict) else None if found is ABSENT else found
