"""`xingsha new-adapter`: what it writes is whole, is short, passes its own tests, and says no when it should."""

import ast
import re
import subprocess
import sys

import pytest
import typer
import yaml

from gateway.cli.app import COMMANDS
from gateway.cli.new_adapter import Shape, check_name, create
from gateway.model.faults import ConfigFault
from gateway.sdk.manifest import Manifest

TEXTS = {"title": "Acme Press", "title_zh": "Acme 压力机", "owner": "somebody"}
MOST_LINES = 30


@pytest.fixture(scope="module", params=list(Shape))
def made(request, tmp_path_factory):
    """An adapter as a folder of ``adapters``, outside the tree."""
    into = tmp_path_factory.mktemp(request.param) / "adapters"
    into.mkdir()
    place, written = create("acme_press", request.param, into, package=False, texts=TEXTS)
    assert all(path.is_file() for path in written)
    return place


def logic(path):
    """Lines of code, without blank lines, comments, docstrings and imports."""
    tree = ast.parse(path.read_text("utf-8"))
    lines = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            continue
        if isinstance(node, ast.stmt):
            lines.add(node.lineno)
            body = getattr(node, "body", None)
            end = body[0].lineno if body else node.end_lineno + 1
            lines.update(range(node.lineno, end) if not body else range(node.lineno, min(end, node.lineno + 1)))
            lines.update(decorator.lineno for decorator in getattr(node, "decorator_list", ()))
            if isinstance(node, ast.Try):
                lines.update(handler.lineno for handler in node.handlers)
    return len(lines)


def test_the_adapter_is_short(made):
    assert 10 < logic(made / "adapter.py") <= MOST_LINES


def test_its_manifest_and_its_scale_are_whole(made):
    manifest = Manifest.read(made / "adapter.toml", "adapters.acme_press")
    assert (manifest.id, manifest.title_zh, manifest.tier) == ("acme_press", "Acme 压力机", "bronze")
    scale = yaml.safe_load((made / "quality.yaml").read_text("utf-8"))
    assert set(scale["bronze"].values()) == {"done"}


def test_its_readme_tells_its_settings(made):
    text = (made / "README.md").read_text("utf-8")
    tables = dict(re.findall(r"<!-- settings: (\w+) -->\n(.*?)\n<!-- end -->", text, re.DOTALL))
    head = "| setting | values | default | |\n|---|---|---|---|"
    assert all(table.startswith(head) for table in tables.values())
    named = {what: re.findall(r"^\| `(\w+)`", table, re.MULTILINE) for what, table in tables.items()}
    config = (made / "config.py").read_text("utf-8")
    own = re.findall(r"^    (\w+): ", config, re.MULTILINE)
    assert named == {"connection": ["host", *own[:-1]], "device": [], "tag": ["address"]}
    for words in re.findall(r'^    \w+: .*\n    """(.*)"""$', config, re.MULTILINE):
        assert words in text
    assert len(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1].splitlines()) <= 10


@pytest.mark.parametrize("tool", [["ruff", "check"], ["ruff", "format", "--check"]], ids=" ".join)
def test_it_has_the_style_of_the_house(made, repository, tool):
    options = ["--config", str(repository / "pyproject.toml"), "--no-cache"]
    sources = [str(path) for path in made.glob("*.py")]
    done = subprocess.run(
        [sys.executable, "-m", *tool, *options, *sources], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_passes_its_own_tests(made, xingsha):
    code = (
        "import sys, adapters, pytest\n"
        "adapters.__path__.append(sys.argv[1])\n"
        "sys.exit(pytest.main([sys.argv[2], '-q', '-W', 'error', '--import-mode=importlib', '-p', 'no:cacheprovider',"
        " '--rootdir', sys.argv[2], '-c', '/dev/null']))"
    )
    done = xingsha(made.parent, made, code=code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten(made):
    with pytest.raises(ConfigFault, match="nothing was written") as raised:
        create("acme_press", Shape.POLLED, made.parent, package=False, texts=TEXTS)
    assert raised.value.code == "folder_exists"
    with pytest.raises(ConfigFault, match="--package"):
        create("acme_press", Shape.POLLED, made.parent / "none", package=False, texts=TEXTS)


@pytest.mark.parametrize("name", ["", "a", "Acme", "1acme", "a-b", "a.b", "class", "a" * 40, "../x", "öl"])
def test_what_is_no_id(name):
    with pytest.raises(typer.BadParameter, match="is no id"):
        check_name(name)


@pytest.mark.parametrize("option", ["--title", "--title-zh", "--owner"])
@pytest.mark.parametrize("text", ['a"b', "a\nb", "a$b", "a\\b", "x" * 81])
def test_texts_that_would_break_the_files(xingsha, tmp_path, option, text):
    done = xingsha("new-adapter", "acme", option, text, "--into", tmp_path)
    assert done.returncode == 2
    assert "without quotes" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_says_what_to_do_next(xingsha, tmp_path):
    done = xingsha("new-adapter", "acme", "--into", tmp_path)
    assert done.returncode == 0, done.stderr
    for words in ("xingsha sim", "xingsha read", "pytest", "codec.py first"):
        assert words in done.stdout
    assert ("xingsha conformance" in done.stdout) is ("conformance" in COMMANDS)
