"""A serial line on a pseudo terminal: real descriptors, partial writes, hang-ups."""

import asyncio
import errno
import os
import time
import tty
from pathlib import Path

import pytest

from gateway.model.faults import LinkLost, Timeout
from gateway.wire.serial_line import open_serial


@pytest.fixture
def pty():
    """(descriptor of the device's end, path of ours)."""
    device, ours = os.openpty()
    tty.setraw(ours)
    os.set_blocking(device, False)
    ends = [device, ours]
    yield device, os.ttyname(ours), ends
    for end in ends:
        os.close(end)


def serve(device, answer):
    asyncio.get_running_loop().add_reader(device, lambda: answer(os.read(device, 65_536)))


def test_an_exchange(run, pty, wants):
    device, path, _ = pty

    async def work():
        serve(device, lambda data: os.write(device, data))
        async with open_serial(path, baudrate=115_200, parity="E", stopbits=2, pause=0.01) as link:
            receiver = wants(256)
            await link.exchange(bytes(range(256)), receiver, 1.0)
            assert receiver.data == bytes(range(256))
            with pytest.raises(Timeout):
                await link.exchange(b"?", wants(2), 0.05)
        asyncio.get_running_loop().remove_reader(device)

    run(work)


def test_what_lay_on_the_line_before_is_thrown_away(run, pty, wants):
    device, path, _ = pty

    async def work():
        os.write(device, b"old")
        async with open_serial(path) as link:
            serve(device, lambda data: os.write(device, data))
            receiver = wants(1)
            await link.exchange(b"!", receiver, 1.0)
            assert receiver.data == b"!"
        asyncio.get_running_loop().remove_reader(device)

    run(work)


def test_a_line_slower_than_the_writer(run, pty, wants):
    device, path, _ = pty

    async def work():
        taken = bytearray()
        async with open_serial(path) as link:
            with pytest.raises(Timeout):
                await link.exchange(bytes(30_000), wants(1), 0.05)  # nobody reads: it waits in our backlog
            await link.send(b"end", 0.0)

            def take(data):
                taken.extend(data)
                if taken.endswith(b"end"):
                    os.write(device, b"k")

            serve(device, take)
            await link.exchange(b"end", wants(1), 2.0)
            assert len(taken) == 30_006
        asyncio.get_running_loop().remove_reader(device)

    run(work)


def test_a_line_that_takes_nothing_is_given_up(run, pty, wants):
    _, path, _ = pty

    async def work():
        async with open_serial(path) as link:
            started = time.monotonic()
            for _ in range(3):
                with pytest.raises(Timeout):
                    await link.exchange(bytes(30_000), wants(1), 0.01)
            with pytest.raises(LinkLost, match="takes no more bytes"):
                await link.exchange(bytes(30_000), wants(1), 0.01)
            assert time.monotonic() - started < 2

    run(work)


def test_the_adapter_is_pulled_out(run, pty, wants):
    device, path, ends = pty

    async def work():
        async with open_serial(path) as link:
            asking = asyncio.ensure_future(link.exchange(b"?", wants(1), 5.0))
            await asyncio.sleep(0.02)
            os.close(device)
            ends.remove(device)
            with pytest.raises(LinkLost, match="connection was closed"):
                await asking
            with pytest.raises(LinkLost):
                await link.exchange(b"?", wants(1), 5.0)
            link._transport.write(b"into the void")
            await link.close()

    run(work)


def test_writing_to_a_line_that_is_gone(run, pty, wants):
    device, path, ends = pty

    async def work():
        async with open_serial(path) as link:
            os.close(device)
            ends.remove(device)
            with pytest.raises(LinkLost):
                await link.exchange(b"?", wants(1), 5.0)

    run(work)


@pytest.mark.parametrize(("number", "code"), [(errno.EIO, "gone"), (errno.EAGAIN, "stays")])
def test_errors_of_the_descriptor(run, pty, wants, monkeypatch, number, code):
    device, path, _ = pty

    async def work():
        async with open_serial(path) as link:
            real = os.read, os.write

            def fail(*_):
                raise OSError(number, "as told")

            monkeypatch.setattr(os, "read", fail)
            real[1](device, b"x")
            await asyncio.sleep(0.02)
            monkeypatch.setattr(os, "read", real[0])
            assert link.lost is (code == "gone")
            monkeypatch.setattr(os, "write", fail)
            with pytest.raises((LinkLost, Timeout)):
                await link.exchange(b"?", wants(1000), 0.05)
            monkeypatch.setattr(os, "write", real[1])

    run(work)


def test_ports_that_cannot_be_had(run, pty, tmp_path):
    _, path, _ = pty
    plain = tmp_path / "file"
    plain.write_bytes(b"")

    async def work():
        for port, code in (
            (str(tmp_path / "ttyNOT"), "serial_port_missing"),
            (str(plain), "serial_port_unsuitable"),
        ):
            with pytest.raises(LinkLost, match=port) as raised:
                async with open_serial(port):
                    raise AssertionError("opened")
            assert raised.value.code == code
        async with open_serial(path):
            with pytest.raises(LinkLost, match="another program holds") as raised:
                async with open_serial(path):
                    raise AssertionError("opened")
            assert raised.value.code == "serial_port_denied"
        with pytest.raises(LinkLost) as raised:
            async with open_serial(path, parity="?"):
                raise AssertionError("opened")
        assert raised.value.code == "serial_port_unsuitable"
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            async with open_serial(path):
                pass
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    run(work)
