"""Configurations as people get them wrong: each folder holds one, with the exact and complete output in expected.txt."""

from pathlib import Path

import pytest

from gateway.config.errors import ConfigErrors

CASES = sorted(Path(__file__).with_name("wrong").iterdir())


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_every_error_is_told_at_once(folder, tiny, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XINGSHA_TEST_SET", "hunter2")
    with pytest.raises(ConfigErrors) as caught:
        tiny.load("plant.yaml")
    assert f"{caught.value}\n" == (folder / "expected.txt").read_text("utf-8")
    assert all(error.code for error in caught.value.errors)
    assert "hunter2" not in str(caught.value)


def test_there_are_at_least_twenty():
    assert len(CASES) >= 20
