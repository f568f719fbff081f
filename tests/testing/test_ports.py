"""Ports for servers that come and go."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.testing import ports
from gateway.testing.ports import FIRST, LAST, RANGE, free_port, free_ports

CHILD = """
import sys
from gateway.testing.ports import free_port
print(free_port(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def unspent(monkeypatch):
    """As in a process that has no range yet; the doors of this test are closed behind it."""
    doors, unused = [], []
    monkeypatch.setattr(ports, "_doors", doors)
    monkeypatch.setattr(ports, "_unused", unused)
    yield unused
    for door in doors:
        os.close(door)


def range_of(port):
    return (port - FIRST) // RANGE


def test_none_is_given_twice():
    found = free_ports(2 * RANGE)
    assert len(set(found)) == len(found)
    assert all(FIRST < port <= LAST for port in found)


def test_no_outgoing_connection_is_given_one():
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert first > LAST


def test_one_that_somebody_listens_on_is_passed_over(unspent):
    free_port()
    with socket.create_server(("127.0.0.1", unspent[-1])) as taken:
        assert free_port() != taken.getsockname()[1]


def test_no_other_process_is_given_one_of_ours_before_we_end(unspent):
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        theirs = int(child.stdout.readline())
        with pytest.raises(OSError):
            socket.create_server(("127.0.0.1", FIRST + range_of(theirs) * RANGE))
        assert range_of(free_port()) != range_of(theirs)
        child.communicate()
    socket.create_server(("127.0.0.1", FIRST + range_of(theirs) * RANGE)).close()


def test_says_so_when_others_have_them_all(unspent, monkeypatch):
    monkeypatch.setattr(ports, "LAST", FIRST)
    with pytest.raises(OSError, match="is taken by a process"):
        free_port()
