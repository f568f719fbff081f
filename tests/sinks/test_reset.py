"""A reset that arrives in the same moment as an acknowledgement is noticed at once, on either event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time

import pytest
import uvloop

from gateway.model.faults import LinkLost
from gateway.sdk.sink import Message
from gateway.sinks import make_sink, sink_model

BIRTH = Message("xingsha/v1/gw/status", b"birth", True)
RESET = struct.pack("ii", 1, 0)


def acknowledge_and_reset(listening: socket.socket) -> None:
    """MQTT 5: CONNACK without properties, PUBACK of the first packet, and a reset right behind it."""
    peer, _ = listening.accept()
    with peer:
        peer.recv(1000)
        peer.sendall(b"\x20\x03\x00\x00\x00")
        publish = peer.recv(1000)
        topic = 2 + len(BIRTH.topic)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        peer.sendall(b"\x40\x02" + publish[2 + topic : 4 + topic])


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_reset_behind_an_acknowledgement(loop):
    async def main(port: int) -> float:
        config = sink_model("mqtt").model_validate({"host": "127.0.0.1", "port": port, "ack_timeout": "60s"})
        with contextlib.suppress(LinkLost):  # the reset may also overtake what it followed
            async with make_sink("mqtt", config, "gw", "cloud").open(birth=BIRTH) as session:
                began = time.monotonic()
                waiting = asyncio.ensure_future(session.watch())
                await asyncio.wait([waiting], timeout=20)
                assert waiting.done(), "not noticed"
                with pytest.raises(LinkLost):
                    await waiting
                return time.monotonic() - began
        return 0.0

    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            broker = threading.Thread(target=acknowledge_and_reset, args=[listening])
            broker.start()
            with asyncio.Runner(loop_factory=loop) as runner:
                assert runner.run(main(listening.getsockname()[1])) < 10
            broker.join()
