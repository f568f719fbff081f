"""The fault campaign, scenario by scenario: a table for people, one JSON line for machines.

    script/faults                       everything in its long form
    script/faults --short               everything in its short form, about ten minutes
    script/faults --only kill broker    some families or scenarios
    script/faults --at-once 1           strictly one by one

Scenarios that wait for most of their time go first, a few side by side; those that take the whole machine, or judge
how regularly devices are read, follow one by one.

kept         points that arrived
lost         points that a device served, that never arrived, and that nothing explains: must be 0
in gaps      points answered in the last moment before the gateway died; a gap record tells of them
duplicated   points that came again, always under the number of their first batch
recovery     seconds from the end of the fault until everything had arrived, or worked again
Exit code 0: all passed; 1: a check failed; 2: nothing was run.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from benchmarks.campaign import WAITING, families
from benchmarks.campaign.scenario import Outcome, Scenario, Skipped
from benchmarks.pipeline import circumstances
from benchmarks.processes import ROOT, Unfit, run_folder
from gateway.config.fields import parse_duration

PAGE: Final = ROOT / "docs" / "durability.md"
MARKS: Final = ("<!-- campaign -->", "<!-- /campaign -->")
COLUMNS: Final = ("scenario", "what is done", "in flight", "kept", "lost", "in gaps", "duplicated", "recovery", "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        "script/faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="short forms, as in the test suite")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="scenarios or families to run")
    parser.add_argument("--list", action="store_true", help="names of all scenarios, by family")
    parser.add_argument("--outage", type=parse_duration, help="how long something is down, instead of its own time")
    parser.add_argument("--at-once", type=int, default=4, metavar="N", help="how many that wait go side by side: 4")
    parser.add_argument("--keep", action="store_true", help="keep the folder of each run: configuration, journal, logs")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--write-docs", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    if options.list:
        _list()
        return 0
    chosen, unknown = _choose(options.only)
    if unknown:
        parser.error(f"no scenario or family {unknown!r}; --list tells them")
    if options.write_docs and not _places(PAGE.read_text("utf-8")):
        parser.error(f"{PAGE.relative_to(ROOT)}: expected a line {MARKS[0]} and a line {MARKS[1]}")
    began = time.monotonic()
    results = _run_all(chosen, options)
    seconds = round(time.monotonic() - began)
    if not options.json:
        _table(results)
    if options.write_docs:
        command = shlex.join(["script/faults", *(sys.argv[1:] if arguments is None else arguments)])
        _write_page(results, command.replace(" --write-docs", ""), seconds)
    run = [outcome for _, outcome in results if not outcome.skipped]
    passed = all(outcome.passed for outcome in run)
    record = {scenario.name: _record(outcome) for scenario, outcome in results}
    print(json.dumps({"passed": passed and bool(run), "seconds": seconds, "scenarios": record, **circumstances()}))
    return 2 if not run else 0 if passed else 1


def _list() -> None:
    for name, scenarios in families().items():
        for scenario in scenarios:
            print(f"{name:10} {scenario.name:24} {scenario.event} ({scenario.in_flight})")


def _choose(names: Sequence[str]) -> tuple[list[Scenario], str | None]:
    """Scenarios by their own name or by that of their family, in the order of the campaign; a name that is none."""
    known = families()
    scenarios = [scenario for family in known.values() for scenario in family]
    single = {scenario.name for scenario in scenarios}
    unknown = next((name for name in names if name not in single and name not in known), None)
    # where a scenario bears the name of its family, the family is meant
    wanted = {scenario.name for name in names for scenario in known.get(name, ())} | (set(names) - known.keys())
    return [scenario for scenario in scenarios if not names or scenario.name in wanted], unknown


def _run_all(chosen: Sequence[Scenario], options: argparse.Namespace) -> list[tuple[Scenario, Outcome]]:
    """Run those that wait side by side, then the others one by one; the outcomes in the order of ``chosen``."""
    waiting = {scenario.name for name in WAITING for scenario in families()[name]}
    outcomes: dict[str, Outcome] = {}
    for at_once, mine in ((max(1, options.at_once), True), (1, False)):
        part = [scenario for scenario in chosen if (scenario.name in waiting) is mine]
        with ThreadPoolExecutor(at_once) as pool:
            found = pool.map(lambda scenario: _run(scenario, options), part)
            try:
                outcomes |= {scenario.name: outcome for scenario, outcome in zip(part, found, strict=True)}
            except KeyboardInterrupt:
                print("ends when what is under way has come to its end and cleaned up", file=sys.stderr)
                pool.shutdown(cancel_futures=True)
                raise
    return [(scenario, outcomes[scenario.name]) for scenario in chosen]


def _run(scenario: Scenario, options: argparse.Namespace) -> Outcome:
    """Run one scenario in a folder of its own. What stops it is a failed check; the others are run."""
    course = scenario.short if options.short else scenario.long
    if options.outage is not None:
        course = replace(course, outage=options.outage)
    began = time.monotonic()
    try:
        with run_folder(options.keep) as folder:
            outcome = scenario.run(course, folder)
    except Skipped as reason:
        outcome = Outcome(scenario.name, skipped=str(reason))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other scenarios are of interest
        outcome = Outcome(scenario.name)
        outcome.check("the run comes to its end", False, f"{type(error).__name__}: {error}")
        if not isinstance(error, Unfit):
            traceback.print_exc()
    outcome.figures["run_s"] = round(time.monotonic() - began, 1)
    print(f"{scenario.name} {_verdict(outcome)}, {outcome.figures['run_s']:g} s", file=sys.stderr, flush=True)
    return outcome


def _verdict(outcome: Outcome) -> str:
    return "not run" if outcome.skipped else "passed" if outcome.passed else "FAILED"


def _cells(scenario: Scenario, outcome: Outcome) -> list[str]:
    if outcome.skipped:
        return [scenario.name, scenario.event, scenario.in_flight, "", "", "", "", "", f"not run: {outcome.skipped}"]
    counts = [f"{count:,}" for count in (outcome.kept, outcome.lost, outcome.declared, outcome.duplicated)]
    recovery = "" if outcome.recovery is None else f"{outcome.recovery:g} s"
    return [scenario.name, scenario.event, scenario.in_flight, *counts, recovery, _verdict(outcome)]


def _record(outcome: Outcome) -> dict[str, Any]:
    counts = {name: getattr(outcome, name) for name in ("kept", "lost", "declared", "duplicated")}
    state: dict[str, Any] = {"skipped": outcome.skipped} if outcome.skipped else {"passed": outcome.passed}
    return (
        state | {"failures": outcome.failures().splitlines(), "recovery_s": outcome.recovery} | counts | outcome.figures
    )


def _table(results: Sequence[tuple[Scenario, Outcome]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 180)
    table = Table(title="faults, and what became of the data")
    for name in COLUMNS:
        number = name in {"kept", "lost", "in gaps", "duplicated", "recovery"}
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for scenario, outcome in results:
        colour = "yellow" if outcome.skipped else "green" if outcome.passed else "red"
        *cells, verdict = _cells(scenario, outcome)
        table.add_row(*cells, f"[{colour}]{verdict}")
    console.print(table)
    for _, outcome in results:
        for what, good, found in outcome.checks:
            if not good:
                console.print(f"{outcome.scenario}: {what}: no; {found[:500]}", style="red", markup=False)


def _places(page: str) -> tuple[int, int] | None:
    """Where the table lies in the page: behind the first mark, before the second."""
    first, second = page.find(MARKS[0]), page.find(MARKS[1])
    return (first + len(MARKS[0]), second) if 0 <= first < second else None


def _write_page(results: Sequence[tuple[Scenario, Outcome]], command: str, seconds: int) -> None:
    where = circumstances()
    machine, versions = where["machine"], where["versions"]
    origin = (
        f"`{command}`, {where['date']}, commit {where['commit']}: {seconds / 60:.0f} minutes on {machine['cores']} "
    )
    origin += f"cores ({machine['cpu']}), Linux {machine['kernel']}, Python {versions['python']}."
    lines = [
        origin,
        "",
        "| " + " | ".join([*COLUMNS[:-1], "verdict"]) + " |",
        "|---|---|---|--:|--:|--:|--:|--:|---|",
        *("| " + " | ".join(_cells(*result)) + " |" for result in results),
    ]
    page = PAGE.read_text("utf-8")
    places = _places(page)
    assert places is not None  # looked at before anything was run
    PAGE.write_text(page[: places[0]] + "\n" + "\n".join(lines) + "\n" + page[places[1] :], "utf-8")


if __name__ == "__main__":
    sys.exit(main())
