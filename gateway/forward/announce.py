"""What a lane says of the gateway and its devices to the platform: small JSON messages, retained."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from gateway.forward.json_payload import iso_time
from gateway.observe.status import DeviceStatus
from gateway.sdk.sink import Message, Topics

CONTENT_TYPE: Final = "application/json"
_encoder = msgspec.json.Encoder()


def fill(template: str, **values: str) -> str:
    """Put names into a topic template."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def gateway_status(topics: Topics, gateway: str, *, online: bool, **more: str) -> Message:
    """Say whether the gateway is there."""
    record = {"gateway": gateway, "online": online, **more}
    return Message(fill(topics.status, gateway=gateway), _encoder.encode(record), True, CONTENT_TYPE)


def device_status(topics: Topics, gateway: str, status: DeviceStatus) -> Message:
    """Say how a device is. Times are left out where there are none."""
    record: dict[str, Any] = {
        "gateway": gateway,
        "device": status.name,
        "connection": status.connection,
        "state": str(status.state),
        "reason": status.reason,
        "message": status.message,
    }
    for name in ("since", "last_good"):
        if getattr(status, name):
            record[name] = iso_time(getattr(status, name))
    topic = fill(topics.device_status, gateway=gateway, device=status.name)
    return Message(topic, _encoder.encode(record), True, CONTENT_TYPE)


class News:
    """Status messages that wait to be sent: one per device, the newest. A new session starts with all of them."""

    def __init__(self) -> None:
        self._last: dict[str, Message] = {}
        self._waiting: dict[str, Message] = {}
        self._there = asyncio.Event()

    def put(self, device: str, message: Message) -> None:
        """Replace what waits for this device."""
        self._last[device] = self._waiting[device] = message
        self._there.set()

    def again(self) -> None:
        """Let all wait that were ever said: the platform may have forgotten."""
        self._waiting = dict(self._last)
        if self._waiting:
            self._there.set()

    async def take(self, most: int) -> list[Message]:
        """Wait until there is something, and take up to ``most``."""
        await self._there.wait()
        devices = list(self._waiting)[:most]
        taken = [self._waiting.pop(device) for device in devices]
        if not self._waiting:
            self._there.clear()
        return taken
