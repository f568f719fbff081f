"""The page reader by itself, against files that SQLite wrote."""

import sqlite3
from contextlib import closing

import pytest

from gateway.bus import layout
from gateway.bus.pages import Pages, parse_record, varint


def test_varints():
    for value, data in (
        (0, b"\0"),
        (127, b"\x7f"),
        (128, b"\x81\x00"),
        (1 << 50, b"\x82\x80\x80\x80\x80\x80\x80\x00"),
        (-1, b"\xff" * 9),
    ):
        assert varint(data, 0) == (value, len(data))
    with pytest.raises(IndexError):
        varint(b"\x80", 0)


def test_records_of_every_type(tmp_path):
    path = tmp_path / "types.db"
    values = [None, 0, 1, -1, 200, 70_000, -(1 << 30), 1 << 40, -(1 << 62), 2.5, "text €", b"\0\xff", "", b""]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"PRAGMA page_size = {layout.PAGE}")
        connection.execute(f"CREATE TABLE t ({', '.join(f'c{at}' for at in range(len(values)))})")
        connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(values))})", values)
        connection.executemany(
            "INSERT INTO t (c1, c2) VALUES (?, ?)", [(1, bytes([at % 256]) * at) for at in range(7000, 70_000, 997)]
        )
    with Pages(path) as pages:
        records = list(pages.records())
    assert [1, *values[1:]] in records
    sizes = [record[2] for record in records if isinstance(record[2], bytes)]
    assert sizes == [bytes([at % 256]) * at for at in range(7000, 70_000, 997)]


@pytest.mark.parametrize("payload", [b"", b"\x05\x01", b"\x02\x81", b"\x02\x0a\x01", b"\x02\x2f\x01"])
def test_what_is_no_record_is_refused(payload):
    with pytest.raises((IndexError, ValueError)):
        parse_record(payload)
