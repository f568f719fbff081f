"""`xingsha deadletters`: what a platform would not take: list it, look at it, send it again, or throw it away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli.read import show
from gateway.cli.run import loop_factory
from gateway.forward.announce import fill
from gateway.forward.deadletters import DeadLetter, Spool
from gateway.forward.lane import PAYLOADS
from gateway.model.batch import decode_body
from gateway.model.faults import ConfigFault, Fault
from gateway.model.quality import quality_label
from gateway.model.schema import decode_schema
from gateway.model.view import FrameView
from gateway.sdk.sink import Message, Rejected, Sink

if TYPE_CHECKING:
    from gateway.config.root import Configuration

Config = Annotated[Path, typer.Argument(help="The configuration file.", metavar="CONFIG", show_default=False)]
Letters = Annotated[
    list[str] | None, typer.Argument(help="Letters as `list` names them; none: all.", metavar="[LETTER]…")
]
LaneName = Annotated[str | None, typer.Option("--lane", "-l", help="Only this lane.")]

_COLUMNS: Final = "{:<40} {:>8} {:>10}  {:<20} {:<24} {}"


@dataclass(frozen=True, slots=True)
class Found:
    """A letter in its folder."""

    lane: str
    path: Path
    letter: DeadLetter | ValueError

    @property
    def name(self) -> str:
        """As people write it: lane/epoch-seq."""
        return f"{self.lane}/{self.path.stem}"


def register(app: typer.Typer) -> None:
    """Add the command with its four verbs."""
    verbs = typer.Typer(no_args_is_help=True, help="What a platform would not take: list, show, replay, discard.")
    for name, verb in VERBS.items():
        verbs.command(name)(verb)
    app.add_typer(verbs, name="deadletters")


def list_letters(
    config: Config,
    lane: LaneName = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List all letters, oldest batch first."""
    found = find(_load(config), lane, None)
    if as_json:
        for one in found:
            print(json.dumps(_record(one), ensure_ascii=False))
    elif found:
        print(_COLUMNS.format("LETTER", "FRAMES", "VALUES", "SET ASIDE", "CODE", "REASON"))
        for one in found:
            print(_line(one))
    else:
        print("no dead letters")


def show_letters(config: Config, letters: Letters = None, lane: LaneName = None) -> None:
    """Show what is in letters: header, then every value."""
    for one in find(_load(config), lane, letters):
        print(json.dumps(_record(one), ensure_ascii=False))
        if isinstance(one.letter, DeadLetter):
            _show(one.letter)


def replay(
    config: Config,
    letters: Letters = None,
    lane: LaneName = None,
    keep: Annotated[bool, typer.Option("--keep", help="Do not remove what was delivered.")] = False,
) -> None:
    """Send letters again, through their lane's sink, beside a gateway that runs; remove what was delivered.

    They come with their old epoch and seq, so a platform that has the batch already takes them for duplicates.
    Exit code 1 when any was refused again or is damaged.
    """
    configuration = _load(config)
    failed = False
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        by_lane: dict[str, list[Found]] = {}
        for one in find(configuration, lane, letters):
            by_lane.setdefault(one.lane, []).append(one)
        for name, found in by_lane.items():
            failed |= not runner.run(send(configuration, name, found, keep=keep))
    if failed:
        raise typer.Exit(1)


