"""What holds for every file of the tree."""

import ast
import itertools
import re
import subprocess

import pytest

from gateway import __version__
from gateway.model.quality import Quality
from gateway.model.reasons import REASONS

LONGEST = 400
FORBIDDEN = re.compile(r"(^|_)(utils?|helpers?|managers?|common|misc)(_|$)")
FORBIDDEN_CLASS = re.compile(r"(Utils?|Helpers?|Manager)$")


@pytest.fixture(scope="module")
def tracked(repository):
    names = subprocess.run(["git", "ls-files", "-z"], cwd=repository, check=True, capture_output=True).stdout.decode()
    files = [repository / name for name in names.split("\0") if name]
    return [path for path in files if path.is_file() and not path.is_symlink()]


@pytest.fixture(scope="module")
def code(tracked, repository):
    """Every module of gateway and adapters, tests not counted, parsed."""
    found = {}
    for path in tracked:
        parts = path.relative_to(repository).parts
        if path.suffix == ".py" and parts[0] in {"gateway", "adapters"} and "tests" not in parts:
            found[path.relative_to(repository).as_posix()] = path.read_text("utf-8")
    assert len(found) > 20
    return found


def test_no_file_is_long(tracked):
    lengths = {str(path): len(path.read_bytes().splitlines()) for path in tracked if path.suffix == ".py"}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}


def test_no_name_says_nothing(code):
    wrong = [path for path in code if any(FORBIDDEN.search(part.removesuffix(".py")) for part in path.split("/"))]
    for path, text in code.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and FORBIDDEN_CLASS.search(node.name):
                wrong.append(f"{path}:{node.lineno} {node.name}")
    assert wrong == []


def test_every_module_says_what_it_is_for(code):
    assert [path for path, text in code.items() if len(ast.get_docstring(ast.parse(text)) or "") < 20] == []


def broad_without_reason(text):
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if not any(kind is None or getattr(kind, "id", "") in {"Exception", "BaseException"} for kind in kinds):
            continue
        again = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
        near = " ".join(line.partition("#")[2] for line in lines[node.lineno - 1 : node.body[0].end_lineno])
        comment = re.sub(r"noqa:\s*[A-Z0-9, ]+", "", near)
        if not again and len(re.findall(r"[A-Za-z]{2,}", comment)) < 3:
            yield node.lineno


def test_who_catches_everything_says_why(code):
    assert [f"{path}:{line}" for path, text in code.items() for line in broad_without_reason(text)] == []


@pytest.mark.parametrize(
    ("handler", "wrong"),
    [
        ("except Exception: pass", 1),
        ("except: pass", 1),
        ("except (ValueError, BaseException): pass", 1),
        ("except Exception:  # noqa: BLE001\n    pass", 1),
        ("except Exception:  # noqa: BLE001 - reason: one device must not end the others\n    pass", 0),
        ("except BaseException:\n    close()\n    raise", 0),
        ("except ValueError: pass", 0),
    ],
)
def test_the_check_tells_a_reason_from_none(handler, wrong):
    assert len(list(broad_without_reason(f"try:\n    pass\n{handler}"))) == wrong


def test_no_machine_and_no_index_is_named(tracked, repository):
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org", "proxy." + "golang.org"]
    paths = [f"/{folder}/" for folder in ("work", "root", "tmp/v")]
    wrong = re.compile("|".join([re.escape(host) for host in hosts] + [rf"(?<![\w.}}]){path}" for path in paths]))
    assert wrong.search("cd /" + "work/tree")
    found = []
    for path in tracked:
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(repository)}: {match[0]}" for match in wrong.finditer(text)]
    assert found == []


def coded(tree):
    """Yield (line, code) of every reason code that is written as a literal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            for keyword in node.keywords:
                if keyword.arg == "code" or (name == "Gap" and keyword.arg == "reason"):
                    yield from literals(keyword.value)
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                target = part.targets[0] if isinstance(part, ast.Assign) else getattr(part, "target", None)
                if getattr(target, "id", "") == "code" and getattr(part, "value", None) is not None:
                    yield from literals(part.value)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            pairs = [*zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
            pairs += zip(arguments.args[::-1], arguments.defaults[::-1], strict=False)
            for argument, default in pairs:
                if argument.arg == "code" and default is not None:
                    yield from literals(default)

        elif isinstance(node, ast.Dict):
            for value in node.values:
                yield from in_table(value)


def in_table(row):
    """Yield the code of a row such as ``("connection_refused", "nothing listens there")``: a code before a sentence."""
    texts = [part.value if isinstance(part, ast.Constant) else None for part in getattr(row, "elts", [])]
    for first, second in itertools.pairwise(texts):
        coded_row = isinstance(first, str) and re.fullmatch(r"[a-z]+(_[a-z]+)+", first)
        if coded_row and isinstance(second, str) and " " in second:
            yield row.lineno, first


def literals(value):
    if isinstance(value, ast.IfExp):
        yield from (*literals(value.body), *literals(value.orelse))
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.lineno, value.value


def test_every_code_is_in_the_catalogue(code):
    found = [(path, *pair) for path, text in code.items() for pair in coded(ast.parse(text))]
    assert len(found) > 10
    assert sorted({f"{name} ({path}:{line})" for path, line, name in found if name not in REASONS}) == []


def test_every_reason_is_given_somewhere(code, repository):
    """A remedy for what never happens would only lengthen the page."""
    said = "\n".join(text for path, text in code.items() if not path.startswith("gateway/model/reasons/"))
    said += "\n".join(path.read_text("utf-8") for path in (repository / "script").iterdir() if path.is_file())
    said += "connection_unknown profile_unknown" * ('f"{key}_unknown"' in said)
    qualities = {quality.label for quality in Quality}
    assert [name for name in REASONS if name not in qualities and not re.search(rf"\b{name}\b", said)] == []


def test_scripts_use_codes_of_the_catalogue(repository):
    named = {
        name
        for path in (repository / "script").iterdir()
        if path.is_file()
        for name in re.findall(r"error \[(\w+)\]", path.read_text("utf-8"))
    }
    assert named
    assert named <= REASONS.keys()


def test_the_changelog_tells_of_this_version(repository):
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (repository / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert versions[0] == __version__
