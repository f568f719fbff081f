"""The catalogue is complete, in both languages, and its page is fresh."""

import re
import subprocess
import sys

import pytest

from gateway.cli.errors import ERRNO_CODES
from gateway.model.batch import Gap
from gateway.model.faults import Fault
from gateway.model.quality import Quality
from gateway.model.reasons import CHAPTERS, REASONS
from gateway.observe.status import DeviceState
from gateway.observe.troubleshooting import page


@pytest.mark.parametrize("code", sorted(REASONS))
def test_every_reason_helps_in_both_languages(code):
    reason = REASONS[code]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", code)
    assert len(reason.title) > 5
    assert not reason.title.endswith("."), "a title is no sentence"
    assert reason.remedy.endswith((".", "。"))
    for text in (reason.title_zh, reason.remedy_zh):
        assert re.search(r"[\u4e00-\u9fff]", text)
    assert reason.remedy_zh.endswith("。")


def test_no_code_stands_twice():
    assert sum(len(table) for table in CHAPTERS.values()) == len(REASONS)


def test_qualities_gaps_faults_and_system_errors_are_in_it():
    faults = {fault.code for fault in (Fault, *Fault.__subclasses__())}
    wanted = (
        {quality.label for quality in Quality} | faults | set(ERRNO_CODES.values()) | {DeviceState.CONNECTING.value}
    )
    assert wanted - REASONS.keys() == set()


def test_gap_reasons_are_in_it(repository):
    text = (repository / "gateway/model/batch.py").read_text()
    documented = text.partition("    reason: str\n")[2].partition(": see model.reasons")[0]
    named = re.findall(r"``([a-z_]+)``", documented)
    assert Gap.__struct_fields__[0] == "reason"
    assert len(named) >= 6
    assert set(named) <= REASONS.keys()


def test_codes_that_a_remedy_refers_to_exist():
    referred = {code for reason in REASONS.values() for code in re.findall(r"As for (\w+)", reason.remedy)}
    assert referred
    assert referred <= REASONS.keys()


def test_the_page_is_fresh(repository):
    on_disk = (repository / "docs/troubleshooting.md").read_text("utf-8")
    assert on_disk == page(), "run: python -m gateway.observe.troubleshooting > docs/troubleshooting.md"


def test_the_page_is_printed_by_its_module(repository):
    printed = subprocess.run(
        [sys.executable, "-m", "gateway.observe.troubleshooting"], cwd=repository, capture_output=True, check=True
    )
    assert printed.stdout.decode() == page()
