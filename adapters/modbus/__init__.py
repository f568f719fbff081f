"""Modbus TCP, RTU over a serial line, RTU over TCP; also where the device dials in. See README.md beside this file."""

from adapters.modbus.adapter import ModbusAdapter
from adapters.modbus.config import ModbusConnection, ModbusDevice, ModbusTag
from gateway.sdk import AdapterModels
from gateway.sdk.doctor import Examination

models = AdapterModels(ModbusConnection, ModbusDevice, ModbusTag)


def adapter(connection: ModbusConnection) -> ModbusAdapter:
    """Make the adapter of one connection."""
    return ModbusAdapter(connection)


async def doctor(connection: ModbusConnection, device: ModbusDevice, address: str, count: int) -> Examination:
    """Read ``count`` registers or bits from ``address`` on and decode them in every way. Raises a Fault."""
    from adapters.modbus.examination import (
        examine_at,  # for `xingsha probe --address` only: no gateway that runs needs it
    )

    return await examine_at(connection, device, address, count)


__all__ = ["adapter", "doctor", "models"]
