"""Ports for servers that come and go."""

import socket
from pathlib import Path

from gateway.testing import ports
from gateway.testing.ports import FIRST, LAST, free_port, free_ports


def test_none_is_given_twice():
    found = free_ports(50)
    assert len(set(found)) == 50
    assert all(FIRST <= port <= LAST for port in found)


def test_no_outgoing_connection_is_given_one():
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert first > LAST


def test_one_that_somebody_listens_on_is_passed_over(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        unused = next(port for port in range(FIRST, LAST) if listens_nobody(port))
        offers = [taken.getsockname()[1], unused]
        monkeypatch.setattr(ports.random, "randint", lambda first, last: offers.pop(0))
        monkeypatch.setattr(ports, "_given", set())
        assert free_port() == unused


def listens_nobody(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
