"""The binary encoding against the standard, against node-opcua's messages, against asyncua's encoder, against chance."""

import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from adapters.opcua import services, vectors
from adapters.opcua.codec import Reader, node_id, string, unix
from adapters.opcua.columns import columns
from adapters.opcua.services import Item
from adapters.opcua.tests.fuzz import campaign
from gateway.sdk import ProtocolFault

STANDARD = [  # Part 6, 5.2.2: the examples of the clauses
    (lambda r: r.text(), "06000000e6b0b4426f79", "水Boy"),  # 5.2.2.4
    (lambda r: r.node(), "0048", "i=72"),  # 5.2.2.9, table 8
    (lambda r: r.node(), "01050104", "ns=5;i=1025"),  # 5.2.2.9, table 9
    (lambda r: r.node(), "03010006000000486f74e6b0b4", "ns=1;s=Hot水"),  # 5.2.2.9, figure 15
    (lambda r: r.variant(), "0a0000d0c0", (10, -6.5)),  # 5.2.2.3, figure 13: floating point
    (lambda r: r.variant(), "0e912b967275fae64a8d28b404dc7daf63", (14, "72962b91-fa75-4ae6-8d28-b404dc7daf63")),
]


@pytest.mark.parametrize(("read", "data", "value"), STANDARD)
def test_examples_of_the_standard(read, data, value):
    reader = Reader(bytes.fromhex(data))
    assert read(reader) == value
    assert reader.at == len(reader.data)


@pytest.mark.parametrize(
    ("namespace", "identifier", "data"),
    [(0, 72, "0048"), (5, 1025, "01050104"), (1, "Hot水", "03010006000000486f74e6b0b4"), (300, 5, "022c0105000000")],
)
def test_node_ids_of_the_standard(namespace, identifier, data):
    assert node_id(namespace, identifier).hex() == data


@given(st.integers(0, 65_535), st.integers(0, 2**32 - 1) | st.text(max_size=20) | st.uuids() | st.binary(max_size=20))
def test_node_ids_as_asyncua_reads_them(namespace, identifier):
    found = nodeid_from_binary(Buffer(node_id(namespace, identifier)))
    assert (found.NamespaceIndex, found.Identifier) == (namespace, identifier)


def answered(vector):
    return services.response(bytes.fromhex(vector[1]))


def test_read_as_captured():
    nodes = [node_id(2, name) for name in ("a", "s", "none")]
    assert services.read_body([services.value_id(node) for node in nodes]).hex() == vectors.READ[0]
    answer = answered(vectors.READ)
    assert (answer.kind, answer.status) == (services.READ + 3, 0)
    found = {column.kind: column for column in services.parse_read(answer.reader, 3)}
    assert {kind: (column.keys.tolist(), list(column.values)) for kind, column in found.items()} == {
        11: ([0], [1.5]),
        12: ([1], ["水Boy"]),
        0: ([2], [None]),
    }
    seen = struct_from_binary(ua.ReadResponse, Buffer(bytes.fromhex(vectors.READ[1]))).Results[0].SourceTimestamp
    assert found[11].times[0] // 1000 == (seen - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert (found[12].statuses, found[0].statuses.tolist()) == (None, [0x80340000])
    with pytest.raises(ProtocolFault, match="another number"):
        services.parse_read(answered(vectors.READ).reader, 4)


def test_write_as_captured():
    value = bytes((11,)) + struct.pack("<d", 2.5)
    assert services.write_body(node_id(2, "a"), "", value).hex() == vectors.WRITE[0]
    assert services.parse_statuses(answered(vectors.WRITE).reader, 1) == [0]
    with pytest.raises(ProtocolFault):
        services.parse_statuses(answered(vectors.WRITE).reader, 2)


def test_items_as_captured():
    items = [Item(node_id(2, name), at, -1.0, 10, True, 0.0, False) for at, name in enumerate("as")]
    (subscription,) = struct.unpack("<I", bytes.fromhex(vectors.CREATE_ITEMS[0][:8]))
    assert services.create_items_body(subscription, items).hex() == vectors.CREATE_ITEMS[0]
    created = services.parse_created(answered(vectors.CREATE_ITEMS).reader, 2)
    assert [(one.status, one.sampling, one.queue) for one in created] == [(0, 50.0, 10)] * 2
    with pytest.raises(ProtocolFault):
        services.parse_created(answered(vectors.CREATE_ITEMS).reader, 3)


