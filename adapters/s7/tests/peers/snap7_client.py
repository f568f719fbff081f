"""A client made of the C library snap7, in a process of its own: does what lines of JSON ask, and tells the result."""

import ctypes
import json
import sys

import snap7
from snap7.type import Area, S7DataItem, WordLen

AREAS = {"DB": Area.DB, "M": Area.MK, "I": Area.PE, "Q": Area.PA, "T": Area.TM, "C": Area.CT}


def many(client, rows):
    items = (S7DataItem * len(rows))()
    for item, (area, index, first, size) in zip(items, rows, strict=True):
        item.Area, item.WordLen, item.DBNumber = AREAS[area].value, WordLen.Byte.value, index
        item.Start, item.Amount = first, size
        item.pData = ctypes.cast(ctypes.create_string_buffer(size), ctypes.POINTER(ctypes.c_uint8))
    client.read_multi_vars(items)
    return [[item.Result, bytes(item.pData[: item.Amount]).hex()] for item in items]


def answer(client, verb, *arguments):
    if verb == "connect":
        client.connect("127.0.0.1", arguments[1], arguments[2], arguments[0])
        return client.get_pdu_length()
    if verb == "read":
        area, index, first, size = arguments
        return client.read_area(AREAS[area], index, first, size).hex()
    if verb == "many":
        return many(client, arguments[0])
    if verb == "write":
        area, index, first, data = arguments
        return client.write_area(AREAS[area], index, first, bytearray.fromhex(data))
    if verb == "info":
        found = client.get_cpu_info()
        return {name: getattr(found, name).decode() for name, _ in found._fields_}
    if verb == "order":
        return client.get_order_code().OrderCode.decode()
    raise ValueError(verb)


def main():
    client = snap7.client.Client()
    for line in sys.stdin:
        try:
            found = answer(client, *json.loads(line))
        except RuntimeError as error:
            found = {"error": str(error)}
        print(json.dumps(found), flush=True)
    client.disconnect()
    client.destroy()


if __name__ == "__main__":
    main()
