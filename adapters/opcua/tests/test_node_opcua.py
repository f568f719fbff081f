"""Against an independent implementation in another language: node-opcua as the server."""

import asyncio
import time

import pytest

from adapters.opcua import adapter, trust
from adapters.opcua.tests.conftest import ended, needs_peer, peer, until
from gateway.sdk import Access, AuthFault, ConfigFault, DataType, LinkLost, Quality, TagFault, Write

pytestmark = needs_peer

VALUES = {
    "Boolean": ("bool", True, True), "SByte": ("int8", -128, -128), "Byte": ("uint8", 255, 255),
    "Int16": ("int16", -32768, -32768), "UInt16": ("uint16", 65535, 65535), "Int32": ("int32", -2147483648, -2147483648),
    "UInt32": ("uint32", 4294967295, 4294967295), "Int64": ("int64", str(-(2**63)), -(2**63)),
    "UInt64": ("uint64", str(2**64 - 1), 2**64 - 1), "Float": ("float32", -6.5, -6.5), "Double": ("float64", 1e300, 1e300),
    "String": ("string", "水Boy", "水Boy"), "ByteString": ("bytes", "00ff41", b"\x00\xff\x41"),
    "DateTime": ("int64", 1_700_000_000_123, 1_700_000_000_123_000_000),
    "Guid": ("string", "72962b91-fa75-4ae6-8d28-b404dc7daf63", "72962b91-fa75-4ae6-8d28-b404dc7daf63"),
}  # fmt: skip
"""Type of the server → type of the tag, what the server has, what the tag gets."""


def value_tags(kit):
    return [kit.tag(kind, tag) for kind, (tag, _, _) in VALUES.items()]


async def fill(server):
    for kind, (_, value, _) in VALUES.items():
        await server.add(kind, kind, value)


@pytest.mark.parametrize("delivery", ["subscribe", "poll"])
def test_every_type(run, kit, made, tmp_path, delivery):
    async def work():
        async with peer(tmp_path) as server:
            await fill(server)
            tags = [*value_tags(kit), kit.tag("none"), kit.tag("element", "int32", "nsu=urn:peer;s=array", index="2")]
            await server.add("array", "Int32", [5, 6, 7])
            opcua = made(server, delivery=delivery)
            if delivery == "poll":
                async with opcua.open() as session:
                    found = await kit.poll(session, opcua.plan(kit.device(), tags))
                    assert found.pop("none") is Quality.ADDRESS_REFUSED
            else:
                feed = kit.feed(opcua, tags)
                async with kit.subscribed(opcua, feed):
                    await until(lambda: all(feed.told.values()))
                    assert feed.quality("none") is Quality.ADDRESS_REFUSED
                    found = {name: feed.last(name) for name in feed.told if name != "none"}
            assert found == {kind: value for kind, (_, _, value) in VALUES.items()} | {"element": 7}

    run(work)


@pytest.mark.parametrize("policy", ["basic256sha256", "aes128_sha256_rsaoaep", "aes256_sha256_rsapss"])
@pytest.mark.parametrize("mode", ["sign", "sign_and_encrypt"])
def test_every_security(run, kit, made, tmp_path, policy, mode):
    async def work():
        async with peer(tmp_path) as server:
            await server.add("a", "Double", 1.5)
            own = {
                "policy": policy,
                "mode": mode,
                "pki": str(tmp_path / "own"),
                "user": "operator",
                "password": "secret",
            }
            opcua = made(server, **own)
            with pytest.raises(AuthFault, match=r"SHA-256 [0-9a-f]{64}, SHA-1 [0-9a-f]{40}") as raised:
                async with opcua.open():
                    raise AssertionError("an unknown server was trusted")
            assert raised.value.code == "certificate_not_trusted"
            refused = [one for one in await trust(opcua.connection) if one.state == "refused"]
            with pytest.raises(ConfigFault) as raised:
                await trust(opcua.connection, "0123456789")
            assert raised.value.code == "certificate_unknown"
            await trust(opcua.connection, refused[0].thumbprint[:12])
            feed = kit.feed(opcua, [kit.tag("a")])
            async with kit.subscribed(opcua, feed):
                await until(lambda: feed.last("a") == 1.5)
                await server.set("a", 2.5)
                await until(lambda: feed.last("a") == 2.5)
            wrong = adapter(kit.connection(server.url, **(own | {"password": "wrong"})))
            probed = await wrong.probe(kit.device())
            assert (probed.outcome, "secret" in repr(wrong.connection)) == ("auth", False)

    run(work)