def test_a_deadband_as_asyncua_reads_it():
    item = Item(node_id(2, "a"), 7, 250.0, 3, False, 1.5, True, "2:4")
    body = services.create_items_body(9, [item])
    found = struct_from_binary(ua.CreateMonitoredItemsParameters, Buffer(body))
    asked = found.ItemsToCreate[0]
    assert (found.SubscriptionId, asked.ItemToMonitor.IndexRange) == (9, "2:4")
    wanted = asked.RequestedParameters
    assert (wanted.ClientHandle, wanted.SamplingInterval, wanted.QueueSize, wanted.DiscardOldest) == (
        7,
        250.0,
        3,
        False,
    )
    assert (wanted.Filter.Trigger, wanted.Filter.DeadbandType, wanted.Filter.DeadbandValue) == (1, 2, 1.5)


def test_publish_as_captured():
    assert services.publish_body([]).hex() == vectors.PUBLISH[0]
    found = services.parse_publish(answered(vectors.PUBLISH).reader)
    assert (found.sequence, found.alive, found.more, found.available, found.status) == (1, False, False, (1,), 0)
    assert [(column.kind, list(column.values), list(column.keys)) for column in found.columns] == [
        (11, [2.5], [0]),
        (12, ["水Boy"], [1]),
    ]
    assert services.publish_body([(found.subscription, 1)]).hex() == vectors.ALIVE[0]
    alive = services.parse_publish(answered(vectors.ALIVE).reader)
    assert (alive.subscription, alive.sequence, alive.alive) == (found.subscription, 2, True)
    assert services.republish_body(found.subscription, 1).hex() == vectors.REPUBLISH[0]
    refused = answered(vectors.REPUBLISH)
    assert (refused.kind, refused.status) == (services.FAULT, 0x807B0000)


def test_history_as_captured():
    asked = bytes.fromhex(vectors.HISTORY_READ[0])
    since, until = (unix(time) for time in struct.unpack_from("<qq", asked, 10))
    assert services.history_body([(node_id(2, "h"), b"")], since, until, 1000) == asked
    (past,) = services.parse_history(answered(vectors.HISTORY_READ).reader, 1)
    assert (past.status, past.more, past.columns[0].kind, list(past.columns[0].values)) == (0, b"", 6, [7])
    with pytest.raises(ProtocolFault):
        services.parse_history(answered(vectors.HISTORY_READ).reader, 2)


def test_a_request_as_asyncua_reads_it():
    data = Buffer(services.request(services.PUBLISH, node_id(1, "token"), 77, 1.5, services.publish_body([(3, 4)])))
    found = struct_from_binary(ua.PublishRequest, data)
    assert (found.TypeId.Identifier, found.RequestHeader.RequestHandle, found.RequestHeader.TimeoutHint) == (
        826,
        77,
        1500,
    )
    assert found.RequestHeader.AuthenticationToken.Identifier == "token"
    (acknowledged,) = found.Parameters.SubscriptionAcknowledgements
    assert (acknowledged.SubscriptionId, acknowledged.SequenceNumber) == (3, 4)


KINDS = {
    1: st.booleans(), 2: st.integers(-128, 127), 3: st.integers(0, 255), 4: st.integers(-(2**15), 2**15 - 1),
    5: st.integers(0, 2**16 - 1), 6: st.integers(-(2**31), 2**31 - 1), 7: st.integers(0, 2**32 - 1),
    8: st.integers(-(2**63), 2**63 - 1), 9: st.integers(0, 2**64 - 1), 10: st.floats(width=32, allow_nan=False),
    11: st.floats(allow_nan=False), 12: st.text(max_size=9), 15: st.binary(max_size=9), 14: st.uuids(),
}  # fmt: skip
TIMES = st.none() | st.integers(0, 10**15).map(lambda us: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))


