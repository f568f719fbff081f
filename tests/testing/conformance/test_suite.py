"""The suite itself: a correct adapter passes all of it, and for every rule there is a faulty one that it catches.

The adapter is the one that `xingsha new-adapter` writes; each fault is one change to its files.
"""

from __future__ import annotations

import json

import pytest

from gateway.cli.new_adapter import Shape, create
from gateway.model.faults import ConfigFault
from gateway.testing.conformance.folder import RULES
from gateway.testing.conformance.result import Verdict
from gateway.testing.conformance.run import find, run

TEXTS = {"title": "Acme Press", "title_zh": "Acme 压力机", "owner": "somebody"}
EXEMPT = ("time-truth", "safe-writes", "fairness", "troubleshooting")
"""Rules that the template's protocol has nothing for."""
SLOPPY = '''

class Sloppy:
    """A dialogue that takes the first line that comes for the answer."""

    answered = 0

    def __init__(self, link, framing, timeout):
        from gateway.wire.framing import Frames

        self.link, self.timeout, self.lines = link, timeout, []
        self.frames = Frames(framing, self.lines.append)
        link.stray = self.frames

    def feed(self, data):
        self.frames.feed(data)
        return bool(self.lines)

    async def ask(self, question):
        await self.link.exchange(question, self, self.timeout)
        return self.lines.pop(0)
'''
DIALOGUE = "Dialogue(link, LINES, self.connection.timeout)"
OPEN = "        async with open_tcp("
UNNAMED = ("codec.py", "(asked and answer.name != asked)", "False")
SLOPPILY = [
    ("adapter.py", DIALOGUE, "Sloppy(link, LINES, self.connection.timeout)"), ("adapter.py", "", SLOPPY), UNNAMED
]  # fmt: skip

FAULTS = {
    "manifest": [("adapter.toml", "edition 1", "some edition")],
    "one-folder": [("codec.py", "import math\n", "import math\n\nimport gateway.collect.missed\n")],
    "no-policy": [("adapter.py", "from typing import cast\n", "from random import random\nfrom typing import cast\n")],
    "typed-config": [("config.py", '    """TCP port of the device."""\n', "")],
    "address-syntax": [("address.py", "return self.name", 'return self.name + "_"')],
    "sans-io-codec": [("codec.py", "import math\n", "import math\nimport socket\n")],
    "cited-vectors": [("codec.py", 'f"READ {name}', 'f"GET {name}')],
    "hostile-bytes": [("codec.py", "except UnicodeDecodeError as error", "except KeyError as error")],
    "value-matrix": [("codec.py", 'return text == "1"', "return True")],
    "probe-first": [("adapter.py", "return await probe_with(", "return Probed('ok', 'surely') or await probe_with(")],
    "partial-truth": [("adapter.py", "out.fail(request, fault)", "raise")],
    "deadline": [("adapter.py", DIALOGUE, "Dialogue(link, LINES, 1000.0)")],
    "clean-close": [("adapter.py", OPEN, f"        __import__('os').dup(0)\n{OPEN}")],
    "simulator": [("simulator.py", "format_value(tag.type, raw_value(tag, value))", '"7"')],
    "readme": [("README.md", "TCP port of the device.", "What it was called last year.")],
    "chaos-matrix": SLOPPILY,
    "stale-reply": SLOPPILY,
    "limits-honoured": [("adapter.py", "limits = Limits()", "limits = Limits(in_flight=0)")],
    "planner": [("adapter.py", "enumerate(tags)]", "enumerate(tags) if place]")],
    "fault-map": [("codec.py", "    3: lambda where: ", "    9: lambda where: ")],
    "edge-logging": [
        ("adapter.py", "        for request in cast(", "        if self.dialogue.link.lost:\n            return\n        for request in cast("),
        ("adapter.py", "            answer = parse_answer(await", "            if self.dialogue.link.lost:\n                return\n            answer = parse_answer(await"),
    ],
    "reload": [("adapter.py", OPEN, f"        __import__('os').dup(0)\n{OPEN}")],
    "time-truth": [],
    "safe-writes": [],
    "fairness": [],
    "coverage": [],
    "troubleshooting": [("README.md", "", "\n## Troubleshooting\n\n| symptom | cause |\n|---|---|\n| none | none |\n")],
}  # fmt: skip
"""Rule → what is changed: file, text, other text (no text: at the end). None: the claim alone is false."""


