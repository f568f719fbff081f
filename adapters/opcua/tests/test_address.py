"""Addresses: what people may write, and that it reads back as the same."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.opcua.address import Address, NodeAddress, PathAddress

NAMESPACES = st.integers(0, 65_535) | st.text(min_size=1, max_size=40)
NAMES = st.text(min_size=1, max_size=60)
IDENTIFIERS = st.integers(0, 2**32 - 1) | NAMES | st.uuids() | st.binary(max_size=40)


@given(NAMESPACES, IDENTIFIERS)
def test_node_ids_read_back_as_they_were_written(namespace, identifier):
    address = NodeAddress(namespace, identifier)
    assert Address.parse(str(address)) == address


@given(st.lists(st.tuples(NAMESPACES, NAMES), min_size=1, max_size=6))
def test_paths_read_back_as_they_were_written(steps):
    address = PathAddress(tuple(steps))
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("i=2258", NodeAddress(0, 2258)),
        ("ns=2;s=Oil.Temperature", NodeAddress(2, "Oil.Temperature")),
        ('ns=3;s="DB1"."x;y=1"', NodeAddress(3, '"DB1"."x;y=1"')),
        ("nsu=http://plant.example/press;i=7", NodeAddress("http://plant.example/press", 7)),
        ("nsu=urn:a%3Bb%25c;s=x", NodeAddress("urn:a;b%c", "x")),
        ("g=72962b91-fa75-4ae6-8d28-b404dc7daf63", NodeAddress(0, UUID("72962b91-fa75-4ae6-8d28-b404dc7daf63"))),
        ("ns=1;b=AQID", NodeAddress(1, b"\1\2\3")),
        ("/Objects/2:Press/Oil", PathAddress(((0, "Objects"), (2, "Press"), (0, "Oil")))),
        ("/Objects/nsu=http://a/b;Press/2:m&/s", PathAddress(((0, "Objects"), ("http://a/b", "Press"), (2, "m/s")))),
    ],
)
def test_what_people_write(text, address):
    assert Address.parse(text) == address
    assert Address.parse(address) is address


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("", "a node id such as"), (7, "a node id such as"), ("Oil", "a node id such as"), ("ns=2", "a node id such as"),
        ("ns=70000;i=1", "above 65535"), ("i=4294967296", "up to 4294967295"), ("i=x", "up to 4294967295"),
        ("s=", "a name behind it"), ("g=1", "a GUID"), ("b=*", "base64"), ("/", "browse path"), ("/a//b", "browse path"),
        ("/a/&", "browse path"), ("ns=1;s=" + "x" * 4100, "a node id such as"), ("/a" * 65, "browse path"),
    ],
)  # fmt: skip
def test_what_is_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        Address.parse(wrong)
