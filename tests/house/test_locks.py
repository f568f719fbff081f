"""What is locked is what the project needs, and can still be installed when newer versions have come out."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PIN = re.compile(r"^([\w.-]+)(?:\[([\w.,-]+)\])?==([\w.]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def locks(repository):
    """Text of each lock file, the smallest first."""
    names = ("requirements.lock", "requirements-demo.lock", "requirements-test.lock")
    return {name: (repository / name).read_text("utf-8") for name in names}


@pytest.fixture(scope="module")
def pinned(locks):
    """Per lock file: {name: (version, extras)}."""
    return {
        lock: {
            canonicalize_name(name): (version, set(filter(None, extras.split(","))))
            for name, extras, version in PIN.findall(text)
        }
        for lock, text in locks.items()
    }


def test_they_hold_what_the_project_needs(repository, pinned):
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    more = ([], extras["demo"], extras["test"])
    for (lock, pins), wanted in zip(pinned.items(), more, strict=True):
        needed = {canonicalize_name(Requirement(line).name) for line in project["dependencies"] + wanted}
        assert needed <= pins.keys(), lock


def test_the_larger_hold_the_smaller(pinned):
    run, demo, test = ({(name, version) for name, (version, _) in pins.items()} for pins in pinned.values())
    assert len(run) > 15
    assert run <= demo <= test


def test_each_has_hashes_and_names_no_index(locks):
    for lock, text in locks.items():
        assert "://" not in text, lock
        assert all("--hash=sha256:" in part for part in re.split(r"\n(?=\w)", text.strip())[1:] if "==" in part), lock


def needed_with_extras(names):
    """What the installed distributions need with an extra: (needed, extras, by whom)."""
    for name in names:
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # of another platform
            continue
        for requirement in map(Requirement, needed):
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if requirement.extras and applies:
                yield canonicalize_name(requirement.name), requirement.extras, name


def test_what_is_needed_with_an_extra_is_locked_with_it(pinned):
    """pip before 23.3 takes `name[extra]` for another requirement than the `name==1.2` of a lock: as soon as there is a
    newer version, it tries that one, finds it unlocked, and refuses the whole file."""
    found = list(needed_with_extras(pinned["requirements-test.lock"]))
    assert ("coverage", {"toml"}, "pytest-cov") in found
    for lock, pins in pinned.items():
        missing = [
            f"{who} needs {name}[{','.join(sorted(extras))}]"
            for name, extras, who in found
            if who in pins and not extras <= pins[name][1]
        ]
        assert missing == [], lock
