"""The whole way with programs of others: machines are mosquitto_pub, the broker is Mosquitto, and the gateway is killed."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import ssl
import subprocess
import sys
import time

import paho.mqtt.client as paho
import pytest

from adapters.mqtt import adapter
from adapters.mqtt.tests.conftest import until
from gateway.sdk import AuthFault, LinkLost
from tests.mosquitto import PROGRAM, Mosquitto
from tests.platform import Platform

PUBLISH = shutil.which("mosquitto_pub") or ""

pytestmark = pytest.mark.skipif(not (shutil.which(PROGRAM) and PUBLISH), reason="mosquitto is not installed")


@pytest.fixture
def broker(tmp_path):
    with Mosquitto(tmp_path / "broker", "allow_anonymous true", "allow_zero_length_clientid true") as running:
        yield running


def tell(broker, topic, *messages, qos=1):
    """Publish with mosquitto_pub, one message a line."""
    command = [PUBLISH, "-p", str(broker.port), "-t", topic, "-q", str(qos), "-l"]
    subprocess.run(command, input="".join(f"{line}\n" for line in messages), text=True, check=True, timeout=60)


def subscribed(broker, count=1):
    """Wait until so many clients have subscribed, by the broker's own log of it."""
    log = broker.folder / "mosquitto.log"

    def there():
        return log.exists() and log.read_text().count("Sending SUBACK") >= count

    return until(there)


@pytest.fixture
def wordy(tmp_path):
    with Mosquitto(tmp_path / "broker", "allow_anonymous true", "log_type all") as running:
        yield running


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_quality_of_service(run, kit, wordy, protocol, qos):
    async def work():
        feed = kit.feed(kit.device(topic="hall/+/data"), kit.tag("t"), kit.tag("s", "string"))
        feeds = kit.feeds(feed)
        connection = kit.connection(wordy.port, protocol=protocol, qos=2)
        async with kit.subscribed(connection, feeds):
            await subscribed(wordy)
            tell(wordy, "hall/1/data", *(json.dumps({"t": n, "s": "温度"}) for n in range(300)), qos=qos)
            await until(lambda: len(feed.values) == 300)
        assert feed.values == [{"t": n, "s": "温度"} for n in range(300)]

    run(work)


def test_what_comes_while_the_gateway_is_away(run, kit, wordy, protocol):
    async def work():
        connection = kit.connection(wordy.port, protocol=protocol)
        feed = kit.feed(kit.device(), kit.tag("t"))
        async with kit.subscribed(connection, kit.feeds(feed)):
            await subscribed(wordy)
        tell(wordy, "m/1", *(json.dumps({"t": n}) for n in range(200)))
        async with kit.subscribed(connection, kit.feeds(feed)):
            await until(lambda: len(feed.values) == 200)
        assert feed.values == [{"t": n} for n in range(200)]

    run(work)


def test_a_payload_that_is_too_large(run, kit, wordy, protocol):
    async def work():
        feed = kit.feed(kit.device(), kit.tag("t"))
        async with kit.subscribed(kit.connection(wordy.port, protocol=protocol, max_payload=1000), kit.feeds(feed)):
            await subscribed(wordy)
            tell(wordy, "m/1", '{"t": 1}', "x" * 300_000, '{"t": 2}')
            await until(lambda: len(feed.samples) == 3)
        assert [sample[:2] for sample in feed.samples] == [({"t": 1}, {}), ({}, {"t": "undecodable"}), ({"t": 2}, {})]

    run(work)


def test_a_second_client_of_the_same_name(run, kit, wordy):
    async def work():
        feeds = [kit.feed(kit.device(), kit.tag("t")) for _ in range(2)]
        connection = kit.connection(wordy.port)
        async with kit.subscribed(connection, kit.feeds(feeds[0])) as first:
            await subscribed(wordy)
            async with kit.subscribed(connection, kit.feeds(feeds[1])):
                await until(first.done)
                assert isinstance(first.exception(), LinkLost), "this version of Mosquitto does not say why"

    run(work)


def test_users_and_rights(run, kit, tmp_path):
    (tmp_path / "passwords").touch()
    passwd = shutil.which("mosquitto_passwd")
    subprocess.run([passwd, "-b", tmp_path / "passwords", "gw", "right"], check=True)
    (tmp_path / "rights").write_text("user gw\ntopic read m/1\n")
    settings = ("allow_anonymous false", f"password_file {tmp_path}/passwords", f"acl_file {tmp_path}/rights")
    (tmp_path / "passwords").chmod(0o600)

    async def work():
        with Mosquitto(tmp_path / "broker", *settings) as broker:

            async def outcome(topic, **more):
                made = adapter(kit.connection(broker.port, username="gw", **more))
                return (await made.probe(kit.device(topic=topic))).outcome

            for protocol in ("5", "3.1.1"):
                assert await outcome("m/1", password="right", protocol=protocol) == "ok"
                assert await outcome("m/1", password="wrong", protocol=protocol) == "auth"
            with pytest.raises(AuthFault):
                async with adapter(kit.connection(broker.port)).open():
                    pass

    run(work)


