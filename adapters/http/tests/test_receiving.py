"""Machines that post, by the client of the standard library: confirmed when safe, and every way to be refused."""

import asyncio
import json
import socket
from contextlib import suppress

import pytest

from adapters.http.tests.conftest import TOKEN, post


def test_one_sample_and_many(run, receiver):
    async def work():
        async with receiver() as (port, feed, _):
            one = {"ts": 1_764_000_000_000, "t": 1.5, "n": 7, "on": True, "other": {}}
            assert await asyncio.to_thread(post, port, json.dumps(one)) == (204, b"")
            assert await asyncio.to_thread(post, port, '[{"t": 2}, {"n": 40000}, {"on": null}, 5]') == (204, b"")
            lines = TOKEN | {"Content-Type": "application/x-ndjson"}
            assert await asyncio.to_thread(post, port, '{"t": 3}\n{"t": "x"}\n', lines) == (204, b"")
        assert feed.samples == [
            ({"t": 1.5, "n": 7, "on": True}, {}, 1_764_000_000_000_000_000),
            ({"t": 2.0}, {}, 0),
            ({}, {"n": "undecodable"}, 0),
            ({}, {"on": "not_available"}, 0),
            ({}, {}, 0),
            ({"t": 3.0}, {}, 0),
            ({}, {"t": "undecodable"}, 0),
        ]

    run(work)


def test_nothing_is_confirmed_before_it_is_safe(run, receiver):
    async def work():
        async with receiver(safe=False) as (port, feed, feeds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = b"HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\n"
            first = b"POST /m " + head + b'Content-Length: 8\r\n\r\n{"t": 1}'
            writer.write(first + b"GET /m " + head + b"\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
            assert feed.samples
            feeds.commit()
            got = await reader.readuntil(b"}")
            assert got.startswith(b"HTTP/1.1 204 ")  # the refusal of the second comes behind
            assert b"\r\n\r\nHTTP/1.1 405 " in got
            writer.close()

    run(work)


@pytest.mark.parametrize(
    ("status", "code", "request_"),
    [
        (400, "bad_json", {"body": "{"}),
        (401, "auth_refused", {"headers": {}}),
        (401, "auth_refused", {"headers": {"Authorization": "Bearer other"}}),
        (404, "unknown_path", {"path": "/x"}),
        (405, "post_only", {"method": "GET"}),
        (413, "too_large", {"body": b" " * 300}),
        (415, "media_unsupported", {"headers": TOKEN | {"Content-Type": "image/png"}}),
        (415, "coding_unsupported", {"headers": TOKEN | {"Content-Encoding": "br"}}),
    ],
)
def test_refusals(run, receiver, status, code, request_):
    async def work():
        async with receiver(max_body=200) as (port, feed, feeds):
            got, body = await asyncio.to_thread(post, port, **({"body": "{}"} | request_))
            assert (got, json.loads(body)["code"]) == (status, code)
            assert feed.samples == []
            assert feeds.strangers == (["/x"] if status == 404 else [])

    run(work)


def test_a_long_body_is_not_kept_for_a_stranger(run, receiver):
    async def work():
        async with receiver() as (port, feed, _):
            for token, begins in ((b"other", b"HTTP/1.1 401 "), (b"s3cret", b"")):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                head = b"POST /m HTTP/1.1\r\nAuthorization: Bearer " + token + b"\r\nContent-Length: 20000\r\n\r\n"
                writer.write(head)  # and no body yet
                with suppress(TimeoutError):
                    assert (await asyncio.wait_for(reader.read(), 0.2)).startswith(begins)
                    assert begins
                writer.close()
            assert feed.samples == []

    run(work)


def test_no_room_and_nobody_asked(run, receiver):
    async def work():
        async with receiver(token="none") as (port, feed, feeds):
            feeds.has_room = False
            assert (await asyncio.to_thread(post, port, '{"t": 1}', {}))[0] == 503
            feeds.has_room = True
            assert (await asyncio.to_thread(post, port, '{"t": 1}', {}))[0] == 204
            assert len(feed.samples) == 1

    run(work)


@pytest.mark.parametrize("data", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
def test_what_is_no_http(run, receiver, data):
    async def work():
        async with receiver() as (port, feed, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"x" * 20_000)
            with suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            assert feed.samples == []

    run(work)


def test_a_taken_port_is_a_fault(run, kit):
    async def work():
        with socket.create_server(("127.0.0.1", 0)) as other:
            made = kit.adapter(other.getsockname()[1], listen=True, token="none")
            found = await made.probe(kit.device())
            assert (found.outcome, "another program" in found.detail) == ("refused", True)
        assert (await made.probe(kit.device())).outcome == "ok"

    run(work)
