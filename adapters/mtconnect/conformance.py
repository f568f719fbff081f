"""What the conformance suite must be told about MTConnect: `xingsha conformance` runs it."""

from __future__ import annotations

from typing import Any

from gateway.testing.conformance import Subject, Vector

from .codec import STATUSES, Response, request, status_fault
from .document import ERRORS, DataItem, Observation, error_fault, parse
from .values import time_of

STREAMS = (
    b'<MTConnectStreams xmlns="urn:mtconnect.org:MTConnectStreams:2.0"><Header instanceId="7" firstSequence="1" '
    b'lastSequence="9" nextSequence="10"/><Streams><DeviceStream name="M" uuid="u"><ComponentStream component="Axes" '
    b'componentId="x"><Samples><Position dataItemId="Xact" timestamp="2024-03-31T01:00:00.5Z" sequence="9">1.25'
    b'</Position></Samples><Condition><Fault dataItemId="sys" timestamp="2024-03-31T01:00:00Z" sequence="8" '
    b'nativeCode="E1" type="SYSTEM">hot</Fault></Condition></ComponentStream></DeviceStream></Streams>'
    b"</MTConnectStreams>"
)

DEVICES = (
    b'<MTConnectDevices xmlns="urn:mtconnect.org:MTConnectDevices:2.0"><Header instanceId="7"/><Devices>'
    b'<Device id="d" name="M" uuid="u"><Components><Axes id="a" name="base"><Components><Linear id="x" name="X">'
    b'<DataItems><DataItem id="Xact" name="Xabs" category="SAMPLE" type="POSITION" units="MILLIMETER"/></DataItems>'
    b"</Linear></Components></Axes></Components></Device></Devices></MTConnectDevices>"
)
ITEM = DataItem("M", "u", "M/base/X/Xabs", "Xact", "Xabs", "SAMPLE", "POSITION", "MILLIMETER", "")
ERROR = b'<MTConnectError><Errors><Error errorCode="OUT_OF_RANGE">too old</Error></Errors></MTConnectError>'


def _asked(path: str, **query: int) -> str:
    return request("agent:5000", path, query).partition(b"\r\n")[0].decode()


def _tag(name: str, kind: str = "int32", **more: Any) -> dict[str, Any]:
    return {"name": name, "address": name, "type": kind, **more}


def _mapped(code: int | str) -> object:
    return error_fault("agent", code) if isinstance(code, str) else status_fault("agent", code)


def _clock(machine: Any, moment: int) -> None:
    machine.time = moment


def _streaming() -> Response:
    return Response(8_000_000, parse)


subject = Subject(
    connection={"heartbeat": "150ms", "interval": "10ms"},
    tags=[_tag(f"t{number}") for number in range(4)],
    matrix=[
        (_tag("bool", "bool"), [True, False]),
        (_tag("int8", "int8"), [-128, 127, -1]),
        (_tag("uint8", "uint8"), [0, 255]),
        (_tag("int16", "int16"), [-32768, 32767, -1]),
        (_tag("uint16", "uint16"), [0, 65535]),
        (_tag("int32", "int32"), [-(2**31), 2**31 - 1]),
        (_tag("uint32", "uint32"), [0, 2**32 - 1]),
        (_tag("int64", "int64"), [-(2**63), 2**63 - 1]),
        (_tag("uint64", "uint64"), [0, 2**64 - 1]),
        (_tag("float32", "float32"), [-1.5, 3.4e38, float("nan")]),
        (_tag("float64", "float64"), [-1.5, 5e-324, float("nan"), float("inf")]),
        (_tag("text", "string"), ["", "press 7", "星沙", 'a < b & "c"\r\n']),
        (_tag("scaled", "int16", scale=0.1), [-3276.8, 3276.7]),
    ],
    addresses=["x_pos", "Xabs", "c1.x-2", "m:7"],
    wrong_addresses=["", "a b", "-a", "a/b", "x" * 256],
    vectors=[
        Vector("probe", "Part 1, REST protocol, probe request", lambda: _asked("/probe"), "GET /probe HTTP/1.1"),
        Vector("probe", "Part 2, Devices: DataItem", lambda: parse(DEVICES).items, [ITEM]),
        Vector("current", "Part 1, REST, current request", lambda: _asked("/current"), "GET /current HTTP/1.1"),
        Vector("current", "Part 1, header of Streams", lambda: parse(STREAMS).header[:3], (7, 1, 10)),
        Vector(
            "sample", "Part 1, REST protocol, sample request", lambda: _asked("/sample", **{"from": 7, "count": 10}),
            "GET /sample?from=7&count=10 HTTP/1.1",
        ),
        Vector(
            "sample", "Part 3, Streams: samples and conditions", lambda: parse(STREAMS).observations,
            [
                Observation("Xact", 9, "2024-03-31T01:00:00.5Z", "1.25"),
                Observation("sys", 8, "2024-03-31T01:00:00Z", "hot", "Fault", "E1"),
            ],
        ),
        Vector("sample", "Part 1, timestamp", lambda: time_of("2024-03-31T01:00:00.5Z"), 1_711_846_800_500_000_000),
        Vector("sample", "Part 1, Error: errorCode", lambda: parse(ERROR).errors, [("OUT_OF_RANGE", "too old")]),
    ],
    receivers=[lambda: Response(8_000_000), _streaming],
    codes=[*ERRORS, *STATUSES, 404, 500],
    mapped=_mapped,
    source_time=_clock,
    sans_io=("codec", "address", "document", "values"),
)  # fmt: skip
