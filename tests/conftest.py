"""What every test can rely on: the language is English, no option of the machine's user leaks in."""

import logging
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog


@pytest.fixture(scope="session", autouse=True)
def _plain_environment():
    """Once for all: tests have threads that copy the environment at any time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LC_ALL", "LC_MESSAGES", "LANG", "XINGSHA_DEBUG", "NO_COLOR", "FORCE_COLOR"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _own_logs():
    """Logs that a test sent somewhere, perhaps to a stream that is gone with it, do not go there in the next."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = [handler for handler in root.handlers if handler in handlers]
    root.setLevel(level)


@pytest.fixture(scope="session")
def bare_environment():
    """What a child process gets to see: nothing of the machine's user; where modules lie, and how coverage counts."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COVERAGE")}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "120"}


@pytest.fixture(scope="session")
def xingsha(bare_environment):
    """A function that runs the command with arguments in a process of its own, to its end."""

    def run(*arguments, code="from gateway.cli import main; main()", **options):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.run(command, env=bare_environment, text=True, timeout=60, check=False, **options)

    return run


@pytest.fixture
def spawn(bare_environment):
    """A function that starts Python with arguments, as a process of its own that never outlives the test."""
    with ExitStack() as stack:

        def start(*arguments):
            command = [sys.executable, *map(str, arguments)]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = stack.enter_context(subprocess.Popen(command, env=bare_environment, **pipes))
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture(scope="session")
def repository():
    """The folder of the source tree."""
    return Path(__file__).parent.parent
