"""Servers that are asked: the simulator, and the server of the standard library, in many ways to answer."""

import asyncio
import gzip
import http.server
import threading
from contextlib import contextmanager

import pytest
from pydantic import ValidationError

from adapters.http.simulator import Simulator
from gateway.sdk import AuthFault, Busy, ConfigFault, LinkLost, OutOfStep, ProtocolFault, Quality, Readings


async def read(session, plan, count):
    out = Readings(count, None)
    await session.read(plan, out)
    return out


@contextmanager
def server(answer, tls=None):
    """``answer(handler, number)``: writes the answer to request ``number`` of a path."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            seen.append((self.path, dict(self.headers), self.client_address[1]))
            answer(self, len(seen))

        def log_message(self, *_):
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.handle_error = lambda *_: None  # clients that hang up on purpose
    if tls is not None:
        made.socket = tls.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made.server_address[1], seen
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def give(handler, body, status=200, **fields):
    handler.send_response(status)
    for name, value in {"Content_Length": len(body), **fields}.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


def test_what_is_set_is_read_and_neighbours_live(run, kit):
    async def work():
        device = kit.device()
        tags = [kit.tag("a"), kit.tag("deep", "int8", address="$.x[1].y"), kit.tag("gone"), kit.tag("s", "string")]
        other = kit.tag("b", "uint16", path="/other?q=1")
        async with Simulator() as plant:
            plant.device(device).set(tags[0], 1.5)
            plant.device(device).set(tags[1], -3)
            plant.device(device).set(tags[3], "星")
            plant.device(device).set(other, 9)
            made = kit.adapter(plant.port)
            plan = made.plan(device, [*tags, other])
            assert [request.path for request in plan.requests] == ["/m", "/other?q=1"]
            async with made.open() as session:
                out = await read(session, plan, 5)
                again = await read(session, plan, 5)  # 304: as it was
        assert out.values == again.values == [1.5, -3, None, "星", 9]
        assert out.failures == again.failures == {2: Quality.ADDRESS_REFUSED}

    run(work)


def test_xml(run, kit):
    async def work():
        device = kit.device(format="xml", time={"path": "/m/@at", "format": "iso8601"})
        tags = [
            kit.tag("p", address="/m/axis[2]/pos"),
            kit.tag("n", "int16", address="/m/axis[2]/@n"),
            kit.tag("on", "bool", address="/m/on"),
            kit.tag("none", address="/m/axis[3]/pos"),
            kit.tag("text", "string", address="/m/axis"),
        ]
        body = (
            b'<?xml version="1.0"?><!-- c --><x:m xmlns:x="u" at="2025-11-24T16:00:00Z"><x:axis>a&lt;b</x:axis>'
            b'<axis n="x7"><pos> -1.5 </pos></axis><on>true</on></x:m>'
        )
        bomb = b'<!DOCTYPE m [<!ENTITY a "aaaa">]><m><on>&a;</on></m>'
        with server(lambda handler, number: give(handler, body if number == 1 else bomb)) as (port, _):
            made = kit.adapter(port)
            plan = made.plan(device, tags)
            async with made.open() as session:
                out = await read(session, plan, 5)
                worse = await read(session, plan, 5)
        assert out.values == [-1.5, None, True, None, "a<b"]
        assert out.failures == {1: Quality.UNDECODABLE, 3: Quality.ADDRESS_REFUSED}
        assert set(out.times.values()) == {1_764_000_000_000_000_000}
        assert worse.failures == dict.fromkeys(range(5), Quality.UNDECODABLE)

    run(work)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"bearer": "t0ken"}, ("Authorization", "Bearer t0ken")),
        ({"basic": {"username": "Aladdin", "password": "open sesame"}},
         ("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),  # RFC 7617, 2
        ({"headers": {"X-API-Key": "k"}}, ("X-API-Key", "k")),
    ],
)  # fmt: skip
def test_credentials_are_sent_and_never_shown(run, kit, more, field):
    async def work():
        with server(lambda handler, _: give(handler, b'{"a": 1}')) as (port, seen):
            made = kit.adapter(port, **more)
            async with made.open() as session:
                await read(session, made.plan(kit.device(), [kit.tag("a")]), 1)
            assert seen[0][1][field[0]] == field[1]
            assert not any(secret in repr(made.connection) for secret in ("t0ken", "sesame", "'k'"))

    run(work)


def chunked(handler, _):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b'5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n')


def closing(handler, _):
    give(handler, b'{"a": 1}', Content_Length=None, Connection="close")
    handler.close_connection = True


def old(handler, _):
    handler.protocol_version = "HTTP/1.0"
    give(handler, b'{"a": 1}')


def packed(handler, _):
    give(handler, gzip.compress(b'{"a": 1}'), Content_Encoding="gzip")


@pytest.mark.parametrize("answer", [chunked, closing, old, packed])
def test_ways_to_answer(run, kit, answer):
    async def work():
        with server(answer) as (port, seen):
            made = kit.adapter(port)
            plan = made.plan(kit.device(), [kit.tag("a")])
            async with made.open() as session:
                for _ in range(3):
                    assert (await read(session, plan, 1)).values == [1.0]
            assert len({client for *_, client in seen}) == (3 if answer in (closing, old) else 1)

    run(work)


def test_a_server_that_closed_an_idle_connection_is_asked_on_another(run, kit):
    async def work():
        def answer(handler, _):
            give(handler, b'{"a": 1}')
            handler.close_connection = True  # without saying so

        with server(answer) as (port, _):
            made = kit.adapter(port)
            plan = made.plan(kit.device(), [kit.tag("a")])
            async with made.open() as session:
                for _ in range(3):
                    assert (await read(session, plan, 1)).values == [1.0]
                    await asyncio.sleep(0.05)

    run(work)


@pytest.mark.parametrize(
    ("status", "fields", "outcome"),
    [
        (404, {}, Quality.ADDRESS_REFUSED), (400, {}, Quality.FUNCTION_REFUSED), (500, {}, Quality.DEVICE_FAILURE),
        (302, {"Location": "https://a/b"}, Quality.CONFIG), (401, {}, AuthFault), (503, {"Retry-After": "7"}, Busy),
    ],
)  # fmt: skip
def test_statuses(run, kit, status, fields, outcome):
    async def work():
        def answer(handler, _):
            give(handler, b"", status, **{name.replace("-", "_"): value for name, value in fields.items()})

        with server(answer) as (port, _):
            made = kit.adapter(port)
            plan = made.plan(kit.device(), [kit.tag("a")])
            async with made.open() as session:
                if isinstance(outcome, Quality):
                    assert (await read(session, plan, 1)).failures == {0: outcome}
                else:
                    with pytest.raises(outcome) as caught:
                        await read(session, plan, 1)
                    assert getattr(caught.value, "wait", 7.0) == 7.0

    run(work)


def large(handler, _):
    give(handler, b" " * 5000)


def endless(handler, _):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(1000):
            handler.wfile.write(b" " * 1000)
    except OSError:
        handler.close_connection = True


def bomb(handler, _):
    give(handler, gzip.compress(b" " * 100_000), Content_Encoding="gzip")


def unasked(handler, _):
    give(handler, b"x", Content_Encoding="br")


def twice(handler, _):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def other(handler, _):
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")


@pytest.mark.parametrize("answer", [large, endless, bomb, unasked, twice, other])
def test_what_is_not_taken(run, kit, answer):
    async def work():
        with server(answer) as (port, _):
            made = kit.adapter(port, max_body=2000)
            async with made.open() as session:
                with pytest.raises(ProtocolFault):
                    await read(session, made.plan(kit.device(), [kit.tag("a")]), 1)

    run(work)


def test_a_server_that_hangs_or_is_not_there(run, kit):
    async def work():
        device = kit.device()
        async with Simulator() as plant:
            plant.device(device).silent = True
            made = kit.adapter(plant.port)
            async with made.open() as session:
                with pytest.raises(OutOfStep):
                    await read(session, made.plan(device, [kit.tag("a")]), 1)
            assert (await made.probe(device)).outcome == "timeout"
        assert (await made.probe(device)).outcome == "refused"

    run(work)


@pytest.mark.parametrize(("body", "length"), [(b'{"a": 1', 20), (b"12", None)])
def test_an_answer_that_is_cut_short(run, kit, body, length):
    """A bare number whose length nobody told: who says that it was not longer?"""

    async def work():
        def answer(handler, _):
            give(handler, body, Content_Length=length)
            handler.close_connection = True

        with server(answer) as (port, _):
            made = kit.adapter(port)
            async with made.open() as session:
                with pytest.raises(LinkLost):
                    await read(session, made.plan(kit.device(), [kit.tag("a")]), 1)

    run(work)


@pytest.mark.parametrize(
    ("connection", "device", "address"),
    [
        ({}, {}, "/a/b"),
        ({}, {"format": "xml"}, "$.a"),
        ({}, {"time": {"path": "/a"}}, "$.a"),
        ({"listen": True, "token": "none"}, {"format": "xml"}, "/a"),
    ],
)
def test_what_does_not_go_together(kit, connection, device, address):
    with pytest.raises(ConfigFault):
        kit.adapter(1, **connection).plan(kit.device(**device), [kit.tag("a", address=address)])


@pytest.mark.parametrize(
    "more",
    [
        {"listen": True}, {"token": "x"}, {"listen": True, "token": "x", "tls": {}}, {"headers": {"Host": "a"}},
        {"headers": {"X": "a\r\nb"}}, {"bearer": "a", "basic": {"username": "u", "password": "p"}},
    ],
)  # fmt: skip
def test_connections_that_make_no_sense(kit, more):
    with pytest.raises(ValidationError):
        kit.adapter(1, **more)
