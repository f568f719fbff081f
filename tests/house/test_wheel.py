"""What is shipped is what was tested: the wheel holds all it needs, and works without the source tree."""

import shutil
import subprocess
import sys
import zipfile

import pytest
import setuptools

pytestmark = pytest.mark.skipif(
    int(setuptools.__version__.partition(".")[0]) < 77, reason="building needs setuptools 77; script/setup installs it"
)


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
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


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", target, wheel)
    return target


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *map(str, arguments)], check=True, timeout=100)


def xingsha(site, *arguments):
    return subprocess.run(
        [sys.executable, "-P", "-c", "from gateway.cli import main; main()", *arguments],
        cwd=site.parent, env={"PYTHONPATH": str(site), "PATH": ""}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_it_holds_what_it_must(wheel, repository):
    names = set(zipfile.ZipFile(wheel).namelist())
    needed = {"gateway/py.typed", "adapters/py.typed"}
    for folder in ("gateway", "adapters"):
        for pattern in ("*.py", "adapter.toml", "*.yaml"):
            for path in (repository / folder).rglob(pattern):
                inside = path.relative_to(repository)
                if "tests" not in inside.parts and "__pycache__" not in inside.parts:
                    needed.add(inside.as_posix())
    assert needed - names == set()


def test_it_holds_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gateway", "adapters"}
    assert [name for name in names if "/tests/" in name or name.endswith(".pyc")] == []
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)


def test_the_command_works_from_the_wheel(site):
    version = xingsha(site, "--version")
    assert version.returncode == 0, version.stderr
    adapters = xingsha(site, "adapters", "--json")
    assert adapters.returncode == 0, adapters.stderr
    assert '"id": "modbus"' in adapters.stdout
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import gateway, adapters; print(gateway.__file__, adapters.__file__)"],
        cwd=site.parent, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.count(str(site)) == 2
