"""What supervisor and worker say to each other over their socket pair: one job down, then questions; reports up.

Everything but a question, which is one byte, is a frame: four bytes of length, then that many bytes. The end of the
channel is the end of the other side.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.config.root import Configuration
from gateway.observe.status import GatewayStatus

QUESTION: Final = b"?"
"""How are you?"""
_LENGTH: Final = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker has to do. It comes from the supervisor, and not from the file, which may have been edited since:
    two workers with two views of it could own one endpoint.
    """

    configuration: Configuration
    drain: float
    """Seconds that a stop may take to deliver what is committed."""
    leftover: bool
    """True: deliver what the journal holds, then remove it and end."""

    def pack(self) -> bytes:
        """Return the frame. Takes long for many tags."""
        return _framed(pickle.dumps(self, pickle.HIGHEST_PROTOCOL))


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a worker, in a sentence, with its reason code."""

    code: str
    message: str
    permanent: bool
    """True: it would be the same again until somebody edits the configuration."""


@dataclass(frozen=True, slots=True)
class Report:
    """An answer to a question, or last words."""

    status: GatewayStatus | None = None
    failure: Failure | None = None

    def pack(self) -> bytes:
        """Return the frame."""
        return _framed(_encoder.encode(self))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Report)


def receive_job(channel: socket.socket) -> Job:
    """Wait for the job. Raises EOFError when the supervisor is gone."""
    length = int.from_bytes(_exactly(channel, _LENGTH))
    found: Job = pickle.loads(_exactly(channel, length))  # noqa: S301 - our own parent wrote it
    return found


async def receive_report(reader: asyncio.StreamReader) -> Report:
    """Wait for a report. Raises EOFError (IncompleteReadError is one) or OSError when the worker is gone."""
    length = int.from_bytes(await reader.readexactly(_LENGTH))
    return _decoder.decode(await reader.readexactly(length))


def _exactly(channel: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        piece = channel.recv(min(size - len(found), 1 << 20))
        if not piece:
            raise EOFError("the supervisor is gone")
        found += piece
    return bytes(found)


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(_LENGTH) + content
