"""The device server against the closed form: every value it serves is the one the verifier expects."""

import json
import random
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from benchmarks.devices import Plant, garbled
from benchmarks.pattern import Pattern, Scoreboard, parse_change


class Served:
    """A device server as its own process, and one client socket per port."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.board_path = folder / "board"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.devices", "--board", str(self.board_path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ports = json.loads(self.process.stdout.readline())["ports"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.process.stdout.close()

    def client(self, port: int = 0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[port]))

    def order(self, line: str) -> dict:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def request(transaction: int, unit: int, address: int, quantity: int, function: int = 3) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, unit, function, address, quantity)


def receive(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        assert piece, "connection closed"
        data += piece
    return data


def answer(client: socket.socket) -> tuple[int, int, int, bytes]:
    transaction, protocol, length, unit, function = struct.unpack(">HHHBB", receive(client, 8))
    assert protocol == 0
    return transaction, unit, function, receive(client, length - 2)


def poll(client: socket.socket, pattern: Pattern, unit: int = 1) -> np.ndarray:
    """Read all blocks of a device, pipelined: shape (blocks, width)."""
    width = pattern.width
    client.sendall(b"".join(request(block, unit, block * width, width) for block in range(pattern.blocks)))
    rows = []
    for block in range(pattern.blocks):
        transaction, _, function, body = answer(client)
        assert (transaction, function, body[0]) == (block, 3, 2 * width)
        rows.append(np.frombuffer(body[1:], ">u2"))
    return np.array(rows)


@pytest.mark.parametrize(("registers", "change"), [(1000, "all"), (1000, "1%"), (250, "none"), (20, "1%"), (20, "50%")])
def test_served_values_are_the_expected_ones(tmp_path, registers, change):
    pattern = Pattern(3, registers, parse_change(change))
    with Served(tmp_path, *pattern.arguments()) as served:
        assert len(served.ports) == 3
        board = Scoreboard(served.board_path, pattern)
        for device, port in enumerate(served.ports):
            blocks = device * pattern.blocks + np.arange(pattern.blocks)
            with socket.create_connection(("127.0.0.1", port)) as client:
                before = None
                for turn in range(1, 30):
                    got = poll(client, pattern)
                    count = np.full(pattern.blocks, turn)
                    np.testing.assert_array_equal(got, pattern.values(blocks, count))
                    if before is not None:
                        np.testing.assert_array_equal((got != before).sum(1), pattern.changed(blocks, count))
                    before = got
                np.testing.assert_array_equal(board.served[blocks], 29)
                moments = board.times(np.full(29, device), np.arange(1, 30))
                assert (np.diff(moments) > 0).all()
        assert board.array[Scoreboard.REGISTERS] == 29 * 3 * registers
        assert board.array[Scoreboard.CONNECTIONS] == 3


def test_exactly_one_percent_of_a_device_changes_per_poll():
    pattern = Pattern(4, 1000, Fraction(1, 100))
    for device in range(4):
        blocks = device * 8 + np.arange(8)
        for turn in range(1, 200):
            now, before = (pattern.values(blocks, np.full(8, turn - back)) for back in (0, 1))
            assert (now != before).sum() == 10
            assert (now[:, 0] != before[:, 0]).all()


def test_all_change_from_poll_to_poll_and_devices_differ():
    pattern = Pattern(100, 1000, Fraction(1))
    blocks = np.arange(800)
    before = pattern.values(blocks, np.full(800, 65_000))
    for turn in range(65_001, 65_800):
        now = pattern.values(blocks, np.full(800, turn))
        assert (now != before).all()
        before = now
    assert len(np.unique(now[:, 1:40], axis=0)) == 800


@pytest.mark.parametrize(("registers", "change"), [(1000, "all"), (1000, "1%"), (1000, "7%"), (20, "1%"), (20, "30%")])
def test_count_is_found_from_the_marker(registers, change):
    pattern = Pattern(5, registers, parse_change(change))
    blocks = np.arange(pattern.total)
    for served in (1, 7, 70_000, 200_001):
        for behind in (0, 1, 300, 30_000):
            count = np.full(pattern.total, max(served - behind, 1))
            marker = pattern.values(blocks, count)[:, 0]
            found = pattern.counts(blocks, marker, np.full(pattern.total, served))
            np.testing.assert_array_equal(pattern.values(blocks, found), pattern.values(blocks, count))
            if pattern.blocks > 1:
                np.testing.assert_array_equal(found, count)


def test_a_marker_never_leads_beyond_what_was_served():
    pattern = Pattern(1, 125, Fraction(1))
    found = pattern.counts(np.array([0]), np.array([10], np.uint16), np.array([9]))
    assert found[0] < 0


def test_units_behind_one_port_and_what_is_refused(tmp_path):
    pattern = Pattern(5, 20, Fraction(1))
    with Served(tmp_path, *pattern.arguments(), "--units-per-port=3") as served:
        assert len(served.ports) == 2
        board = Scoreboard(served.board_path, pattern)
        with served.client(1) as client:
            np.testing.assert_array_equal(poll(client, pattern, unit=2), pattern.values(np.array([4]), np.array([1])))
            for bad, code in [
                (request(1, 3, 0, 20), 11),
                (request(2, 4, 0, 20), 11),
                (request(3, 1, 1, 20), 2),
                (request(4, 1, 0, 19), 2),
                (request(5, 1, 20, 20), 2),
                (request(6, 1, 0, 20, function=4), 1),
            ]:
                client.sendall(bad)
                transaction, _, function, body = answer(client)
                assert (transaction, function & 0x80, body) == (bad[1], 0x80, bytes([code]))
            assert board.array[Scoreboard.REFUSED] == 6
            assert list(board.served) == [0, 0, 0, 0, 1]


def test_requests_may_arrive_in_pieces(tmp_path):
    pattern = Pattern(1, 20, Fraction(1))
    with Served(tmp_path, *pattern.arguments()) as served, served.client() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = request(1, 1, 0, 20) + request(2, 1, 0, 20)
        for place in range(0, len(data), 5):
            client.sendall(data[place : place + 5])
        assert [answer(client)[0] for _ in range(2)] == [1, 2]


def test_what_is_not_modbus_is_cut_off(tmp_path):
    pattern = Pattern(1, 20, Fraction(1))
    with Served(tmp_path, *pattern.arguments()) as served, served.client() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.settimeout(10)
        with suppress(ConnectionResetError):  # just as good
            assert client.recv(1) == b""


def test_silent_and_refusing_devices(tmp_path):
    pattern = Pattern(2, 20, Fraction(1))
    with Served(tmp_path, *pattern.arguments(), "--units-per-port=2") as served, served.client() as client:
        assert served.order("silence 0") == {}
        client.sendall(request(1, 1, 0, 20) + request(2, 2, 0, 20))
        assert answer(client)[0] == 2
        assert served.order("refuse 0") == {}
        client.sendall(request(3, 1, 0, 20))
        assert answer(client) == (3, 1, 0x83, b"\x04")
        assert served.order("speak 0") == {}
        np.testing.assert_array_equal(poll(client, pattern), pattern.values(np.array([0]), np.array([1])))
        assert "error" in served.order("dance 0")
        assert "error" in served.order("silence 2")


def test_late_answers_are_rightly_formed_and_carry_other_values(tmp_path):
    pattern = Pattern(2, 20, Fraction(1))
    with Served(tmp_path, *pattern.arguments(), "--units-per-port=2") as served, served.client() as client:
        served.order("delay 0")
        client.sendall(request(1, 1, 0, 20) + request(2, 2, 0, 20))
        assert answer(client)[0] == 2, "the neighbour is not held up"
        transaction, unit, function, body = answer(client)
        assert (transaction, unit, function, body[0], len(body)) == (1, 1, 3, 40, 41)
        values = np.frombuffer(body[1:], ">u2")
        assert not np.array_equal(values, pattern.values(np.array([0]), np.array([1]))[0])
        assert Scoreboard(served.board_path, pattern).served.tolist() == [0, 1]


def test_a_dribbling_device_sends_a_byte_a_second(tmp_path):
    pattern = Pattern(1, 20, Fraction(1))
    with Served(tmp_path, *pattern.arguments()) as served, served.client() as client:
        served.order("dribble 0")
        client.sendall(request(0x0102, 1, 0, 20))
        client.settimeout(10)
        assert (client.recv(100), client.recv(100)) == (b"\x01", b"\x02")


def test_garbled_answers_are_of_many_kinds_and_none_is_an_answer():
    dice = random.Random(1)
    good = struct.pack(">HHHBBB", 7, 0, 43, 1, 3, 40) + bytes(range(40))
    found = {garbled(good, dice) for _ in range(200)}
    assert len(found) > 7
    assert not any(each.startswith(good[:9]) and len(each) >= len(good) for each in found)


def test_half_an_answer_and_a_reset(tmp_path):
    pattern = Pattern(1, 20, Fraction(1))
    with Served(tmp_path, *pattern.arguments()) as served, served.client() as client:
        served.order("reset 0")
        client.settimeout(10)
        client.sendall(request(1, 1, 0, 20))
        assert len(receive(client, 24)) == 24
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@pytest.mark.parametrize("order", ["shut", "flap"])
def test_connections_are_dropped_and_taken_again(tmp_path, order):
    pattern = Pattern(3, 20, Fraction(1))
    with Served(tmp_path, *pattern.arguments()) as served, served.client(1) as client, served.client(0) as beside:
        assert served.order(f"{order} 1 2") == {}
        client.settimeout(10)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        if order == "shut":
            with pytest.raises(ConnectionRefusedError):
                served.client(2)
        else:
            with served.client(2) as flapping:
                flapping.settimeout(10)
                with pytest.raises(ConnectionResetError):
                    flapping.recv(1)
        poll(beside, pattern)
        assert served.order("speak 1 2") == {}
        with served.client(2) as again:
            np.testing.assert_array_equal(poll(again, pattern), pattern.values(np.array([2]), np.array([1])))
        assert "error" in served.order("speak 2 1")
        assert "error" in served.order("speak one")


@pytest.mark.parametrize("text", ["some", "0%", "100%", "-1%", "1", "%", "1/0%"])
def test_share_that_makes_no_sense(text):
    with pytest.raises(ValueError, match="percentage"):
        parse_change(text)


@pytest.mark.parametrize("registers", [1, 130, 0])
def test_registers_that_do_not_fill_blocks(registers):
    with pytest.raises(ValueError, match="registers"):
        Pattern(1, registers, Fraction(1))


def test_orders_are_checked(tmp_path):
    pattern = Pattern(2, 20, Fraction(1))
    plant = Plant(pattern, Scoreboard(tmp_path / "board", pattern, create=True))
    plant.obey("silence 1")
    plant.obey("refuse 1")
    assert plant.odd == {1: "refuse"}
