"""Who may import whom: an arrow never runs back, also not from inside a function or under TYPE_CHECKING."""

import ast

import pytest

LEVELS = [
    {"model"},
    {"config", "wire", "observe"},
    {"sdk"},
    {"bus"},
    {"collect", "forward", "command", "sinks"},
    {"runtime"},
    {"testing"},
    {"cli", "web"},
]
"""Rooms from the ground up; a room may import the levels below its own, and never a room beside it."""

BESIDE = {"reader": {"model"}}
"""Rooms that stand apart, with all that they may import: the reader is for people who have no gateway."""

USERS_OF_BESIDE = {"testing", "cli", "web"}
"""Rooms that may use what stands apart."""

ADAPTERS_MAY = ("gateway.sdk", "gateway.model", "gateway.wire", "gateway.config.fields", "gateway.config.base")


def allowed(room):
    if room in BESIDE:
        return {room} | BESIDE[room]
    below = set()
    for level in LEVELS:
        if room in level:
            return {room} | below | (set(BESIDE) if room in USERS_OF_BESIDE else set())
        below |= level
    raise AssertionError(f"gateway/{room} has no place in the order of rooms")


def modules(folder):
    return [path for path in sorted(folder.rglob("*.py")) if "tests" not in path.relative_to(folder).parts]


def dotted(path, root):
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source, module, *, package):
    """Yield (line, absolute dotted name) of whatever is imported, wherever it stands, import_module("…") included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                above = parts[: len(parts) - node.level + (1 if package else 0)]
                base = ".".join([*above, *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            yield from ((node.lineno, part.value) for part in node.args[:1] if isinstance(part, ast.Constant))


def wrong_in_gateway(source, module, *, package=False):
    room = module.split(".")[1] if "." in module else ""
    may = allowed(room) if room else set()
    for line, name in imports(source, module, package=package):
        top, _, rest = name.partition(".")
        if top == "adapters":
            yield f"{module}:{line} imports {name}: adapters are found by manifest"
        elif top == "gateway" and rest and not rest.startswith("__") and rest.split(".")[0] not in may:
            yield f"{module}:{line} imports {name}: {room} may import {', '.join(sorted(may))}"


def wrong_in_adapter(source, module, *, package=False):
    own = ".".join(module.split(".")[:2])
    may_import = (*ADAPTERS_MAY, "gateway.testing") if module == f"{own}.conformance" else ADAPTERS_MAY
    for line, name in imports(source, module, package=package):
        top = name.partition(".")[0]
        inside = name == own or name.startswith(f"{own}.")
        if (top == "adapters" and not inside) or (
            top == "gateway" and not any(name == may or name.startswith(f"{may}.") for may in may_import)
        ):
            yield f"{module}:{line} imports {name}"


def found(repository, folder, wrong):
    for path in modules(repository / folder):
        module = dotted(path, repository)
        yield from wrong(path.read_text("utf-8"), module, package=path.name == "__init__.py")


def test_rooms_import_downwards_only(repository):
    assert list(found(repository, "gateway", wrong_in_gateway)) == []


def test_adapters_are_self_contained(repository):
    assert list(found(repository, "adapters", wrong_in_adapter)) == []


def test_every_room_has_its_place(repository):
    rooms = [path.name for path in (repository / "gateway").iterdir() if (path / "__init__.py").exists()]
    assert "model" in rooms
    for room in rooms:
        allowed(room)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("gateway.model.frame", "from gateway.config import fields"),
        ("gateway.bus.journal", "def later():\n    import gateway.collect.schedule"),
        ("gateway.config.loader", "if TYPE_CHECKING:\n    from gateway.sdk import manifest"),
        ("gateway.wire.tcp", "from gateway import observe"),
        ("gateway.wire.tcp", "from ..config import fields"),
        ("gateway.collect.poll", "from gateway.forward.lane import Lane"),
        ("gateway.runtime.start", "import_module('gateway.cli.app')"),
        ("gateway.runtime.start", "import importlib\nimportlib.import_module('adapters.modbus')"),
        ("gateway.reader.rows", "import gateway.bus"),
        ("gateway.runtime.start", "from gateway.reader import Reader"),
        ("gateway.cli.demo", "import adapters.modbus"),
    ],
)
def test_the_check_sees_arrows_that_run_back(module, source):
    assert len(list(wrong_in_gateway(source, module))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import gateway.collect",
        "from gateway.bus.protocol import Bus",
        "import adapters.opcua.codec",
        "from adapters import opcua",
        "def f():\n    from gateway.config.root import Configuration",
        "from ..opcua import codec",
    ],
)
def test_the_check_sees_an_adapter_that_reaches_out(source):
    assert len(list(wrong_in_adapter(source, "adapters.modbus.codec"))) == 1


def test_only_what_tells_the_suite_about_an_adapter_may_import_it():
    source = "from gateway.testing.conformance import Subject"
    assert list(wrong_in_adapter(source, "adapters.modbus.conformance")) == []
    assert len(list(wrong_in_adapter(source, "adapters.modbus.codec"))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from adapters.modbus.codec import encode",
        "from . import address",
        "from gateway.sdk import Limits",
        "from gateway.config.fields import Port",
        "import struct",
    ],
)
def test_the_check_lets_an_adapter_have_what_it_may(source):
    assert list(wrong_in_adapter(source, "adapters.modbus.adapter")) == []
