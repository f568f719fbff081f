"""`xingsha journal`: look into a journal, check it, take out what it holds; also while the gateway runs."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from gateway.bus.inspection import Journal, Summary, salvage
from gateway.bus.store import Row
from gateway.cli.read import plain, show
from gateway.model.batch import decode_body
from gateway.model.faults import Fault
from gateway.model.quality import quality_label
from gateway.model.schema import SchemaId, decode_schema
from gateway.model.view import FrameView, SchemaLayout

File = Annotated[Path, typer.Argument(help="The journal file.", metavar="FILE", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]
_SIZES: Final = ("B", "kB", "MB", "GB", "TB")


def register(app: typer.Typer) -> None:
    """Add the command with its three verbs."""
    verbs = typer.Typer(no_args_is_help=True, help="Inspect, verify and export a journal.")
    for name, verb in VERBS.items():
        verbs.command(name)(verb)
    app.add_typer(verbs, name="journal")


def inspect(file: File, as_json: AsJson = False) -> None:
    """Show what a journal holds and how far its consumers are."""
    with Journal(file) as journal:
        try:
            summary = journal.summary()
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise Fault(f"{file}: {error}; `xingsha journal verify` tells more", code="corruption") from error
    if as_json:
        print(json.dumps(dataclasses.asdict(summary), ensure_ascii=False))
    else:
        _tables(summary)


def verify(file: File, as_json: AsJson = False) -> None:
    """Check every batch, schema and position, and the structure of the file. Exit code 1 for damage."""
    with Journal(file) as journal:
        verdict = journal.verify()
    if as_json:
        print(json.dumps({**dataclasses.asdict(verdict), "sound": verdict.sound}, ensure_ascii=False))
    else:
        for fault in verdict.faults:
            print(fault)
        for epoch, seq in verdict.damaged:
            print(f"batch {epoch}/{seq} is damaged")
        whole = verdict.batches - len(verdict.damaged)
        print(f"{whole} batches whole ({_size(verdict.bytes)}), {len(verdict.damaged)} damaged")
    if not verdict.sound:
        raise typer.Exit(1)


def export(
    file: File,
    to: Annotated[Path | None, typer.Option("--to", help="File to write to; default: standard output.")] = None,
    bodies: Annotated[
        Path | None, typer.Option("--bodies", help="Write raw batches and schemas into this folder instead.")
    ] = None,
    broken: Annotated[
        bool, typer.Option("--salvage", help="Read page by page: for a file that is damaged or was set aside.")
    ] = False,
) -> None:
    """Write every value and gap as one JSON object per line. Exit code 1 when a batch was left out as damaged."""
    left_out: list[int] = []
    with ExitStack() as stack:
        try:
            rows: Iterable[Row | int]
            if broken:
                rows, schemas = salvage(file)
            else:
                journal = stack.enter_context(Journal(file))
                rows, schemas = journal.rows(), journal.schemas()
            whole = _whole(rows, left_out)
            if bodies is not None:
                _write_bodies(bodies, whole, schemas)
            else:
                out = stack.enter_context(to.open("w", encoding="utf-8")) if to else sys.stdout
                lines = (json.dumps(record, ensure_ascii=False, allow_nan=False) for record in _records(whole, schemas))
                out.writelines(f"{line}\n" for line in lines)
        except sqlite3.DatabaseError as error:
            raise Fault(f"{file}: {error}; try --salvage", code="corruption") from error
    if left_out:
        print(f"{len(left_out)} damaged batches left out", file=sys.stderr)
        raise typer.Exit(1)


VERBS: Final[dict[str, Callable[..., None]]] = {"inspect": inspect, "verify": verify, "export": export}


def _whole(rows: Iterable[Row | int], left_out: list[int]) -> Iterator[Row]:
    for row in rows:
        if isinstance(row, int):
            left_out.append(row)
        else:
            yield row


def _write_bodies(folder: Path, rows: Iterable[Row], schemas: Mapping[SchemaId, bytes]) -> None:
    """``<epoch>-<seq>.batch`` as in a columnar payload, ``<id>.schema`` as published."""
    folder.mkdir(parents=True, exist_ok=True)
    for identity, body in schemas.items():
        (folder / f"{identity.hex()}.schema").write_bytes(body)
    for row in rows:
        (folder / f"{row.batch.epoch}-{row.batch.seq:012d}.batch").write_bytes(row.batch.body)


def _records(rows: Iterable[Row], schemas: Mapping[SchemaId, bytes]) -> Iterator[dict[str, Any]]:
    """Gaps and values of all batches; a frame that cannot be read is a record with its reason."""
    layouts: dict[SchemaId, SchemaLayout] = {}
    for row in rows:
        of = {"epoch": row.batch.epoch, "seq": row.batch.seq}
        body = decode_body(row.batch.body)
        for gap in body.gaps:
            yield {**of, "gap": msgspec.to_builtins(gap)}
        for frame in body.frames:
            try:
                if frame.schema not in layouts:
                    layouts[frame.schema] = _layout(schemas, frame.schema)
                for record in _values(FrameView(layouts[frame.schema], frame)):
                    yield {**of, **record}
            except (ValueError, msgspec.DecodeError) as error:
                yield {**of, "time": frame.time, "unreadable": str(error)}


def _layout(schemas: Mapping[SchemaId, bytes], identity: SchemaId) -> SchemaLayout:
    if identity not in schemas:
        raise ValueError(f"schema {identity.hex()} is not in the journal")
    return SchemaLayout(decode_schema(schemas[identity]))


def _values(view: FrameView) -> Iterator[dict[str, Any]]:
    of = {"device": view.device, "group": view.group}
    if view.confirmed:
        yield {**of, "time": view.time, "unchanged": view.tags}
    for row in view.rows():
        value, quality = plain(row.value), quality_label(row.quality)
        yield {**of, "tag": row.tag, "value": value, "unit": row.unit, "quality": quality, "time": row.time}


def _tables(summary: Summary) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, fact in _facts(summary):
        facts.add_row(Text(name, style="bold"), Text(show(fact)))
    consumers = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("consumer", "has up to", "backlog"):
        consumers.add_column(title, justify="left" if title == "consumer" else "right")
    for each in summary.consumers:
        consumers.add_row(Text(show(each.name)), f"{each.epoch}/{each.seq}", str(each.backlog))
    console = Console()
    console.print(facts)
    console.print()
    console.print(consumers if summary.consumers else Text("no consumers"))


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    (first_epoch, first), (last_epoch, last) = summary.first, summary.last
    stopped = f"stopped {_time(summary.stopped)}" if summary.stopped else "was not stopped in order"
    yield "gateway", summary.gateway
    yield "state", "in use" if summary.running else stopped
    yield "epoch", f"{summary.epoch}, next seq {summary.next_seq}"
    yield "held", f"{summary.batches} batches, {summary.frames} frames, {summary.points} values, {summary.gaps} gaps"
    yield "from, to", f"{first_epoch}/{first}, {last_epoch}/{last}" if summary.batches else "–"
    yield "time", f"{_time(summary.first_time)}, {_time(summary.last_time)}" if summary.batches else "–"
    yield "size", f"{_size(summary.bytes)} of batches"
    yield "file", f"{_size(summary.file_bytes)}, {_size(summary.free_bytes)} of it free; log {_size(summary.log_bytes)}"
    yield "schemas", str(summary.schemas)
    yield "set aside", f"{summary.set_aside} damaged batches, {len(summary.kept_aside)} damaged files"


def _time(nanoseconds: int) -> str:
    if not nanoseconds:
        return "–"
    try:
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return f"{nanoseconds} ns"  # a device with a very odd clock


def _size(count: float) -> str:
    for unit in _SIZES:
        if count < 1000 or unit == _SIZES[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
