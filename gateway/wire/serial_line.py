"""A serial line as a transport: a non-blocking descriptor watched by the event loop. No thread, no polling."""

from __future__ import annotations

import asyncio
import errno
import os
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import serial

from gateway.model.faults import LinkLost
from gateway.wire.link import WRITE_BUFFER, StreamLink

READ_SIZE: Final = 4096

_REFUSALS: Final[dict[int | None, tuple[str, str]]] = {
    errno.ENOENT: ("serial_port_missing", "there is no such serial port"),
    errno.ENODEV: ("serial_port_missing", "the serial port is not plugged in"),
    errno.ENXIO: ("serial_port_missing", "the serial port is not plugged in"),
    errno.EACCES: ("serial_port_denied", "no permission; the service's user belongs in the group dialout"),
    errno.EPERM: ("serial_port_denied", "no permission; the service's user belongs in the group dialout"),
    errno.EBUSY: ("serial_port_denied", "another program holds this serial port"),
    errno.EAGAIN: ("serial_port_denied", "another program holds this serial port"),
}
"""errno → code and words."""


class SerialTransport:
    """What a link needs of a transport, on a serial port that is already open."""

    def __init__(self, port: serial.Serial, link: StreamLink) -> None:
        self._loop = asyncio.get_running_loop()
        self._port = port
        self._fd: int = port.fileno()
        self._link = link
        self._backlog = bytearray()
        self._open = True
        self._loop.add_reader(self._fd, self._readable)
        link.connection_made(self)

    def write(self, data: bytes) -> None:
        """Send what the line takes now, keep the rest."""
        if not self._open:
            return
        if not self._backlog:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                pass
            except OSError as error:
                self._end(error)
                return
            if not data:
                return
            self._loop.add_writer(self._fd, self._writable)
        self._backlog += data
        if len(self._backlog) > WRITE_BUFFER:
            self._link.pause_writing()

    def abort(self) -> None:
        """Close at once, and throw away what was not sent."""
        self._end(None)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._link.data_received(data)
        else:  # readable, and nothing there: the adapter was pulled out
            self._end(OSError(errno.ENODEV, "the serial port is gone"))

    def _writable(self) -> None:
        try:
            del self._backlog[: os.write(self._fd, self._backlog)]
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if not self._backlog:
            self._loop.remove_writer(self._fd)
            self._link.resume_writing()

    def _end(self, error: OSError | None) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        with suppress(OSError, termios.error, serial.SerialException):
            self._port.reset_output_buffer()  # a UART would hold up close until it has sent everything
        self._port.close()
        self._loop.call_soon(self._link.connection_lost, error)


@asynccontextmanager
async def open_serial(
    port: str,
    *,
    baudrate: int = 9600,
    bytesize: int = 8,
    parity: str = "N",
    stopbits: float = 1,
    min_gap: float = 0.0,
    pause: float = 0.0,
) -> AsyncIterator[StreamLink]:
    """Open a serial port for ourselves alone; ``pause``: seconds to leave the line in peace.

    Raises LinkLost (serial_port_missing, serial_port_denied, serial_port_unsuitable).
    """
    try:
        line = serial.Serial(
            port, baudrate, bytesize, parity, stopbits, timeout=0, write_timeout=0, exclusive=True
        )  # fmt: skip
    except (OSError, ValueError, termios.error) as error:
        code, words = _REFUSALS.get(
            getattr(error, "errno", None), ("serial_port_unsuitable", "the serial port cannot be set up like this")
        )
        raise LinkLost(f"{port}: {words} ({error})", code=code) from error
    link = StreamLink(port, min_gap=min_gap)
    SerialTransport(line, link)
    try:
        line.reset_input_buffer()
        if pause:
            await asyncio.sleep(pause)
        yield link
    finally:
        await link.close()