def test_a_server_that_does_not_trust_us(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path, accept=False) as server:
            opcua = made(server, policy="basic256sha256", pki=str(tmp_path / "own"))
            shown = [one for one in await trust(opcua.connection) if one.state == "refused"]
            await trust(opcua.connection, shown[0].sha1)
            with pytest.raises((AuthFault, LinkLost)) as raised:
                async with opcua.open():
                    raise AssertionError("node-opcua should have refused")
            assert raised.value.code in ("certificate_rejected", "link_lost")

    run(work)


def test_a_password_never_travels_in_clear_unasked(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path, anonymous=False) as server:
            probed = await made(server).probe(kit.device())
            assert probed.outcome == "auth"
            opcua = made(server, user="operator", password="secret")
            probed = await opcua.probe(kit.device())
            assert probed.outcome in ("ok", "refused")
            if probed.outcome == "refused":
                assert "in clear" in probed.detail

    run(work)


def test_probe_and_security_not_offered(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path) as server:
            probed = await made(server).probe(kit.device())
            assert probed.outcome == "ok"
            assert dict(probed.identity) == {
                "product": "peer",
                "vendor": "node",
                "version": dict(probed.identity)["version"],
            }

    run(work)


def test_writing(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path) as server:
            await fill(server)
            async with made(server).open() as session:
                tags = {tag.name: tag for tag in value_tags(kit)}
                for name, value in (
                    ("Double", 2.5),
                    ("Int16", -3),
                    ("Boolean", False),
                    ("String", "new"),
                    ("ByteString", b"ab"),
                ):
                    await session.write(kit.device(), [Write(tags[name], value)])
                    got = (await server.tell(get={"name": name}))["value"]
                    assert got == ("6162" if name == "ByteString" else value)
                wide = kit.tag("Int16", "int32", access="read/write")
                with pytest.raises(TagFault, match="does not fit"):
                    await session.write(kit.device(), [Write(wide, 70_000)])
                with pytest.raises(TagFault, match=r"no such|BadNodeIdUnknown"):
                    await session.write(kit.device(), [Write(kit.tag("none"), 1.0)])

    run(work)


def test_browsing_in_pages(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path, limit=7) as server:
            for number in range(40):
                await server.add(f"v{number}", "Int32", number)
            opcua = made(server)
            found = {node.path: node async for node in opcua.browse(kit.device())}
            node = found["Plant/v39"]
            assert (node.address, node.type, node.access) == ("nsu=urn:peer;s=v39", DataType.INT32, Access.READ_WRITE)
            assert not any(path.startswith("Server/") for path in found)
            below = [node.path async for node in opcua.browse(kit.device(root="/Objects/2:Plant"))]
            assert len(below) == 40
            only = [node.path async for node in opcua.browse(kit.device(), "Plant/v7")]
            assert only == ["Plant/v7"]
            with pytest.raises(TagFault, match="nothing is called"):
                async for _ in opcua.browse(kit.device(), "Plant/none"):
                    pass
            stopped = opcua.browse(kit.device())
            async for _ in stopped:
                break
            await stopped.aclose()

    run(work)


def test_browse_paths_in_chunks(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path, limit=7) as server:
            for number in range(20):
                await server.add(f"v{number}", "Int32", number)
            tags = [kit.tag(f"v{number}", "int32", f"/Objects/nsu=urn:peer;Plant/2:v{number}") for number in range(20)]
            tags.append(kit.tag("none", "int32", "/Objects/2:Plant/2:none"))
            tags.append(kit.tag("nowhere", "int32", "/Objects/nsu=urn:nobody;Plant"))
            opcua = made(server)
            feed = kit.feed(opcua, tags)
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: all(feed.told.values()))
                assert [feed.last(f"v{number}") for number in range(20)] == list(range(20))
                assert {feed.quality("none"), feed.quality("nowhere")} == {Quality.ADDRESS_REFUSED}
                assert session.server.bounds.items == 7

    run(work)


def test_source_time_and_status(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path) as server:
            await server.add("a", "Double", 1.0)
            await server.add("b", "Double", 1.0)
            opcua = made(server)
            feed = kit.feed(opcua, [kit.tag("a"), kit.tag("b")])
            async with kit.subscribed(opcua, feed):
                await until(lambda: feed.last("a") == 1.0)
                moment = int(time.time() * 1000) - 5000
                await server.set("a", 2.0, time=moment)
                await until(lambda: feed.last("a") == 2.0)
                assert feed.told["a"][-1][2] == moment * 1_000_000
                for word, quality in (
                    ("BadSensorFailure", Quality.SENSOR_FAILURE),
                    ("UncertainLastUsableValue", Quality.SENSOR_UNCERTAIN),
                    ("BadNotConnected", Quality.NOT_CONNECTED),
                    ("Good", Quality.GOOD),
                ):
                    await server.set("a", 3.0, status=word)
                    await until(lambda quality=quality: feed.quality("a") is quality)
                    assert feed.quality("b") is Quality.GOOD

    run(work)