def one_of(kind):
    return st.tuples(
        st.integers(0, 5), st.just(kind), KINDS[kind], st.sampled_from([0, 0, 0, 0x40900000, 0x808C0000]), TIMES, TIMES
    )


@given(st.lists(st.sampled_from(sorted(KINDS)).flatmap(one_of), max_size=60), st.integers(1, 40))
def test_columns_are_what_asyncua_encoded_in_order(items, repeat):
    made = []
    for key, kind, value, status, source, server in items * (repeat if len(items) < 4 else 1):
        data = ua.DataValue(
            ua.Variant(value, ua.VariantType(kind)),
            StatusCode=ua.StatusCode(status),
            SourceTimestamp=source,
            ServerTimestamp=server,
        )
        made.append((key, kind, value, status, source or server, data))
    notification = ua.DataChangeNotification(
        MonitoredItems=[ua.MonitoredItemNotification(ClientHandle=key, Value=data) for key, *_, data in made]
    )
    found = columns(Reader(struct_to_binary(notification)), keyed=True)
    told = {}
    for column in found:
        listed = column.values.tolist() if isinstance(column.values, np.ndarray) else column.values
        for at, key in enumerate(column.keys.tolist()):
            status = 0 if column.statuses is None else int(column.statuses[at])
            time = 0 if column.times is None else int(column.times[at])
            told.setdefault(key, []).append((column.kind, listed[at], status, time))
    expected = {}
    for key, kind, value, status, moment, _ in made:
        plain = str(value) if isinstance(value, UUID) else value
        time = 0 if moment is None else (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
        expected.setdefault(key, []).append((kind, plain, status, time))
    assert told == expected


def test_what_comes_last_of_a_tag_is_last_whatever_its_shape():
    def item(value, status):
        mask = 1 | (2 if status else 0)
        return struct.pack("<IBBd", 4, mask, 11, value) + (struct.pack("<I", status) if status else b"")

    data = struct.pack("<i", 3) + item(1.0, 0) + item(2.0, 0x40900000) + item(3.0, 0)
    found = columns(Reader(data), keyed=True)
    assert [list(column.values) for column in found] == [[1.0], [2.0], [3.0]]


def test_arrays_matrices_and_values_within_values():
    matrix = ua.Variant([[1, 2], [3, 4]], ua.VariantType.Int32)
    data = struct_to_binary(ua.ReadResponse(Results=[ua.DataValue(matrix), ua.DataValue(ua.Variant(["a", "b"]))]))
    found = services.parse_read(services.response(data).reader, 2)
    assert [column.values for column in found] == [[[1, 2, 3, 4]], [["a", "b"]]]
    nested = bytes((24,)) * 20 + bytes((1, 1))
    with pytest.raises(ProtocolFault, match="too deep"):
        Reader(nested).variant()
    with pytest.raises(ProtocolFault, match="too deep"):
        Reader(bytes((64,)) * 20).diagnostics()


@pytest.mark.parametrize(
    "data",
    ["", "05", "3f00", "8000000000", "ff", "0cffffff7f", "8cffffff7f", "1600", "160000030000", "19ff", "8bffffff7f"],
)
def test_bytes_that_make_no_value(data):
    with pytest.raises(ProtocolFault):
        Reader(bytes.fromhex(data)).variant()


def test_times_that_no_clock_of_today_shows():
    assert [unix(time) for time in (0, -1, 2**63 - 1)] == [0, 0, 0]
    assert unix(116_444_736_000_000_001) == 100


def test_null_texts():
    assert string(None) == b"\xff" * 4
    assert Reader(b"\xff" * 4).text() is None
    assert Reader(string("x")).text() == "x"


def test_diagnostics_are_stepped_over():
    reader = Reader(bytes((0x7F,)) + b"\0" * 16 + string(b"more") + b"\0" * 4 + b"\0")
    reader.diagnostics()
    assert reader.at == len(reader.data)


def test_responses_of_no_known_type():
    with pytest.raises(ProtocolFault, match="no known type"):
        services.response(bytes.fromhex("0048") + b"\0" * 40)


def test_hostile_bytes():
    tally = campaign(6_000)
    assert min(tally.values()) > 200, tally
