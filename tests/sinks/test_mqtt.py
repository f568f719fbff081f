"""The MQTT sink against real brokers: who is let in, who is trusted, what is said when it goes wrong."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from gateway.model.faults import AuthFault, ConfigFault, Fault, LinkLost
from gateway.sdk.sink import Message, Rejected
from gateway.sinks import make_sink, sink_model
from tests.mosquitto import Mosquitto, free_port
from tests.platform import until
from tests.scripted_broker import ScriptedBroker
from tests.sinks.authority import Authority

STATUS = "xingsha/v1/gw/status"
WILL, BIRTH, BYE = (Message(STATUS, text, True) for text in (b'"will"', b'"birth"', b'"bye"'))


def sink(port: int, folder: Path = Path(), **settings):
    given = {"host": "127.0.0.1", "port": port, "connect_timeout": "2s"} | settings
    return make_sink("mqtt", sink_model("mqtt").model_validate(given), "gw", "cloud", folder=folder)


def deliver(target, *messages: Message) -> None:
    async def main():
        async with target.open(will=WILL, birth=BIRTH, farewell=BYE) as session:
            for message in messages:
                await session.send(message)

    asyncio.run(main())


def fault_of(target) -> Fault:
    with pytest.raises(Fault) as caught:
        deliver(target)
    return caught.value


def retained(port: int, topic: str, *more: str) -> bytes:
    done = subprocess.run(
        ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-C", "1", "-W", "10", *more],
        capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_birth_then_farewell(tmp_path, protocol):
    async def main():
        async with sink(broker.port, protocol=protocol).open(will=WILL, birth=BIRTH, farewell=BYE) as session:
            assert await asyncio.to_thread(retained, broker.port, STATUS) == b'"birth"'
            await session.send(Message("a/b", b"x" * 100_000, True))
        assert await asyncio.to_thread(retained, broker.port, STATUS) == b'"bye"'

    with Mosquitto(tmp_path) as broker:
        asyncio.run(main())
        assert len(retained(broker.port, "a/b")) == 100_000


def test_without_status_messages(tmp_path):
    async def main():
        async with sink(broker.port).open() as session:
            await session.send(Message("a/b", b"kept", True))
        assert await asyncio.to_thread(retained, broker.port, "#") == b"kept"

    with Mosquitto(tmp_path) as broker:
        asyncio.run(main())


def test_will_when_cut_and_farewell_when_cancelled(tmp_path):
    async def main():
        opened = asyncio.Event()

        async def live():
            async with sink(broker.port).open(will=WILL, birth=BIRTH, farewell=BYE) as session:
                opened.set()
                await session.watch()

        task = asyncio.create_task(live())
        await asyncio.wait_for(opened.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(retained, broker.port, STATUS) == b'"bye"'
        with pytest.raises(RuntimeError, match="mishap"):
            async with sink(broker.port).open(will=WILL, birth=BIRTH, farewell=BYE):
                raise RuntimeError("mishap")
        while await asyncio.to_thread(retained, broker.port, STATUS) != b'"will"':
            await asyncio.sleep(0.02)

    with Mosquitto(tmp_path) as broker:
        asyncio.run(main())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "test authority")


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory, authority):
    cert, key = authority.issue("broker", "DNS:localhost")
    folder = tmp_path_factory.mktemp("tls")
    users = folder / "users"
    subprocess.run(["mosquitto_passwd", "-c", "-b", users, "plant", "s3cret"], check=True, capture_output=True)
    users.chmod(0o644)
    lines = (f"certfile {cert}", f"keyfile {key}", f"cafile {authority.cert}", "require_certificate true",
             "allow_anonymous false", f"password_file {users}")  # fmt: skip
    with Mosquitto(folder, *lines) as broker:
        yield broker


def mutual(authority, name="client", **more) -> dict:
    cert, key = authority.issue(name, "DNS:client")
    return {
        "tls": {"ca": authority.cert, "cert": cert, "key": key},
        "username": "plant",
        "password": "s3cret",
        "host": "localhost",
    } | more


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_mutual_tls_with_user_and_password(tls_broker, authority, protocol):
    deliver(sink(tls_broker.port, **mutual(authority, protocol=protocol)), Message("a", b"x" * 300_000))


def test_relative_paths_and_encrypted_key(tls_broker, authority):
    cert, key = authority.issue("locked", "DNS:client", password="open sesame")
    tls = {"ca": "ca.crt", "cert": cert.name, "key": key.name, "key_password": "open sesame"}
    deliver(sink(tls_broker.port, authority.folder, **mutual(authority, tls=tls)))
    for wrong in ("close sesame", None):
        fault = fault_of(
            sink(tls_broker.port, authority.folder, **mutual(authority, tls=tls | {"key_password": wrong}))
        )
        assert isinstance(fault, ConfigFault)
        assert fault.code == "tls_files"
        assert "locked" in str(fault)


def test_wrong_password_over_tls(tls_broker, authority):
    fault = fault_of(sink(tls_broker.port, **mutual(authority, password="guess")))
    assert isinstance(fault, AuthFault)
    assert fault.code == "auth_refused"
    assert "guess" not in str(fault)


def test_broker_that_is_not_trusted(tls_broker, authority, tmp_path):
    stranger = Authority(tmp_path, "stranger")
    given = mutual(authority)
    fault = fault_of(sink(tls_broker.port, **given | {"tls": given["tls"] | {"ca": stranger.cert}}))
    assert (type(fault), fault.code) == (AuthFault, "tls_untrusted")


def test_system_authorities_do_not_trust_it_either(tls_broker, authority):
    given = mutual(authority)
    fault = fault_of(sink(tls_broker.port, **given | {"tls": {key: given["tls"][key] for key in ("cert", "key")}}))
    assert fault.code == "tls_untrusted"


def test_broker_with_another_name(tls_broker, authority):
    fault = fault_of(sink(tls_broker.port, **mutual(authority, host="127.0.0.1")))
    assert (type(fault), fault.code) == (AuthFault, "tls_hostname")
    given = mutual(authority, host="127.0.0.1")
    deliver(sink(tls_broker.port, **given | {"tls": given["tls"] | {"server_name": "localhost"}}))
    deliver(sink(tls_broker.port, **given | {"tls": given["tls"] | {"verify": False}}))
    fault = fault_of(sink(tls_broker.port, **given | {"tls": given["tls"] | {"server_name": "elsewhere"}}))
    assert fault.code == "tls_hostname"


def test_broker_whose_certificate_has_expired(authority, tmp_path):
    cert, key = authority.issue("old", "DNS:localhost", days=-1)
    with Mosquitto(tmp_path, "allow_anonymous true", f"certfile {cert}", f"keyfile {key}") as broker:
        fault = fault_of(sink(broker.port, host="localhost", tls={"ca": authority.cert}))
    assert (type(fault), fault.code) == (AuthFault, "tls_expired")


def test_broker_that_wants_a_certificate_we_do_not_have(tls_broker, authority):
    given = mutual(authority)
    fault = fault_of(sink(tls_broker.port, **given | {"tls": {"ca": authority.cert}}))
    assert isinstance(fault, LinkLost)
    assert "certificate required" in str(fault).lower().replace("_", " ")


def test_plain_against_tls_and_tls_against_plain(tls_broker, authority, tmp_path):
    assert isinstance(fault_of(sink(tls_broker.port)), LinkLost)
    with Mosquitto(tmp_path) as broker:
        fault = fault_of(sink(broker.port, host="localhost", tls={"ca": authority.cert}))
    assert isinstance(fault, LinkLost)


@pytest.mark.parametrize("name", ["ca", "cert"])
def test_files_that_are_missing_or_no_certificates(tls_broker, authority, tmp_path, name):
    given = mutual(authority)
    for path in (tmp_path / "not there.pem", tmp_path / "empty.pem"):
        fault = fault_of(sink(tls_broker.port, **given | {"tls": given["tls"] | {name: path}}))
        assert (type(fault), fault.code) == (ConfigFault, "tls_files")
        assert path.name in str(fault)
        (tmp_path / "empty.pem").write_text("hello")


def test_nobody_there(tmp_path):
    fault = fault_of(sink(free_port()))
    assert (type(fault), fault.code) == (LinkLost, "connect_refused")
    fault = fault_of(sink(free_port(), host="no-such-host.invalid"))
    assert isinstance(fault, LinkLost)
    assert "no-such-host.invalid" in str(fault)


def test_somebody_there_who_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fault = fault_of(sink(silent.getsockname()[1], connect_timeout="300ms"))
    assert isinstance(fault, LinkLost)


def test_somebody_there_who_does_not_speak_mqtt():
    async def answer(_reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            with pytest.raises(LinkLost):
                async with sink(server.sockets[0].getsockname()[1], connect_timeout="500ms").open():
                    pass

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (0x84, ConfigFault, "mqtt_version_refused"),
        (0x85, ConfigFault, "client_id_refused"),
        (0x86, AuthFault, "auth_refused"),
        (0x88, LinkLost, "broker_unavailable"),
        (0x8A, AuthFault, "auth_banned"),
        (0x97, LinkLost, "broker_quota"),
        (0x9A, ConfigFault, "retain_not_supported"),
        (0x9B, ConfigFault, "qos_not_supported"),
        (0x80, LinkLost, "connect_refused"),
    ],
)
def test_refusals_of_a_connection(code, kind, reason):
    async def main():
        async with ScriptedBroker(connack=code) as broker:
            with pytest.raises(kind) as caught:
                async with sink(broker.port).open():
                    pass
        assert caught.value.code == reason

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (0x80, Rejected, "rejected_by_platform"),
        (0x87, AuthFault, "publish_not_authorised"),
        (0x90, ConfigFault, "topic_refused"),
        (0x91, LinkLost, "packet_id_in_use"),
        (0x83, Rejected, "rejected_by_platform"),
        (0x99, Rejected, "payload_refused"),
        (-256 - 0x8B, LinkLost, "broker_stopped"),
        (-256 - 0x8E, LinkLost, "client_id_taken"),
        (-256 - 0x80, LinkLost, "link_lost"),
        (-256 - 0x87, AuthFault, "auth_refused"),
    ],
)
def test_refusals_of_a_message(answer, kind, reason):
    async def main():
        async with ScriptedBroker(lambda _: answer) as broker, sink(broker.port).open() as session:
            with pytest.raises(kind) as caught:
                await session.send(Message("a/b", b"x"))
            assert caught.value.code == reason
            if answer < 0:
                with pytest.raises(kind):
                    await session.watch()
                with pytest.raises(kind):
                    await session.send(Message("a/b", b"x"))

    asyncio.run(main())


def test_a_birth_that_is_refused_needs_somebody_to_look():
    async def main():
        async with ScriptedBroker(lambda _: 0x99) as broker:
            with pytest.raises(ConfigFault) as caught:
                async with sink(broker.port).open(birth=BIRTH):
                    pass
        assert caught.value.code == "payload_refused"

    asyncio.run(main())


def test_too_large_is_said_before_it_is_sent():
    async def main():
        async with ScriptedBroker(properties={"maximum_packet_size": 5000}) as broker:
            async with sink(broker.port).open() as session:
                assert 4000 < session.max_payload < 5000
                with pytest.raises(Rejected, match="the broker takes 5000") as caught:
                    await session.send(Message("a/b", bytes(6000)))
                assert caught.value.code == "packet_too_large"
                await session.send(Message("a/b", bytes(session.max_payload), content_type="application/json"))
            async with sink(broker.port, max_packet=2000).open() as session:
                assert session.max_payload < 2000
            return [len(one.payload) for one in broker.received]

    (size,) = asyncio.run(main())
    assert 4000 < size < 5000


def test_bytes_in_flight_are_bounded_but_one_always_passes():
    async def main():
        gate = asyncio.Event()

        async def later(_publish):
            await gate.wait()
            return 0

        async with ScriptedBroker(later) as broker, sink(broker.port, in_flight_bytes=1000).open() as session:
            sends = [asyncio.ensure_future(session.send(Message("a", bytes(size)))) for size in (5000, 300, 300, 600)]
            await until(lambda: broker.received)
            await asyncio.sleep(0.05)
            assert [len(one.payload) for one in broker.received] == [5000]
            sends[1].cancel()
            gate.set()
            await asyncio.gather(sends[0], *sends[2:])
            assert [len(one.payload) for one in broker.received] == [5000, 300, 600]

    asyncio.run(main())


def test_pending_sends_end_when_the_link_does():
    async def main():
        async with ScriptedBroker(lambda _: -1) as broker, sink(broker.port, in_flight=2).open() as session:
            sends = [asyncio.ensure_future(session.send(Message("a", b"x"))) for _ in range(5)]
            await until(lambda: len(broker.received) == 2)
            broker.drop()
            results = await asyncio.gather(*sends, return_exceptions=True)
            assert [type(one) for one in results] == [LinkLost] * 5

    asyncio.run(main())


def test_slow_but_steady_is_not_silence():
    """The time allowed for acknowledgements starts anew with each one."""

    async def main():
        order = iter(range(1, 7))

        async def later(_publish):
            await asyncio.sleep(0.15 * next(order))
            return 0

        async with ScriptedBroker(later) as broker, sink(broker.port, ack_timeout="400ms").open() as session:
            await asyncio.gather(*(session.send(Message("a", b"x")) for _ in range(6)))
            broker.decide = lambda _: -1
            with pytest.raises(LinkLost) as caught:
                await session.send(Message("a", b"x"))
            assert caught.value.code == "no_acknowledgement"

    asyncio.run(main())


def test_a_frozen_broker_is_noticed_by_keepalive_alone(tmp_path):
    async def main():
        async with sink(broker.port, keepalive="1s").open() as session:
            broker.signal(signal.SIGSTOP)
            with pytest.raises(LinkLost):
                await asyncio.wait_for(session.watch(), 20)
            broker.signal(signal.SIGCONT)

    with Mosquitto(tmp_path) as broker:
        asyncio.run(main())


def test_cancelling_a_connect_leaves_nothing_behind():
    async def main():
        async with ScriptedBroker(connack=0) as broker:

            async def never(*_):
                await asyncio.Event().wait()

            broker._connect = never
            task = asyncio.ensure_future(sink(broker.port, connect_timeout="500ms").open().__aenter__())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not [one for one in others if "misc" in repr(one)]

    asyncio.run(main())


@pytest.fixture(scope="module")
def nats(tmp_path_factory):
    program = Path(
        subprocess.run(["which", "nats-server"], capture_output=True, text=True, check=False).stdout.strip()
        or "/nonexistent"
    )
    beside = Path(__import__("sys").executable).parent / "nats-server"
    program = beside if beside.exists() else program
    if not program.exists():
        pytest.skip("nats-server is not installed")
    folder = tmp_path_factory.mktemp("nats")
    port = free_port()
    conf = folder / "nats.conf"
    conf.write_text(
        f'server_name: t\nhost: 127.0.0.1\nport: {free_port()}\njetstream {{ store_dir: "{folder}" }}\nmqtt {{ host: 127.0.0.1, port: {port} }}\n'
    )
    process = subprocess.Popen([program, "-c", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        asyncio.run(until(lambda: _answers(port)))
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_nats_as_the_broker(nats):
    def later():
        deliver(
            sink(nats, protocol="3.1.1", connect_timeout="10s"),
            Message("xingsha/v1/gw/schema/00", json.dumps([1]).encode(), True),
        )

    later()
    assert retained(nats, "xingsha/v1/gw/schema/+", "-V", "311") == b"[1]"
    assert retained(nats, STATUS, "-V", "311") == b'"bye"'
    fault = fault_of(sink(nats, protocol="5"))
    assert isinstance(fault, ConfigFault | LinkLost)


def test_paths_that_a_lane_does_not_take():
    """A receipt nobody waits for, a message given up while it waited, a link lost while leaving."""

    async def main():
        async with ScriptedBroker(lambda publish: -1 if publish.topic == "slow" else 0) as broker:
            target = sink(broker.port, in_flight=1)
            async with target.open(will=WILL, birth=BIRTH, farewell=BYE) as session:
                first = asyncio.ensure_future(session.send(Message("slow", b"x")))
                await until(lambda: len(broker.received) == 2)
                first.cancel()
                late = asyncio.ensure_future(session.send(Message("a", b"x")))
                await asyncio.sleep(0)
                late.cancel()
                session._acknowledged(65_000, 0, "Success")
                broker.drop()
                with pytest.raises(LinkLost):
                    await session.watch()
            assert [one.topic for one in broker.received] == [STATUS, "slow"]

    asyncio.run(main())


def test_a_host_name_that_cannot_be():
    fault = fault_of(sink(1883, host=f"{'a' * 70}..b"))
    assert (type(fault), fault.code) == (ConfigFault, "config_invalid")