def test_every_change_arrives_in_order(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path) as server:
            await server.add("a", "Int32", 0)
            opcua = made(server)
            feed = kit.feed(opcua, [kit.tag("a", "int32")], queue=1000, sampling=0)
            async with kit.subscribed(opcua, feed):
                await until(lambda: feed.last("a") == 0)
                for number in range(1, 101):
                    await server.set("a", number)
                await until(lambda: feed.last("a") == 100)
                assert feed.values("a") == list(range(101))

    run(work)


def test_a_cut_connection_loses_nothing(run, kit, made, tmp_path):
    """The session is resumed on a new channel, and what was sent into the old one is sent again."""

    async def work():
        async with peer(tmp_path) as server:
            for name in ("a", "still"):
                await server.add(name, "Int32", 0)
            opcua = made(server)
            feed = kit.feed(opcua, [kit.tag("a", "int32"), kit.tag("still", "int32")], queue=1000, sampling=0)
            for turn in range(3):

                async def lost(turn=turn):
                    async with kit.subscribed(opcua, feed) as (session, _):
                        await until(lambda: feed.last("a") == 10 * turn and feed.signs)
                        assert session.channel.resumed is (turn > 0)
                        session.channel._client.socket.transport.abort()
                        await ended(session)

                with pytest.raises(LinkLost):
                    await lost()
                for number in range(10 * turn + 1, 10 * turn + 11):
                    await server.set("a", number)
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: feed.last("a") == 30)
                assert session.channel.resumed
                await session.read_history(feed, time.time_ns() - 10**8, time.time_ns())
            assert list(dict.fromkeys(feed.values("a"))) == list(range(31))
            assert len(feed.told["still"]) >= 2, "what did not change must be told again after an interruption"
            assert (await server.state())["sessions"] == 0

    run(work)


def test_subscriptions_that_the_server_ends_are_made_anew(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path) as server:
            await server.add("a", "Int32", 1)
            opcua = made(server)
            feed = kit.feed(opcua, [kit.tag("a", "int32")])
            async with kit.subscribed(opcua, feed):
                await until(lambda: feed.last("a") == 1)
                await server.tell(end_subscriptions=True)
                await until(lambda: feed.faults)
                await server.set("a", 2)
                await until(lambda: feed.last("a") == 2)
                assert (await server.state())["subscriptions"] == 1

    run(work)


def test_history_fills_an_interruption(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path) as server:
            await server.add("h", "Double", 0.0, history=True)
            await server.add("g", "Int32", 0, history=True)
            await server.add("n", "Double", 0.0)
            begin = time.time_ns()
            await asyncio.sleep(0.01)
            for number in range(1, 6):
                await server.set("h", number / 2)
                await server.set("g", number)
                await asyncio.sleep(0.005)
            opcua = made(server)
            feed = kit.feed(opcua, [kit.tag("h"), kit.tag("g", "int32")])
            async with opcua.open() as session:
                await session.read_history(feed, begin, time.time_ns())
                assert feed.values("h") == [0.5, 1.0, 1.5, 2.0, 2.5]
                assert feed.values("g") == [1, 2, 3, 4, 5]
                assert all(begin < when < time.time_ns() and replayed for _, _, when, replayed in feed.told["h"])
                mixed = kit.feed(opcua, [kit.tag("h"), kit.tag("n"), kit.tag("none")])
                with pytest.raises(TagFault, match="no history of") as raised:
                    await session.read_history(mixed, begin, time.time_ns())
                assert raised.value.code == "no_history"
                assert mixed.values("h") == [0.5, 1.0, 1.5, 2.0, 2.5]

    run(work)


def test_a_server_that_is_killed_and_comes_back(run, kit, made, tmp_path):
    async def work():
        async with peer(tmp_path) as server:
            await server.add("a", "Int32", 1)
            opcua = made(server)
            feed = kit.feed(opcua, [kit.tag("a", "int32")])

            async def lost():
                async with kit.subscribed(opcua, feed) as (session, _):
                    await until(lambda: feed.last("a") == 1)
                    server.kill()
                    await ended(session)

            with pytest.raises(LinkLost):
                await lost()
            port = server.port
        with pytest.raises(LinkLost) as raised:
            async with opcua.open():
                raise AssertionError("nobody is there")
        assert raised.value.code == "connection_refused"
        async with peer(tmp_path, port=port) as server:
            await server.add("a", "Int32", 2)
            async with kit.subscribed(opcua, feed) as (session, _):
                await until(lambda: feed.last("a") == 2)
                assert not session.channel.resumed

    run(work)
