"""Bodies in chunks, compressed, or announced first: by the client of the standard library, and by hand."""

import asyncio
import gzip
import json
import tracemalloc
from functools import partial

import pytest

from adapters.http.packing import BadGzip, TooLarge, gunzip
from adapters.http.simulator import Simulator
from adapters.http.tests.conftest import TOKEN, post

zipped = partial(gzip.compress, mtime=0)
ZIPPED = TOKEN | {"Content-Encoding": "gzip"}
HEAD = b"POST /m HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n"


async def told(reader, limit=5):
    """One answer: its status, and its body."""
    async with asyncio.timeout(limit):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0)
        return int(head.split(b" ")[1]), await reader.readexactly(length)


def test_chunks_are_taken(run, receiver):
    async def work():
        async with receiver(max_body=1000) as (port, feed, _):
            pieces = [b'[{"t": 1}', b",", b'{"t": 2}', b"]"]
            assert await asyncio.to_thread(post, port, iter(pieces)) == (204, b"")
            assert await asyncio.to_thread(post, port, iter([b" " * 600] * 2)) != (204, b"")
            large = (b'{"t": 3}' + b" " * 492,) * 2
            status, body = await asyncio.to_thread(post, port, iter([b"[", large[0], b",", large[1], b"]"]))
            assert (status, json.loads(body)["code"]) == (413, "too_large")
        assert [values for values, *_ in feed.samples] == [{"t": 1.0}, {"t": 2.0}]

    run(work)


