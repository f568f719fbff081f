"""What is shipped is what was tested: the wheel holds all it needs, and works without the source tree."""

import subprocess
import sys
import zipfile

import pytest
import setuptools

pytestmark = pytest.mark.skipif(
    int(setuptools.__version__.partition(".")[0]) < 77, reason="building needs setuptools 77; script/setup installs it"
)


def xingsha(site, *arguments):
    return subprocess.run(
        [sys.executable, "-P", "-c", "from gateway.cli import main; main()", *arguments],
        cwd=site.parent, env={"PYTHONPATH": str(site), "PATH": ""}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_it_holds_what_it_must(wheel, repository):
    names = set(zipfile.ZipFile(wheel).namelist())
    needed = {"gateway/py.typed", "adapters/py.typed"}
    for folder in ("gateway", "adapters"):
        for pattern in ("*.py", "adapter.toml", "*.yaml", "*.tmpl"):
            for path in (repository / folder).rglob(pattern):
                inside = path.relative_to(repository)
                if "node_modules" in inside.parts:
                    continue
                if ("tests" not in inside.parts or path.suffix == ".tmpl") and "__pycache__" not in inside.parts:
                    needed.add(inside.as_posix())
    assert needed - names == set()


def test_it_holds_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gateway", "adapters"}
    shipped = [name for name in names if not name.endswith(".tmpl")]  # a template of a test is no test
    assert [name for name in shipped if "/tests/" in name or name.endswith(".pyc")] == []
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
