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
from .packing import CODINGS, BadGzip, TooLarge, gunzip
from .posts import GO_ON, Post, parse, refusal, reply
from .refused import Refused
from .times import read_time

_STORED: Final = (reply(204), reply(204, closes=True))
_LINES: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_SINGLE: Final = ("", "application/json", "text/plain", "text/json", "application/x-www-form-urlencoded")
"""Media types taken for JSON; the last is what `curl -d` says when it is not told otherwise."""
_WAIT: Final = "Retry-After: 5"
_HINTS: Final = {"auth_refused": ("WWW-Authenticate: Bearer",), "coding_unsupported": ("Accept-Encoding: gzip",)}
"""Header fields of refusals, by code."""
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
        self._over: set[Peer] = set()
        """Those that are owed an answer which ends their connection: what they send behind it is not looked at."""

    async def subscribe(self, feeds: Feeds) -> NoReturn:
        """Take posts, for ever; see gateway.sdk.Subscribes."""
        known: dict[str, list[Feed]] = {}
        for feed in feeds:
            known.setdefault(cast("HttpDevice", feed.device).path.partition("?")[0], []).append(feed)
        async for peer, frame in self.server.arrivals():
            if peer.gone or peer in self._over:
                continue  # it did not wait for its answer, or was hung up on: it posts again
            try:
                post = parse(frame, self._largest)
            except Refused as no:
                self._answer(feeds, peer, refusal(no.status, no.code, str(no), closes=True), closes=True)
                continue
            try:
                targets = self._targets(feeds, known, post)
                samples = [] if post.waits else self._samples(post, targets)
            except Refused as no:
                data = refusal(no.status, no.code, str(no), *_HINTS.get(no.code, ()), closes=not post.keeps)
                self._answer(feeds, peer, data, closes=not post.keeps)
                continue
            if not feeds.has_room:
                data = refusal(503, "no_room", "nothing can be stored now", _WAIT, closes=not post.keeps)
                self._answer(feeds, peer, data, closes=not post.keeps)
                continue
            if post.waits:
                self._answer(feeds, peer, GO_ON, closes=False)
                continue
            for feed, values, time, failures in samples:
                feed.sample(values, time=time, failures=failures)
            self._answer(feeds, peer, _STORED[not post.keeps], closes=not post.keeps, safe=True)
        raise LinkLost("nobody listens any more")

    def _answer(self, feeds: Feeds, peer: Peer, data: bytes, *, closes: bool, safe: bool = False) -> None:
        """Answer now; or, to a post that has brought values, and behind such an answer, once they are ``safe``."""
        if safe or self._waiting[peer]:
            self._waiting[peer] += 1
            if closes:
                self._over.add(peer)
            feeds.when_durable(partial(self._send, peer, data, closes))
        else:
            del self._waiting[peer]
            _give(peer, data, closes)

    def _send(self, peer: Peer, data: bytes, closes: bool) -> None:
        self._waiting[peer] -= 1
        if self._waiting[peer] <= 0:
            del self._waiting[peer]
        if closes:
            self._over.discard(peer)
        _give(peer, data, closes)

    def _targets(self, feeds: Feeds, known: Mapping[str, list[Feed]], post: Post) -> list[Feed]:
        """Whom a post concerns; its body is not looked at. Raises Refused: 401, 404, 405, 415."""
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
        media = _media(post)
        if _coding(post) not in {"", "identity", *CODINGS}:
            raise Refused(415, "coding_unsupported", "gzip, or no content coding")
        if media not in _SINGLE and media not in _LINES and not media.endswith("+json"):
            raise Refused(415, "media_unsupported", "JSON, an array of it, or NDJSON")
        return targets

    def _samples(self, post: Post, targets: list[Feed]) -> list[Sample]:
        """What a post says. Raises Refused: 400, 413."""
        body = post.body
        if _coding(post) in CODINGS:
            try:
                body = gunzip(body, self._largest)
            except BadGzip as error:
                raise Refused(400, "bad_coding", f"Content-Encoding: {error}"[:200]) from error
            except TooLarge as error:
                raise Refused(413, "too_large", str(error)) from error
        documents = _documents(body, lines=_media(post) in _LINES)
        return [sample(feed, document) for document in documents for feed in targets]


def _media(post: Post) -> str:
    return post.fields.get("content-type", "").partition(";")[0].strip().lower()


def _coding(post: Post) -> str:
    return post.fields.get("content-encoding", "").lower()


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
