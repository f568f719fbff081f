"""What every test can rely on: the language is English, no option of the machine's user leaks in."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", "XINGSHA_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def repository():
    """The folder of the source tree."""
    return Path(__file__).parent.parent


@pytest.fixture
def free_ports():
    """A function that gives ports of 127.0.0.1 where nothing listens."""

    def choose(count):
        with ExitStack() as stack:
            held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
            return [one.getsockname()[1] for one in held]

    return choose
