"""The MQTT sink against real brokers: who is let in, who is trusted, what is said when it goes wrong."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from gateway.model.faults import AuthFault, ConfigFault, LinkLost
from gateway.sdk.sink import Message, Rejected
from gateway.testing.ports import free_port
from tests.mosquitto import Mosquitto
from tests.platform import until
from tests.scripted_broker import ScriptedBroker
from tests.sinks.connecting import BIRTH, BYE, STATUS, WILL, deliver, fault_of, retained, sink


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
            await asyncio.sleep(0.2 * next(order))
            return 0

        async with ScriptedBroker(later) as broker, sink(broker.port, ack_timeout="1s").open() as session:
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
