"""Modbus TCP, RTU over a serial line, RTU over TCP; also where the device dials in. See README.md beside this file."""

from adapters.modbus.adapter import ModbusAdapter
from adapters.modbus.config import ModbusConnection, ModbusDevice, ModbusTag
from adapters.modbus.doctor import doctor
from gateway.sdk import AdapterModels

models = AdapterModels(ModbusConnection, ModbusDevice, ModbusTag)


def adapter(connection: ModbusConnection) -> ModbusAdapter:
    """Make the adapter of one connection."""
    return ModbusAdapter(connection)


__all__ = ["adapter", "doctor", "models"]
