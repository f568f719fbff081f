"""What every test can rely on: the language is English, no option of the machine's user leaks in."""

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
