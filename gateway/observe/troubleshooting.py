"""Writes docs/troubleshooting.md from the catalogue: run as a module, it prints the page."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from gateway.model.reasons import CHAPTERS

_HEAD = """\
# Troubleshooting by reason code / 按原因代码排查

<!-- Written by `python -m gateway.observe.troubleshooting > docs/troubleshooting.md`; do not edit. -->

Whatever goes wrong has a reason code. It stands in square brackets in messages (`error [no_answer]: …`), in the `code`
or `reason` of a log line, in the metrics `xingsha_device_reason` and `xingsha_lane_reason`, in `/status` and
`/health/ready`, in the quality of a value and in gap records. Codes never change their meaning.

每个故障都有原因代码，出现在提示信息的方括号中、日志的 `code` 或 `reason` 字段、指标、`/status`、
数据质量和缺口记录中。代码含义永不改变。

Three commands find most causes:

| command | tells |
|---|---|
| `xingsha check gateway.yaml` | every error of the configuration at once, and whether the scan rates can be met |
| `xingsha probe gateway.yaml --device press-1` | refused, no answer or wrong protocol; raw words in every decoding |
| `curl -s localhost:9180/health/ready` | what is wrong at this moment, by device and lane |
"""


def page() -> str:
    """Return the whole page, in Markdown: a chapter for each table of the catalogue, a heading for each code."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for (title, title_zh), table in CHAPTERS.items():
        yield f"- {title} / {title_zh}: " + ", ".join(f"[{code}](#{code})" for code in table)
    for (title, title_zh), table in CHAPTERS.items():
        yield f"\n## {title} / {title_zh}"
        for code, reason in table.items():
            yield f"\n### {code}\n"
            yield f"{reason.title}. {reason.remedy}\n"
            yield f"{reason.title_zh}。{reason.remedy_zh}"


if __name__ == "__main__":
    sys.stdout.write(page())
