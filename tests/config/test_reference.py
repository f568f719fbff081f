"""The reference page: complete, and the committed one is what the models say today."""

import re
from importlib import import_module
from pathlib import Path

from pydantic import Field

from gateway.config.base import Model
from gateway.config.reference import INTRODUCTION, page
from gateway.config.root import BusConfig, LaneConfig
from gateway.config.yaml_reader import read
from gateway.sdk.manifest import manifests

REPOSITORY = Path(__file__).parents[2]


def test_every_key_of_every_model_is_there(tiny):
    text = page(tiny.adapters, tiny.sinks)
    for model in (
        BusConfig,
        LaneConfig,
        tiny.adapters["tiny"].connection,
        tiny.adapters["other"].tag,
        tiny.sinks["mqtt"],
    ):
        for key, field in model.model_fields.items():
            assert f"\n| `{key}` | " in text
            assert field.description
    assert "| `limit` | size, such as `2GB` | `2GB` | Most bytes of batches kept. |" in text
    assert "| `baud` | whole number, 300 to 4000000 | `9600` | Bits per second on the serial line. |" in text
    assert "| `password` | secret text | – | Password of the user. |" in text
    assert "| `retry` | " in text.split("## Adapter")[0]
    assert "| `retry` | " not in text.split("## Adapter")[1]


def test_tables_are_sound(tiny):
    for line in page(tiny.adapters, tiny.sinks).splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5


def test_models_within_models_and_odd_types(tiny):
    class Part(Model):
        """A part."""

        size: int | None = None
        """How large."""

    class Odd(tiny.sinks["mqtt"]):
        """Odd things."""

        part: Part = Part()
        """One part."""
        parts: list[Part] = Field(default=[])
        """More parts."""
        anything: object = None
        """Whatever."""
        several: list[int | str] = Field(default=[1])
        """Several."""
        pair: tuple[int, float] = (1, 2.5)
        """Two."""
        least: int = 5
        """Some | more."""

    text = page({}, {"odd": Odd})
    assert "| `part` | mapping, see below | see below | One part. |" in text
    assert "### `part`\n\nA part.\n\n| key |" in text
    assert "| `parts` | list of mapping, see below | – |" in text
    assert "| `several` | list of whole number or text | `[1]` |" in text
    assert "| `pair` | [whole number, number] | `[1, 2.5]` |" in text
    assert "Some \\| more." in text
    assert "No keys of its own." in page({}, {"plain": type("Plain", (Model,), {"__doc__": "Nothing."})})


def test_the_example_in_the_introduction_is_yaml():
    example = INTRODUCTION.split("```yaml\n")[1].split("```")[0]
    found, problems = read(example.encode())
    assert problems == []
    assert set(found) == {"gateway", "connections", "profiles", "devices", "lanes"}


def test_the_committed_page_is_fresh():
    sinks = import_module("gateway.sinks")
    fresh = page(
        {name: manifest.load().models for name, manifest in manifests().items()},
        {name: sinks.sink_model(name) for name in sinks.sink_ids()},
    )
    committed = (REPOSITORY / "docs" / "configuration.md").read_text("utf-8")
    assert committed == fresh, "write it anew: xingsha schema --reference > docs/configuration.md"
