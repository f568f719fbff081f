"""A CPU made by the C library snap7, in a process of its own: memory is filled and shown by lines of JSON.

Standard input: ``["set", area, index, first, hex]`` or ``["get", area, index, first, size]``; one line comes back.
"""

import ctypes
import json
import sys

import snap7
from snap7.type import SrvArea

AREAS = {"DB": SrvArea.DB, "M": SrvArea.MK, "I": SrvArea.PE, "Q": SrvArea.PA, "T": SrvArea.TM, "C": SrvArea.CT}
SIZES = {("DB", 1): 4096, ("DB", 7): 100, ("M", 0): 512, ("I", 0): 128, ("Q", 0): 128, ("T", 0): 64, ("C", 0): 64}


def main(port):
    server = snap7.server.Server(log=False)
    memory = {key: (ctypes.c_uint8 * size)() for key, size in SIZES.items()}
    for (area, index), buffer in memory.items():
        server.register_area(AREAS[area], index, buffer)
    server.start(tcp_port=port)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        verb, area, index, first, what = json.loads(line)
        buffer = memory[area, index]
        if verb == "set":
            data = bytes.fromhex(what)
            ctypes.memmove(ctypes.addressof(buffer) + first, data, len(data))
            print(json.dumps("done"), flush=True)
        else:
            print(json.dumps(bytes(buffer[first : first + what]).hex()), flush=True)
    server.stop()
    server.destroy()


if __name__ == "__main__":
    main(int(sys.argv[1]))
