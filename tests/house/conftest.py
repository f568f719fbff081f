"""What the tests of the house share: the wheel, built once, and where it is installed."""

import shutil
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def wheel(repository, pip, tmp_path_factory):
    """A wheel built from the tracked files alone: what is not in git is not shipped."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=repository, check=True, capture_output=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (repository / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / name, tree / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out, tree)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def site(wheel, pip, tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel)
    return target


@pytest.fixture(scope="session")
def pip():
    """A function that runs pip, without any index."""

    def run(*arguments):
        subprocess.run([sys.executable, "-m", "pip", "--quiet", *map(str, arguments)], check=True, timeout=100)

    return run
