"""`xingsha browse`, and `read` of a device that sends by itself: with an adapter that is no part of the tree."""

import csv
import io
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import browse
from gateway.cli.new_adapter import Shape, create
from gateway.config.base import Access
from gateway.model.types import DataType
from gateway.sdk.browse import Node
from gateway.testing.ports import free_port

CODE = "import sys, adapters; adapters.__path__.append({folder!r}); from gateway.cli import main; main()"
BROWSE = """

from gateway.sdk import Access, DataType, Node


async def browse(self, device, path=""):
    for number in range(5):
        yield Node(f"Machine/Axis{number}", description="an axis")
        yield Node(f"Machine/Axis{number}/Speed", f"axis{number}.speed", DataType.FLOAT64, unit="1/min")
    yield Node("Machine/Program", "program", DataType.STRING, Access.READ_WRITE, description="what runs: ${x}, \\x1b \\u2028.")
    yield Node("Machine/Curve", "curve", None)


AcmeAdapter.browse = browse
"""
CONFIG = """
gateway: {{id: test}}
{include}
connections:
  line: {{adapter: acme, host: 127.0.0.1, port: {port}, retry: 100ms}}
devices:
  press-1: {{connection: line{more}}}
lanes:
  platform: {{to: {{host: 127.0.0.1, port: {port}}}}}
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """Program that runs the command with one more adapter, which can browse."""
    folder = tmp_path_factory.mktemp("tree") / "adapters"
    folder.mkdir()
    place, _ = create(
        "acme", Shape.SUBSCRIBED, folder, package=False, texts={"title": "Acme", "title_zh": "Acme", "owner": "us"}
    )
    adapter = place / "adapter.py"
    adapter.write_text(adapter.read_text("utf-8") + BROWSE, "utf-8")
    return CODE.format(folder=str(folder))


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "plant.yaml"
    more = ", tags: [{name: speed, address: speed, type: bool}]"
    path.write_text(CONFIG.format(port=free_port(), include="", more=more), "utf-8")
    return path


def test_the_yaml_is_a_profile_to_include(code, config, xingsha):
    options = ("--adapter", "acme", "--host", "127.0.0.1", "-o", "timeout=2s")
    found = xingsha("browse", *options, "-f", "yaml", code=code)
    assert found.returncode == 0, found.stderr
    assert "left out: 1 whose type no tag can have" in found.stderr
    (config.parent / "press.yaml").write_text(found.stdout, "utf-8")
    port = yaml.safe_load(config.read_text("utf-8"))["connections"]["line"]["port"]
    more = ", profile: acme-tags"
    config.write_text(CONFIG.format(port=port, include="include: [press.yaml]", more=more), "utf-8")
    checked = xingsha("check", config, "--json", code=code)
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["tags"] == 6
    tags = yaml.safe_load(found.stdout)["profiles"]["acme-tags"]["tags"]
    assert [tag["name"] for tag in tags] == [*(f"Axis{number}/Speed" for number in range(5)), "Program"]
    assert tags[0] == {"name": "Axis0/Speed", "address": "axis0.speed", "type": "float64", "unit": "1/min"}
    assert tags[5]["access"] == "read/write"
    assert tags[5]["description"] == "what runs: $${x},   \u2028."


def test_csv_has_a_column_for_each_key(code, config, xingsha):
    found = xingsha("browse", config, "--format", "csv", code=code)
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert [row["address"] for row in rows][:2] == ["axis0.speed", "axis1.speed"]
    assert set(rows[0]) == {"name", "address", "type", "access", "unit", "description"}
    assert rows[5]["type"] == "string"


def test_all_of_it_and_only_so_much(code, config, xingsha):
    found = json.loads(xingsha("browse", config, "--format", "json", code=code).stdout)
    assert len(found) == 12
    assert found[0] == {
        "path": "Machine/Axis0", "address": "", "type": None, "access": "read", "unit": "", "description": "an axis",
    }  # fmt: skip
    some = xingsha("browse", config, "--max", "3", code=code)
    assert some.returncode == 0
    assert some.stdout.count("Machine/") == 3
    assert "stopped after 3" in some.stderr
    everything = xingsha("browse", config, "--max", "12", code=code)
    assert everything.stderr == ""
    assert "\x1b" not in everything.stdout


def test_what_cannot_be(code, config, xingsha):
    wrong = xingsha("browse", config, "-d", "press-9", code=code)
    assert wrong.returncode == 1
    assert "there are: press-1" in wrong.stderr
    wrong = xingsha("browse", "--adapter", "modbus", "--host", "127.0.0.1", code=code)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error [cannot_browse]: adapter modbus cannot browse")


def test_read_waits_for_what_a_device_sends(code, config, xingsha, spawn):
    tags = (
        "{name: speed, address: speed, type: float64, scale: 0.5}, {name: parts, address: parts, type: uint32},"
        " {name: program, address: program, type: string}"
    )
    more = f", tags: [{tags}]"
    port = yaml.safe_load(config.read_text("utf-8"))["connections"]["line"]["port"]
    config.write_text(CONFIG.format(port=port, include="", more=more), "utf-8")
    gone = xingsha("read", config, "--json", code=code)
    assert gone.returncode == 1
    assert {row["quality"] for row in json.loads(gone.stdout)} == {"not_connected"}
    options = ("-s", "press-1.speed=725", "-s", "press-1.program=AX-7", "-s", "press-1.parts=7")
    process = spawn("-c", code, "sim", config, *options)
    assert process.stdout.readline().startswith("line: acme")
    found = xingsha("read", config, "--json", code=code)
    assert found.returncode == 0, found.stderr
    assert {row["tag"]: row["value"] for row in json.loads(found.stdout)} == {
        "speed": 725.0, "parts": 7, "program": "AX-7",
    }  # fmt: skip
    probed = xingsha("probe", config, code=code)
    assert probed.stdout.startswith("ok: a device that speaks Acme")
    by_hand = xingsha("probe", "--adapter", "acme", "--host", "127.0.0.1", "--port", str(port), code=code)
    assert by_hand.stdout == probed.stdout
    no_unit = xingsha("probe", "--adapter", "acme", "--host", "127.0.0.1", "--unit", "3", code=code)
    assert "--unit: adapter acme has " in no_unit.stderr
    process.kill()


def node(path, address="a", kind=DataType.INT16, **more):
    return Node(path, address, kind, **more)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([], []), (["A/x"], ["x"]), (["A/x", "B/x", "B/y"], ["A/x", "B/x", "y"]),
        (["P/A/x", "Q/A/x"], ["P/A/x", "Q/A/x"]), (["A/x", "A/x"], ["A/x", "A/x_2"]),
        (["x", "A/x"], ["x", "A/x"]), (["", "/"], ["value", "value_2"]), (["a\nb"], ["a b"]),
        (["x", "x", "x_2"], ["x", "x_3", "x_2"]),
    ],
)  # fmt: skip
def test_names(paths, names):
    found = browse.names(paths)
    assert len(set(found)) == len(found)
    if paths != ["x", "x", "x_2"]:
        assert found == names


@given(st.lists(st.text(max_size=30), max_size=20))
def test_names_are_valid_and_given_once(paths):
    from gateway.sdk import TagConfig

    found = browse.names(paths)
    assert len(set(found)) == len(found) == len(paths)
    for name in found:
        if name.isprintable():
            TagConfig(name=name, type=DataType.BOOL)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_texts_are_written_as_yaml_reads_them(text):
    assert yaml.safe_load(f"{{a: {browse._scalar(text)}}}") == {"a": text.replace("${", "$${")}


def test_long_texts_are_cut_to_what_a_tag_takes():
    (tag,) = browse.tag_list([node("x" * 2000, unit="u" * 50, description="d" * 600, access=Access.WRITE)])
    assert [len(tag[key]) for key in ("name", "unit", "description")] == [1016, 32, 500]
    assert tag["access"] == "write"