def test_tls(run, kit, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip

    async def work():
        with Mosquitto(
            tmp_path / "broker", "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}"
        ) as broker:

            async def probed(**more):
                settings = {"host": "localhost", "tls": {"ca": str(certificate)}} | more
                return (await adapter(kit.connection(broker.port, **settings)).probe(kit.device())).outcome

            assert await probed() == "ok"
            assert await probed(tls={}) == "auth", "nobody vouches for this certificate"
            assert await probed(tls={"verify": False}) == "ok"
            assert await probed(tls=None) in ("refused", "wrong_protocol")
            feed = kit.feed(kit.device(), kit.tag("t"))
            feeds = kit.feeds(feed)
            connection = kit.connection(broker.port, host="localhost", tls={"ca": str(certificate)})
            async with kit.subscribed(connection, feeds):
                client = paho.Client(paho.CallbackAPIVersion.VERSION2, "machine")
                context = ssl.create_default_context(cafile=certificate)
                client.tls_set_context(context)
                client.connect("localhost", broker.port)
                client.loop_start()
                for number in range(50):  # the first may come before the subscription
                    client.publish("m/1", b'{"t": %d}' % number, 1)
                    if feed.values:
                        break
                    await asyncio.sleep(0.05)
                feeds.full = True
                for number in range(100, 200):
                    client.publish("m/1", b'{"t": %d}' % number, 1)
                await asyncio.sleep(0.1)
                feeds.make_room()
                await until(lambda: feed.values[-1:] == [{"t": 199}])
                client.disconnect()
                client.loop_stop()
                assert [sample["t"] for sample in feed.values if sample["t"] >= 100] == list(range(100, 200))

    run(work)


GATEWAY = """
gateway: {{id: plant}}
observe: {{http: "off"}}
bus: {{path: journal.db, linger: 20ms}}
connections:
  machines: {{adapter: mqtt, host: 127.0.0.1, port: {port}, client_id: gateway-1, retry: 200ms, protocol: "{protocol}"}}
devices:
  m1: {{connection: machines, topic: machines/1/data, time: {{path: $.ts}}, tags: [{{name: n, type: int32, address: $.n}}]}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {port}}}}}
"""


def test_qos_1_survives_a_gateway_that_is_killed(wordy, tmp_path, protocol):
    """SIGKILL at odd moments, several times, while a machine goes on publishing: every value reaches the platform."""
    config = tmp_path / "plant.yaml"
    config.write_text(GATEWAY.format(port=wordy.port, protocol=protocol))
    log = (tmp_path / "gateway.log").open("ab")

    def start():
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", str(config)]
        return subprocess.Popen(command, stdout=log, stderr=log)

    with Platform(wordy.port) as platform:
        gateway = start()
        machine = subprocess.Popen(
            [PUBLISH, "-p", str(wordy.port), "-t", "machines/1/data", "-q", "1", "-l"], stdin=subprocess.PIPE, text=True
        )
        try:
            deadline = time.monotonic() + 60
            while "gateway-1" not in (text := (wordy.folder / "mosquitto.log").read_text()) or (
                "Received SUBSCRIBE from gateway-1" not in text
            ):
                assert time.monotonic() < deadline, (tmp_path / "gateway.log").read_text()
                time.sleep(0.02)
            sent = 0
            for kill in range(4):
                for _ in range(60 + 17 * kill):
                    machine.stdin.write(json.dumps({"n": sent, "ts": 1_764_072_000_000 + sent}) + "\n")
                    machine.stdin.flush()
                    sent += 1
                    time.sleep(0.004)
                if kill < 3:
                    gateway.send_signal(signal.SIGKILL)
                    gateway.wait()
                    gateway = start()
            machine.stdin.close()
            machine.wait(20)
            wanted = set(range(sent))
            deadline = time.monotonic() + 40
            while not wanted <= {value for _, value in platform.rows}:
                assert time.monotonic() < deadline, sorted(wanted - {value for _, value in platform.rows})
                time.sleep(0.05)
        finally:
            gateway.terminate()
            gateway.wait(20)
            if machine.poll() is None:
                machine.kill()
                machine.wait()
            log.close()
        assert {value for tag, value in platform.rows if tag == "n"} - {None} == wanted
        assert platform.lost == 0


def test_a_broker_that_goes_and_comes_back(run, kit, wordy):
    async def work():
        feed = kit.feed(kit.device(), kit.tag("t"))
        async with kit.subscribed(kit.connection(wordy.port), kit.feeds(feed)) as task:
            await subscribed(wordy)
            wordy.kill()
            await until(task.done)
            assert isinstance(task.exception(), LinkLost)
        with pytest.raises(LinkLost) as caught:
            async with adapter(kit.connection(wordy.port)).open():
                pass
        assert caught.value.code == "connection_refused"
        wordy.start()
        async with adapter(kit.connection(wordy.port)).open():
            pass

    run(work)
