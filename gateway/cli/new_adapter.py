"""`xingsha new-adapter`: a complete folder for a protocol of one's own, which works as it stands, to be made one's own.

The templates beside this file speak an invented line protocol. What comes out reads from its own simulator, passes its
own tests and the Bronze rules; whoever writes an adapter replaces the codec first, and the rest as the protocol needs.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Annotated, Final

import typer

from gateway import __version__
from gateway.cli.app import COMMANDS
from gateway.model.faults import ConfigFault
from gateway.sdk.version import VERSION

SUFFIX: Final = ".tmpl"
_IDENTITY: Final = re.compile(r"[a-z][a-z0-9_]{1,30}")


class Shape(StrEnum):
    """How values come from the device to the gateway."""

    POLLED = "polled"
    SUBSCRIBED = "subscribed"


_SHAPES: Final[dict[Shape, dict[str, str]]] = {
    Shape.POLLED: {
        "capabilities": '"read", "probe"',
        "shape_words": "Each value is asked for, in a line of its own.",
        "reads": "yes",
        "subscribes": "no",
        "config_fields": "Port",
        "config_extra": "",
        "connection_table": "| `port` | 1 to 65535 | `7001` | TCP port of the device. |",
    },
    Shape.SUBSCRIBED: {
        "capabilities": '"subscribe", "probe"',
        "shape_words": "The device sends what changes.",
        "reads": "no",
        "subscribes": "yes",
        "config_fields": "Interval, Port",
        "config_extra": "    silence: Interval = 3.0\n"
        '    """Time after which a device that gives no sign of life is down; it should give one each second."""\n',
        "connection_table": "| `port` | 1 to 65535 | `7001` | TCP port of the device. |\n"
        "| `silence` | duration | `3s` | Time after which a device that gives no sign of life is down; it should give "
        "one each second. |",
    },
}
"""What differs between shapes, in files that both have."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("new-adapter")
    def new_adapter(
        name: Annotated[str, typer.Argument(help="Its id: small letters, digits and _.", metavar="NAME")],
        title: Annotated[str, typer.Option("--title", help="Name of the protocol for people; default: NAME.")] = "",
        title_zh: Annotated[str, typer.Option("--title-zh", help="The same in Chinese; default: the title.")] = "",
        shape: Annotated[
            Shape, typer.Option("--shape", help="polled: the gateway asks; subscribed: the device sends.")
        ] = Shape.POLLED,
        into: Annotated[
            Path | None,
            typer.Option("--into", help="Folder to put it in; default: adapters, with --package this folder."),
        ] = None,
        package: Annotated[
            bool, typer.Option("--package", help="A distribution of its own, to be installed beside the gateway.")
        ] = False,
        owner: Annotated[str, typer.Option("--owner", help="Who looks after it, for the manifest.")] = "unknown",
    ) -> None:
        """Write a complete adapter that works as it stands: manifest, settings, codec, adapter, simulator, tests."""
        check_name(name)
        texts = {"title": title or name, "title_zh": title_zh or title or name, "owner": owner}
        for option, text in texts.items():
            if not text.isprintable() or any(sign in text for sign in "\"'\\$") or len(text) > 80:
                raise typer.BadParameter(f"{option} is a line of text without quotes, backslash and $")
        place, written = create(name, shape, into, package=package, texts=texts)
        print(f"{place}: {len(written)} files; what to do now:")
        folder = place / f"xingsha_{name}" if package else place
        if package:
            print(f"  pip install -e {place if place.is_absolute() else f'./{place}'}")
        print(f"  pytest {folder}")
        if "conformance" in COMMANDS:
            print(f"  xingsha conformance {folder}")
        print(f"  xingsha sim {folder / 'example.yaml'}")
        print(f"  xingsha read {folder / 'example.yaml'}     # in another terminal")
        print(f"Then make it yours, {folder / 'codec.py'} first.")


def check_name(name: str) -> None:
    """Raise BadParameter for what cannot be the id of an adapter, and so the name of a Python package."""
    if not _IDENTITY.fullmatch(name) or keyword.iskeyword(name):
        raise typer.BadParameter(f"{name!r} is no id such as acme_press: a small letter, then such, digits and _")


def create(
    name: str, shape: Shape, into: Path | None, *, package: bool, texts: Mapping[str, str]
) -> tuple[Path, list[Path]]:
    """Write the files; the folder, and all files in it. Raises ConfigFault when there is one of that name already."""
    into = into or Path("." if package else "adapters")
    if not package and not into.is_dir():
        raise ConfigFault(
            f"there is no folder {into} here: say --into, or --package for a distribution of its own",
            code="file_missing",
        )
    place = into / (f"xingsha-{name}" if package else name)
    if place.exists():
        raise ConfigFault(f"{place} is there already; nothing was written", code="folder_exists")
    values = {
        **_SHAPES[shape],
        **texts,
        "id": name,
        "Name": "".join(word.capitalize() for word in name.split("_")),
        "package": f"xingsha_{name}" if package else f"adapters.{name}",
        "sdk": VERSION.partition(".")[0],
        "gateway": __version__,
    }
    sources = [("folder", place / f"xingsha_{name}" if package else place)]
    sources.append((str(shape), sources[0][1]))
    if package:
        sources.append(("package", place))
    written = []
    for source, target in sources:
        for parts, text in templates(files("gateway.cli") / "templates" / source):
            file = target.joinpath(*parts)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(text).substitute(values), "utf-8")
            written.append(file)
    return place, written


def templates(folder: Traversable) -> Iterator[tuple[tuple[str, ...], str]]:
    """All templates below a folder: where each goes, and its text."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from (((entry.name, *parts), text) for parts, text in templates(entry))
        elif entry.name.endswith(SUFFIX):
            yield (entry.name.removesuffix(SUFFIX),), entry.read_text("utf-8")
