"""Where machines post to: each post is one sample, or an array or lines of them, and is confirmed once it is safe."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NoReturn, cast

import msgspec

from gateway.model.faults import LinkLost
from gateway.sdk import Feed, Feeds, Quality, Value
from gateway.wire.serving import Peer, StreamServer

from .address import DocumentFormat
from .config import OPEN, HttpConnection, HttpDevice, HttpTag
from .documents import ABSENT, find, judge
from .posts import Post, Refused, parse, refusal, reply
from .times import read_time

_STORED: Final = (reply(204), reply(204, closes=True))
_LINES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_SINGLE: Final = ("", "application/json", "text/plain", "text/json", "application/x-www-form-urlencoded")
"""Media types taken for JSON; the last is what `curl -d` says when it is not told otherwise."""
_WAIT: Final = "Retry-After: 5"
PEERS: Final = 256
"""Connections at a time."""
Sample = tuple[Feed, dict[int, Value | None], int, dict[int, Quality]]


def authorization(connection: HttpConnection) -> bytes | None:
    """What machines must show; None: nothing."""
    token = connection.token.get_secret_value() if connection.token else ""
    return None if token == OPEN else f"Bearer {token}".encode()


class Reception:
    """See the module."""

    def __init__(self, connection: HttpConnection, server: StreamServer) -> None:
        self.server = server
        self._largest = connection.max_body
        self._authorization = authorization(connection)
        self._waiting: Counter[Peer] = Counter()
        """Answers that each peer is owed: they go out in the order of its requests."""

    async def subscribe(self, feeds: Feeds) -> NoReturn:
        """Take posts, for ever; see gateway.sdk.Subscribes."""
        known: dict[str, list[Feed]] = {}
        for feed in feeds:
            known.setdefault(cast("HttpDevice", feed.device).path.partition("?")[0], []).append(feed)
        async for peer, frame in self.server.arrivals():
            if peer.gone:
                self._waiting.pop(peer, None)
                continue  # it did not wait for its answer, or was hung up on: it posts again
            try:
                post = parse(frame, self._largest)
            except Refused as no:
                self._answer(feeds, peer, refusal(no.status, no.code, str(no), closes=True), closes=True)
                continue
            try:
                samples = self._samples(feeds, known, post)
            except Refused as no:
                fields = ("WWW-Authenticate: Bearer",) if no.status == 401 else ()
                data = refusal(no.status, no.code, str(no), *fields, closes=not post.keeps)
                self._answer(feeds, peer, data, closes=not post.keeps)
                continue
            if not feeds.has_room:
                data = refusal(503, "no_room", "nothing can be stored now", _WAIT, closes=not post.keeps)
                self._answer(feeds, peer, data, closes=not post.keeps)
                continue
            for feed, values, time, failures in samples:
                feed.sample(values, time=time, failures=failures)
            self._answer(feeds, peer, _STORED[not post.keeps], closes=not post.keeps, safe=True)
        raise LinkLost("nobody listens any more")

    def _answer(self, feeds: Feeds, peer: Peer, data: bytes, *, closes: bool, safe: bool = False) -> None:
        """Answer now; or, to a post that has brought values, and behind such an answer, once they are ``safe``."""
        if safe or self._waiting[peer]:
            self._waiting[peer] += 1
            feeds.when_durable(partial(self._send, peer, data, closes))
        else:
            del self._waiting[peer]
            _give(peer, data, closes)

    def _send(self, peer: Peer, data: bytes, closes: bool) -> None:
        self._waiting[peer] -= 1
        if self._waiting[peer] <= 0:
            del self._waiting[peer]
        _give(peer, data, closes)

    def _samples(self, feeds: Feeds, known: Mapping[str, list[Feed]], post: Post) -> list[Sample]:
        """What a post says. Raises Refused: 401, 404, 405, 415, 400."""
        if self._authorization is not None:
            shown = post.fields.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(shown, self._authorization):
                raise Refused(401, "auth_refused", "Authorization: Bearer TOKEN is missing, or is another's")
        targets = known.get(post.path)
        if targets is None:
            feeds.unknown(post.path, "posted over HTTP")
            raise Refused(404, "unknown_path", "no device is configured for this path")
        if post.method not in ("POST", "PUT"):
            raise Refused(405, "post_only", "POST values here")
        media = post.fields.get("content-type", "").partition(";")[0].strip().lower()
        if post.fields.get("content-encoding", "identity") != "identity":
            raise Refused(415, "coding_unsupported", "send it without a content coding")
        if media not in _SINGLE and media not in _LINES and not media.endswith("+json"):
            raise Refused(415, "media_unsupported", "JSON, an array of it, or NDJSON")
        return [sample(feed, document) for document in _documents(post.body, lines=media in _LINES) for feed in targets]


def _documents(body: bytes, *, lines: bool) -> list[Any]:
    """All samples of a body. Raises Refused."""
    try:
        found = msgspec.json.Decoder().decode_lines(body) if lines else msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, "bad_json", f"the body is no JSON: {error}"[:200]) from error
    return found if isinstance(found, list) else [found]


def sample(feed: Feed, document: Any) -> Sample:
    """What a document says for one feed. A member that it does not have says nothing of its tag."""
    values: dict[int, Value | None] = {}
    failures: dict[int, Quality] = {}
    for place, tag in enumerate(cast("tuple[HttpTag, ...]", feed.tags)):
        found = find(document, tag.address)
        if found is ABSENT:
            continue
        value, quality = judge(found, tag.type, DocumentFormat.JSON)
        if quality is Quality.GOOD:
            values[place] = value
        else:
            failures[place] = quality
    setting = cast("HttpDevice", feed.device).time
    time = 0 if setting is None else read_time(find(document, setting.path), setting.format)
    return feed, values, time, failures


def _give(peer: Peer, data: bytes, closes: bool) -> None:
    peer.send(data)
    if closes:
        peer.finish()