def adapter(tmp_path, name, *, faults=(), shape=Shape.POLLED, exempt=EXEMPT):
    """A folder outside the tree that claims everything but what is exempt."""
    place, _ = create(name, shape, tmp_path, package=False, texts=TEXTS)
    manifest = place / "adapter.toml"
    manifest.write_text(manifest.read_text("utf-8").replace(f"adapters.{name}", name), "utf-8")
    lines = ["bronze:", *(f"  {rule}: done" for rule in RULES["bronze"]), "silver:"]
    lines += [
        f'  {rule}: "exempt: the protocol has no such thing"' if rule in exempt else f"  {rule}: done"
        for rule in RULES["silver"]
    ]
    (place / "quality.yaml").write_text("\n".join(lines) + "\n", "utf-8")
    for file, old, new in faults:
        text = (place / file).read_text("utf-8")
        assert old in text, f"{file} has no {old!r} any more"
        (place / file).write_text(text.replace(old, new) if old else text + new, "utf-8")
    return find(str(place))


def test_there_is_a_faulty_adapter_for_every_rule():
    assert set(FAULTS) == {rule for rules in RULES.values() for rule in rules}


@pytest.mark.parametrize("shape", list(Shape))
def test_a_correct_adapter_passes(tmp_path, shape):
    exempt = {*EXEMPT, "planner", "stale-reply"} if shape is Shape.SUBSCRIBED else EXEMPT
    manifest = adapter(tmp_path, f"sound_{shape}", shape=shape, exempt=exempt)
    results = list(run(manifest, fast=True))
    assert [f"{result.rule}: {result.seen}" for result in results if result.short] == []
    assert {result.rule for result in results} == set(FAULTS)
    assert {result.verdict for result in results if result.rule == "coverage"} == {Verdict.UNMEASURED}


@pytest.mark.parametrize("rule", FAULTS)
def test_a_faulty_adapter_is_caught(tmp_path, rule):
    exempt = [each for each in EXEMPT if each != rule]
    manifest = adapter(tmp_path, f"faulty_{rule.replace('-', '_')}", faults=FAULTS[rule], exempt=exempt)
    coverage = tmp_path / "coverage.json"
    summary = {"covered_lines": 50, "num_statements": 100, "covered_branches": 5, "num_branches": 20}
    coverage.write_text(json.dumps({"files": {str(manifest.folder / "codec.py"): {"summary": summary}}}))
    (result,) = run(manifest, only=rule, fast=True, coverage=coverage)
    assert result.verdict is Verdict.FAILED, result
    assert result.seen
    assert result.mend
    assert not result.seen.startswith("raised"), f"caught, but not by its own check: {result.seen}"


def test_enough_coverage_passes(tmp_path):
    manifest = adapter(tmp_path, "covered")
    coverage = tmp_path / "coverage.json"
    summary = {"covered_lines": 99, "num_statements": 100, "covered_branches": 20, "num_branches": 20}
    coverage.write_text(json.dumps({"files": {str(manifest.folder / "codec.py"): {"summary": summary}}}))
    (result,) = run(manifest, only="coverage", coverage=coverage)
    assert (result.verdict, result.seen) == (Verdict.PASSED, "99.2 %")


def test_what_is_no_adapter(tmp_path):
    with pytest.raises(ConfigFault, match=r"no folder with an adapter\.toml") as raised:
        find(str(tmp_path))
    assert raised.value.code == "adapter_unknown"


def test_a_scale_that_is_not_whole_is_short(tmp_path):
    manifest = adapter(tmp_path, "unsure")
    (manifest.folder / "quality.yaml").write_text("bronze: {manifest: done}\n")
    (result,) = run(manifest)
    assert (result.rule, result.verdict) == ("manifest", Verdict.FAILED)
    assert "one-folder" in result.seen