def discard(
    config: Config,
    letters: Letters = None,
    lane: LaneName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Throw letters away, for good."""
    found = find(_load(config), lane, letters)
    if found and not yes:
        typer.confirm(f"Throw away {len(found)} letters for good?", abort=True)
    for one in found:
        one.path.unlink(missing_ok=True)
    print(f"{len(found)} letters thrown away")


VERBS: Final[dict[str, Callable[..., None]]] = {
    "list": list_letters,
    "show": show_letters,
    "replay": replay,
    "discard": discard,
}


def spool_folder(configuration: Configuration, lane: str) -> Path:
    """Folder of a lane's dead letters: beside the journal."""
    return configuration.folder / configuration.bus.path.parent / "deadletters" / lane


def find(configuration: Configuration, lane: str | None, names: Sequence[str] | None) -> list[Found]:
    """Return the letters that are meant. Raises ConfigFault for a lane or a letter that there is not."""
    if lane is not None and lane not in configuration.lanes:
        raise ConfigFault(f"no lane {lane!r} in this configuration", code="lane_unknown", known=configuration.lanes)
    found = [
        Found(name, path, letter)
        for name in ([lane] if lane else configuration.lanes)
        for path, letter in Spool(spool_folder(configuration, name)).letters()
    ]
    if not names:
        return found
    by_name = {one.name: one for one in found}
    for name in names:
        if name not in by_name:
            raise ConfigFault(
                f"no dead letter {name!r}: `xingsha deadletters list`", code="letter_unknown", known=by_name
            )
    return [by_name[name] for name in names]


async def send(configuration: Configuration, lane: str, found: Sequence[Found], *, keep: bool) -> bool:
    """Send letters of one lane. Returns True when all were delivered. Raises Fault when the platform is not there."""
    from gateway.sinks import make_sink

    config, gateway = configuration.lanes[lane], configuration.gateway.id
    sink = make_sink(
        config.sink, configuration.sinks[lane], gateway, f"{lane}-replay", folder=configuration.folder
    )  # a client id of its own: the lane's would throw a running gateway out
    delivered = True
    async with sink.open() as session:
        for one in found:
            if isinstance(one.letter, ValueError):
                print(f"{one.name}: damaged: {one.letter}")
                delivered = False
                continue
            try:
                for message in messages(sink, config.payload, one.letter, session.max_payload):
                    await session.send(message)
            except (Rejected, ValueError) as why:
                print(f"{one.name}: refused again: {why}")
                delivered = False
            except Fault as why:
                raise type(why)(f"{one.name} and all after it stay: {why}", code=why.code) from why
            else:
                print(f"{one.name}: delivered")
                if not keep:
                    one.path.unlink(missing_ok=True)
    return delivered


def messages(sink: Sink, payload: str, letter: DeadLetter, limit: int) -> list[Message]:
    """Return the schemas of a letter and its batch, as messages. Raises ValueError for what still cannot be sent."""
    gateway, topics, codec = letter.header.gateway, sink.topics, PAYLOADS[payload](letter.header.gateway)
    found = [
        Message(
            fill(topics.schema, gateway=gateway, schema=identity.hex()), codec.schema(schema), True, codec.content_type
        )
        for identity, schema in letter.schemas().items()
    ]
    encoded = codec.encode(letter.batch(), limit, letter.schemas())
    if encoded.poison:
        raise ValueError(encoded.poison[0].reason)
    data = fill(topics.data, gateway=gateway)
    return found + [Message(data, part, False, codec.content_type) for part in encoded.parts]


def _load(path: Path) -> Configuration:
    from gateway.runtime.making import load_configuration

    return load_configuration(path)


def _line(one: Found) -> str:
    if isinstance(one.letter, ValueError):
        return _COLUMNS.format(one.name, "", "", "", "damaged", one.letter)
    header = one.letter.header
    return _COLUMNS.format(one.name, header.frames, header.points, _when(header.time), header.code, header.reason)


def _record(one: Found) -> dict[str, Any]:
    if isinstance(one.letter, ValueError):
        return {"letter": one.name, "damaged": str(one.letter)}
    header = one.letter.header
    record = {name: getattr(header, name) for name in ("epoch", "seq", "whole", "frames", "points", "code", "reason")}
    return {"letter": one.name, "time": _when(header.time), **record}


def _show(letter: DeadLetter) -> None:
    schemas = letter.schemas()
    body = decode_body(letter.body)
    for frame in body.frames:
        try:
            view = FrameView(decode_schema(schemas[frame.schema]), frame)
        except (KeyError, ValueError) as error:
            print(f"  a frame of schema {frame.schema.hex()} that cannot be read: {error}")
            continue
        print(f"  {view.device} {view.group} {_when(view.time)}")
        for row in view.rows():
            print(f"    {row.tag} = {show(row.value)} {row.unit} {quality_label(row.quality)}")
    for gap in body.gaps:
        print(f"  {gap}")


def _when(time: int) -> str:
    try:
        return f"{datetime.fromtimestamp(time / 1e9, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return str(time)