def test_a_connection_goes_on_behind_chunks(run, receiver):
    async def work():
        async with receiver() as (port, feed, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number in (b"1", b"2"):
                writer.write(HEAD + CHUNKS + b'8\r\n{"t": ' + number + b"}\r\n0\r\n\r\n")
                assert (await told(reader))[0] == 204
            writer.close()
        assert [values["t"] for values, *_ in feed.samples] == [1.0, 2.0]

    run(work)


@pytest.mark.parametrize(
    ("status", "code", "request_"),
    [
        (400, "bad_request", HEAD + b"Content-Length: 5\r\n" + CHUNKS + b"0\r\n\r\n"),
        (400, "bad_request", HEAD + CHUNKS + b"-8\r\n"),
        (501, "transfer_unsupported", HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
        (413, "too_large", HEAD + CHUNKS + b"fffffff\r\n"),
        (401, "auth_refused", HEAD.replace(b"s3", b"") + CHUNKS + b"4001\r\n"),
        (400, "bad_request", HEAD + b"no field"),
        (404, "unknown_path", HEAD.replace(b"/m", b"/x") + b"Connection: close"),
    ],
)
def test_refusals_end_the_connection_and_nothing_behind_them_is_taken(run, receiver, status, code, request_):
    """Not even while the refusal waits for the answer to a post before it."""

    async def work():
        async with receiver(safe=False) as (port, feed, feeds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            good = HEAD + b'Content-Length: 8\r\n\r\n{"t": 1}'
            writer.write(good + request_ + b"\r\n\r\n" + good * 3)
            writer.write(good)
            while not feeds.waiting:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            writer.write(good)
            await asyncio.sleep(0.05)
            feeds.commit()
            assert (await told(reader))[0] == 204
            got, body = await told(reader)
            assert (got, json.loads(body)["code"]) == (status, code)
            assert await reader.read() == b""
            writer.close()
            assert len(feed.samples) == 1

    run(work)


def test_gzip_is_unpacked(run, receiver):
    async def work():
        async with receiver(max_body=1000) as (port, feed, _):
            body = zipped(b'[{"t": 1}, {"t": 2}]')
            assert await asyncio.to_thread(post, port, body, ZIPPED) == (204, b"")
            assert await asyncio.to_thread(post, port, iter([body[:9], body[9:]]), ZIPPED) == (204, b"")
            old = TOKEN | {"Content-Encoding": "X-GZIP", "Content-Type": "application/x-ndjson"}
            assert await asyncio.to_thread(post, port, zipped(b'{"t": 3}\n'), old) == (204, b"")
            assert await asyncio.to_thread(post, port, zipped(b"[" + b" " * 998 + b"]"), ZIPPED) == (204, b"")
        assert [values["t"] for values, *_ in feed.samples] == [1.0, 2.0, 1.0, 2.0, 3.0]

    run(work)


@pytest.mark.parametrize(
    ("status", "code", "body", "coding"),
    [
        (413, "too_large", zipped(b" " * 100_000), "gzip"), (400, "bad_coding", b"{}", "gzip"),
        (400, "bad_coding", zipped(b"{}")[:-1], "gzip"), (400, "bad_coding", zipped(b"{}") * 2, "gzip"),
        (400, "bad_coding", b"", "gzip"), (400, "bad_json", zipped(b"{"), "gzip"), (415, "coding_unsupported", b"{}", "br"),
        (415, "coding_unsupported", zipped(zipped(b"{}")), "gzip, gzip"), (400, "bad_json", b"{", "identity"),
    ],
)  # fmt: skip
def test_what_cannot_be_unpacked(run, receiver, status, code, body, coding):
    async def work():
        async with receiver(max_body=1000) as (port, feed, _):
            got, said = await asyncio.to_thread(post, port, body, TOKEN | {"Content-Encoding": coding})
            assert (got, json.loads(said)["code"]) == (status, code)
            assert not feed.samples
            assert (await asyncio.to_thread(post, port, b"{}"))[0] == 204

    run(work)


def test_a_bomb_is_never_unpacked_further_than_the_limit():
    bomb = zipped(b"x" * 1001)
    assert len(gunzip(bomb, 1001)) == 1001
    with pytest.raises(TooLarge):
        gunzip(bomb, 1000)
    huge = zipped(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            gunzip(huge + b"not even looked at", 1000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(BadGzip):
        gunzip(bomb[:-9], 1001)


@pytest.mark.parametrize("chunked", [False, True])
def test_who_asks_first_is_told_to_go_on_before_the_body_comes(run, receiver, chunked):
    async def work():
        async with receiver() as (port, feed, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(HEAD + b"Expect: 100-continue\r\n" + (CHUNKS if chunked else b"Content-Length: 8\r\n\r\n"))
                assert await told(reader) == (100, b"")
                assert not reader._buffer, "and nothing else yet"
                writer.write(b'8\r\n{"t": 1}\r\n0\r\n\r\n' if chunked else b'{"t": 1}')
                assert (await told(reader))[0] == 204
            writer.close()
            assert len(feed.samples) == 2

    run(work)


@pytest.mark.parametrize(
    ("status", "head"),
    [
        (401, HEAD.replace(b"s3", b"")), (404, HEAD.replace(b"/m", b"/x")), (405, HEAD.replace(b"POST", b"GET")),
        (413, HEAD + b"Content-Length: 1001\r\n"), (415, HEAD + b"Content-Encoding: br\r\n"),
        (415, HEAD + b"Content-Type: image/png\r\n"),
    ],
)  # fmt: skip
def test_who_asks_first_is_refused_before_the_body_comes(run, receiver, status, head):
    async def work():
        async with receiver(max_body=1000) as (port, feed, feeds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            length = b"" if status == 413 else b"Content-Length: 8\r\n"
            writer.write(head + length + b"Expect: 100-continue\r\n\r\n")
            assert (await told(reader))[0] == status
            writer.write(b'{"t": 1}')
            assert await reader.read() == b""
            writer.close()
            feeds.has_room = False
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD + b"Content-Length: 8\r\nExpect: 100-continue\r\n\r\n")
            assert (await told(reader))[0] == 503
            writer.close()
            assert not feed.samples

    run(work)


def test_to_go_on_is_said_in_the_order_of_requests(run, receiver):
    async def work():
        async with receiver(safe=False) as (port, feed, feeds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD + b'Content-Length: 8\r\n\r\n{"t": 1}')
            writer.write(HEAD + b"Content-Length: 8\r\nExpect: 100-continue\r\n\r\n")
            with pytest.raises(TimeoutError):
                await told(reader, 0.1)
            feeds.commit()
            assert (await told(reader))[0] == 204
            assert (await told(reader))[0] == 100
            writer.write(b'{"t": 2}')
            while not feeds.waiting:
                await asyncio.sleep(0.01)
            feeds.commit()
            assert (await told(reader))[0] == 204
            writer.close()
            assert [values["t"] for values, *_ in feed.samples] == [1.0, 2.0]

    run(work)


def test_the_simulated_server_speaks_it_too(run, kit):
    async def work():
        async with Simulator() as plant:
            plant.device(kit.device())
            reader, writer = await asyncio.open_connection("127.0.0.1", plant.port)
            writer.write(b"GET /m HTTP/1.1\r\nExpect: 100-continue\r\n" + CHUNKS)
            assert await told(reader) == (100, b"")
            writer.write(b"0\r\n\r\n")
            assert (await told(reader))[0] == 200
            writer.write(b"GET /m HTTP/1.1\r\nContent-Length: 1\r\n" + CHUNKS + b"GET /m HTTP/1.1\r\n\r\n")
            assert (await told(reader))[0] == 400
            assert await reader.read() == b""
            writer.close()

    run(work)
