"""Broker, devices and subscriber as real processes, with a simple feeder in the gateway's place."""

import socket
import struct
import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.machine import _file_system
from benchmarks.pattern import Pattern
from benchmarks.processes import Broker, Child, Devices, Subscriber, Unfit, run_folder
from gateway.model.batch import encode_body
from gateway.model.frame import Frame
from gateway.model.schema import Layout, Scale, schema_id
from gateway.model.types import DataType


class Feeder:
    """Reads all devices once per call and publishes one batch; what a gateway does, in its plainest form."""

    def __init__(self, pattern: Pattern, ports: list[int], port: int) -> None:
        self.pattern = pattern
        self.clients = [socket.create_connection(("127.0.0.1", number)) for number in ports]
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, "feeder")
        self.mqtt.reconnect_delay_set(1, 1)
        self.mqtt.connect("127.0.0.1", port)
        self.mqtt.loop_start()
        self.seq = 0
        names = [f"r{number}" for number in range(pattern.registers)]
        self.ids = []
        for device in range(pattern.devices):
            layout = Layout([DataType.UINT16] * len(names))
            encoded = layout.schema(f"d{device}", "g", names, [Scale.of(0.1)] * len(names), [""] * len(names)).encode()
            self.ids.append(schema_id(encoded))
            self.publish(f"schema/{self.ids[-1].hex()}", encoded, retain=True)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.mqtt.publish(f"xingsha/v1/bench/{topic}", payload, 1, retain)

    def turn(self) -> None:
        frames = []
        for device, client in enumerate(self.clients):
            width = self.pattern.width
            for block in range(self.pattern.blocks):
                client.sendall(struct.pack(">HHHBBHH", block, 0, 6, 1, 3, block * width, width))
            size = self.pattern.blocks * (9 + 2 * width)
            data = client.recv(size, socket.MSG_WAITALL)
            rows = np.frombuffer(data, np.uint8).reshape(self.pattern.blocks, -1)[:, 9:]
            raw = np.ascontiguousarray(rows).view(">u2").astype("<u2").tobytes()
            frames.append(Frame(self.ids[device], time.time_ns(), [raw]))
        self.seq += 1
        self.publish("data", msgspec.msgpack.encode((1, "bench", 1, self.seq, 0, 1, encode_body(frames))))

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def wait_for(subscriber: Subscriber, batches: int) -> None:
    deadline = time.monotonic() + 20
    while subscriber.ask("mark")["batches"] < batches and time.monotonic() < deadline:
        time.sleep(0.02)
    subscriber.settle(0.2, 10)


def test_all_is_well_then_one_batch_goes_missing_and_the_broker_restarts(tmp_path):
    pattern = Pattern(2, 250, Fraction(1))
    with (
        Broker(tmp_path) as broker,
        Devices(tmp_path, pattern) as devices,
        Subscriber(tmp_path, pattern, broker.port) as subscriber,
        closing(Feeder(pattern, devices.ports, broker.port)) as feeder,
    ):
        for _ in range(5):
            feeder.turn()
        wait_for(subscriber, 5)
        window = subscriber.ask("window")
        assert (window["points"], window["wrong"], window["duplicated"]) == (2500, 0, 0)
        assert 2.0 < window["wire_bytes"] / window["points"] < 2.5
        feeder.turn()
        wait_for(subscriber, 6)
        report = subscriber.ask("report")
        assert (report["lost"], report["holes"], report["notes"], report["epochs"]) == (0, [], [], [1])
        assert 0 < report["ages"]["since_stamp_ms"]["p50"] <= report["ages"]["since_answer_ms"]["p50"] < 5000
        assert devices.registers_served() == 3000

        feeder.publish, publish = lambda *_: None, feeder.publish
        feeder.turn()
        feeder.publish = publish
        feeder.turn()
        wait_for(subscriber, 7)
        report = subscriber.ask("report")
        assert (report["lost"], report["holes"]) == (500, [[1, 7]])
        assert [run[:3] for run in report["missing"]] == [[0, 7, 7], [1, 7, 7]]

        broker.stop(10)
        broker.start()
        feeder.turn()
        wait_for(subscriber, 8)
        report = subscriber.ask("report")
        assert (report["lost"], report["batches"]) == (500, 8)
        with pytest.raises(Unfit, match="expected mark"):
            subscriber.ask("sing")
        assert subscriber.cpu_seconds() > 0
        assert 10 < subscriber.memory_mb()[0] <= subscriber.memory_mb()[1]


def test_a_process_that_ends_by_itself_is_told_with_its_last_words(tmp_path):
    with Child("sayer", ["sh", "-c", "echo goodbye >&2; exit 3"], tmp_path) as child:
        with pytest.raises(Unfit, match="goodbye"):
            child.hear()
        with pytest.raises(Unfit, match="ended with 3"):
            _ = child.pid


def test_runs_are_made_on_a_real_disk():
    with run_folder() as folder:
        assert _file_system(folder) not in {"tmpfs", "ramfs"}
    assert not folder.exists()
    assert _file_system(Path("/proc/self")) == "proc"
