"""Turns whatever ended a command into one clear message on stderr and an exit code. No traceback reaches a user."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Final

from gateway.model.faults import Fault
from gateway.model.reasons import REASONS

FAILED: Final = 1
INTERRUPTED: Final = 130
_OWN: Final = {"gateway", "adapters"}

ERRNO_CODES: Final[dict[int, str]] = {
    errno.ENOENT: "file_missing",
    errno.EACCES: "file_denied",
    errno.EPERM: "file_denied",
    errno.EISDIR: "file_unsuitable",
    errno.ENOTDIR: "file_unsuitable",
    errno.ENOSPC: "disk_full",
    errno.EROFS: "file_denied",
    errno.EADDRINUSE: "port_in_use",
    errno.EADDRNOTAVAIL: "address_unusable",
    errno.ECONNREFUSED: "connection_refused",
    errno.EHOSTUNREACH: "no_route",
    errno.ENETUNREACH: "no_route",
}
"""Reason code of what the operating system says; anything else is ``system_error``."""


def report(error: BaseException, *, debug: bool = False) -> int:
    """Write what happened and what to do about it; return the exit code."""
    causes = list(_leaves(error))
    if all(isinstance(cause, KeyboardInterrupt) for cause in causes):
        return INTERRUPTED
    for cause in causes:
        for line in explain(cause):
            print(line, file=sys.stderr)
    if debug:
        traceback.print_exception(error)
    return FAILED


def explain(error: BaseException) -> list[str]:
    """Lines that tell a person what happened, by code, and what to do."""
    match error:
        case Fault():
            return _coded(error.code, *str(error).splitlines())
        case ModuleNotFoundError() if (error.name or "").partition(".")[0] not in _OWN:
            return _coded("extra_missing", f"the module {error.name} is not installed")
        case OSError():
            return _coded(system_code(error), _system_message(error))
        case _:
            name = type(error).__name__
            return [
                f"error [bug]: {name}: {_one_line(str(error))}",
                "  This is a bug in the gateway, please report it; `xingsha --debug …` shows where it arose.",
            ]


def system_code(error: OSError) -> str:
    """Reason code of what the operating system says."""
    if error.errno == errno.EACCES and not error.filename:
        return "address_unusable"  # no file was meant: a port below 1024
    return ERRNO_CODES.get(error.errno or 0, "system_error")


def _coded(code: str, *messages: str) -> list[str]:
    lines = [f"error [{code}]: {_one_line(message)}" for message in messages or ("",)]
    if reason := REASONS.get(code):
        lines.append(f"  {reason.remedy_zh if speaks_chinese() else reason.remedy}")
    return lines


def _system_message(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what


def _one_line(text: str) -> str:
    return " ".join(text.split())


def speaks_chinese() -> bool:
    """Return True when the environment asks for Chinese (LC_ALL, LC_MESSAGES, LANG, in this order)."""
    language = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    return language.startswith("zh")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
