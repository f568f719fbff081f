"""What a configuration file can say about MTConnect: connection, device, tag."""

from __future__ import annotations

from gateway.config.fields import Interval, Port
from gateway.sdk import DeviceConfig, TagConfig, TcpConnection

from .address import Address


class MtconnectConnection(TcpConnection):
    """A socket to one device."""

    port: Port = 7001
    """TCP port of the device."""
    silence: Interval = 3.0
    """Time after which a device that gives no sign of life is down; it should give one each second."""


class MtconnectDevice(DeviceConfig):
    """One device. What its model needs to be told (unit number, series, oddities) becomes a field here."""


class MtconnectTag(TagConfig):
    """One value in a device."""

    address: Address
    """Name of the value in the device, such as speed or oven.temperature."""
