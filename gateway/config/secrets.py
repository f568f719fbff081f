"""Substitution of ``${…}``: secrets from the environment and from files, and the parameters of profiles.

``${env:NAME}`` and ``${file:path}`` may stand anywhere a value may; what they bring is text that no error, repr or log
shows. ``${name}`` is a parameter, and stands in profiles only. ``$${`` is a plain ``${``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from gateway.config.errors import Findings, Place, listed, nearest, show

MAX_FILE: Final = 64 * 1024
"""Bytes of a secret's file: enough for any key or certificate, not for a disk given by mistake."""
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_KINDS: Final = "${env:NAME} or ${file:path}"
_NO_PARAMETERS: Final = f"{_KINDS}, as only a profile has parameters"

Scalar = str | int | float | bool | None


class SecretText(str):
    """Text that holds a secret: it can be used as any text, but its repr is the ``${…}`` it came from."""

    __slots__ = ("origin",)
    origin: str

    @classmethod
    def of(cls, value: str, origin: str) -> Self:
        """Make one of the value and of what stands in the file."""
        text = cls(value)
        text.origin = origin
        return text

    def __repr__(self) -> str:
        return self.origin


class _Missing(Exception):
    """A secret that cannot be had: (expected, got, code)."""


class Substitution:
    """Fills in secrets and parameters. ``folder`` is where relative paths start."""

    def __init__(self, folder: Path, findings: Findings) -> None:
        self._folder = folder
        self._findings = findings
        self._sources: dict[str, Callable[[str], str]] = {"env": _from_environment, "file": self._from_file}
        self._known: dict[str, str] = {}

    def fill(self, raw: Any, place: Place, params: Mapping[str, Scalar] | None = None) -> Any:
        """Return ``raw`` with all references filled in; the same object when there are none.

        What cannot be filled in is noted as an error and left as it is. Names that are not in ``params`` are left to
        `unknown_parameters`; without ``params``, parameters are errors.
        """
        if not place.source.templated:
            return raw
        if isinstance(raw, str):
            return self._text(raw, place, params) if "${" in raw else raw
        if isinstance(raw, dict):
            filled: Any = {key: self.fill(value, place / key, params) for key, value in raw.items()}
            return filled if any(filled[key] is not raw[key] for key in raw) else raw
        if isinstance(raw, list):
            filled = [self.fill(value, place / position, params) for position, value in enumerate(raw)]
            return filled if any(new is not old for new, old in zip(filled, raw, strict=True)) else raw
        return raw

    def _text(self, text: str, place: Place, params: Mapping[str, Scalar] | None) -> Scalar:
        secret = False
        whole: list[Scalar] = []

        def replacement(match: re.Match[str]) -> str:
            nonlocal secret
            reference, closed = match[1], match[2]
            if reference is None:
                return "${"
            if not closed:
                self._findings.add(place, "'}' to close the reference", "none", code="reference_invalid", settle=True)
                return match[0]
            if ":" not in reference and params is not None:
                whole.append(params.get(reference, match[0]))
                return _as_text(whole[-1])
            secret = True
            return self._secret(reference, place)

        filled = _REFERENCE.sub(replacement, text)
        alone = _REFERENCE.fullmatch(text) is not None
        if alone and whole:
            return whole[0]
        return SecretText.of(filled, text) if secret else filled

    def _secret(self, reference: str, place: Place) -> str:
        if reference in self._known:
            return self._known[reference]
        kind, _, name = reference.partition(":")
        written = f"${{{reference}}}"
        try:
            if kind not in self._sources or not name:
                raise _Missing(_KINDS if ":" in reference else _NO_PARAMETERS, written, "reference_invalid")
            value = self._sources[kind](name)
        except _Missing as missing:
            expected, got, code = missing.args
            self._findings.add(place, expected, got, code=code, settle=True)
            return written
        self._known[reference] = value
        self._findings.keep_secret(value)
        return value

    def _from_file(self, name: str) -> str:
        path = self._folder / name
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE + 1)
        except OSError as error:
            raise _Missing("a file that can be read", f"{name}: {error.strerror}", "secret_missing") from None
        if len(data) > MAX_FILE:
            raise _Missing(f"a file of at most {MAX_FILE // 1024} KiB", f"{name}, which is larger", "secret_missing")
        try:
            return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise _Missing("a file of text in UTF-8", f"{name}, which is not", "secret_missing") from None


def _from_environment(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise _Missing(f"the environment variable {name} to be set", "nothing", "secret_missing") from None


def _as_text(value: Scalar) -> str:
    return show(value) if isinstance(value, bool) else str(value)


def parameters(raw: Any) -> Iterator[str]:
    """Names of the parameters that stand in a raw value, at any depth."""
    if isinstance(raw, str):
        for match in _REFERENCE.finditer(raw) if "${" in raw else ():
            if match[1] and match[2] and ":" not in match[1]:
                yield match[1]
    elif isinstance(raw, dict | list):
        for value in raw.values() if isinstance(raw, dict) else raw:
            yield from parameters(value)


def unknown_parameters(raw: Any, place: Place, known: Mapping[str, Scalar], findings: Findings) -> None:
    """Note an error for every parameter in ``raw`` that the profile does not have."""
    if isinstance(raw, dict | list):
        for key, value in raw.items() if isinstance(raw, dict) else enumerate(raw):
            unknown_parameters(value, place / key, known, findings)
        return
    for name in parameters(raw):
        if name not in known:
            expected = f"a parameter of the profile ({listed(known) or 'it has none'})"
            findings.add(
                place, expected, f"${{{name}}}", suggestion=nearest(name, known), code="parameter_unknown", settle=True
            )


def sole_parameter(raw: object) -> str:
    """Name of the parameter when ``raw`` is nothing but ``${name}``; else empty."""
    match = _REFERENCE.fullmatch(raw) if isinstance(raw, str) else None
    return match[1] if match and match[1] and match[2] and ":" not in match[1] else ""
