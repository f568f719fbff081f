"""Log set-up: text for people on a terminal, JSON for collectors elsewhere, and never a secret in either.

Log lines name edges (``device_down``, ``lane_connected``), in snake case, with what they concern as fields; what
happens a thousand times is a metric. Libraries that log through the standard library end up in the same stream.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

_ABSENT: Final = object()
_rich = sys.modules.get("rich", _ABSENT)
if _rich is _ABSENT:
    sys.modules["rich"] = None  # type: ignore[assignment] # structlog would load it for tracebacks that are not ours: 3 MB
import structlog  # noqa: E402

if _rich is _ABSENT:
    del sys.modules["rich"]

HIDDEN: Final = "***"
_SECRET_NAME: Final = re.compile(
    r"pass(word|wd|phrase)|secret|token|credential|authori[sz]ation|api_?key|private_?key", re.IGNORECASE
)
_USERINFO: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s/@]+@", re.IGNORECASE)
_ASSIGNED: Final = re.compile(
    r"(?P<name>\b[\w-]*(?:password|passwd|passphrase|secret|token|api_?key)\b['\"]?\s*[:=]\s*)"
    r"(?P<value>'[^']*'|\"[^\"]*\"|[^\s,;}]+)",
    re.IGNORECASE,
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_DEPTH: Final = 6
_LONGEST: Final = 4096

Event = MutableMapping[str, Any]


def configure(level: str = "info", format: str = "auto", *, stream: TextIO | None = None) -> None:  # noqa: A002
    """Send all logs from ``level`` on to ``stream`` (stderr), as ``text``, ``json``, or ``auto`` (by terminal)."""
    target = sys.stderr if stream is None else stream
    terminal = target.isatty()
    text = format == "text" or (format == "auto" and terminal)
    severity = logging.getLevelNamesMapping()[level.upper()]
    shape: list[structlog.typing.Processor] = (
        [one_line, structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback)]
        if text
        else [structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            add_room,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            *shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(severity),
        logger_factory=lambda room="": _Written(target, room),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _FromLibraries)]:
        root.removeHandler(handler)
    root.addHandler(_FromLibraries())
    root.setLevel(max(severity, logging.WARNING))


def add_room(logger: Any, _method: str, event: Event) -> Event:
    """Say which room speaks: the name that was given to ``structlog.get_logger``."""
    if room := getattr(logger, "room", ""):
        event["room"] = room
    return event


def redact(_logger: Any, _method: str, event: Event) -> Event:
    """Blank whatever is named like a secret, user names and passwords in URLs, and ``password=…`` inside texts."""
    return {name: HIDDEN if _names_secret(name) else _clean(value, _DEPTH) for name, value in event.items()}


def one_line(_logger: Any, _method: str, event: Event) -> Event:
    """Escape control characters: what a device says can neither begin a line of its own nor drive the terminal."""
    return {
        name: _CONTROL.sub(lambda found: repr(found[0])[1:-1], value)
        if isinstance(value, str) and name != "exception"
        else value
        for name, value in event.items()
    }


def _names_secret(name: object) -> bool:
    return isinstance(name, str) and _SECRET_NAME.search(name) is not None


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        cut = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}… ({len(value)} characters)"
        return _ASSIGNED.sub(rf"\g<name>{HIDDEN}", _USERINFO.sub(rf"\g<scheme>{HIDDEN}@", cut))
    if isinstance(value, bool | int | float) or value is None:
        return value
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {name: HIDDEN if _names_secret(name) else _clean(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner, depth - 1) for inner in value]
    if isinstance(value, bytes | bytearray):
        return bytes(value[:256]).hex(" ")
    return _clean(str(value), depth)


class _Written(structlog.WriteLogger):
    """Writes lines, and knows which room it was made for."""

    def __init__(self, target: TextIO, room: str) -> None:
        super().__init__(target)
        self.room = room


class _FromLibraries(logging.Handler):
    """Hands records of the standard library's loggers to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, "library_message", logger=record.name, text=record.getMessage(), exc_info=record.exc_info
        )
