"""Puts what pydantic found wrong into words: expected this, got that, at this key, and the nearest valid name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from gateway.config.base import Unsound
from gateway.config.errors import Findings, Path, Place, listed, nearest, show
from gateway.config.fields import PATTERNS, choices, format_duration, parse_duration

_EXPECTED: Final[dict[str, str]] = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "a value above {gt}",
    "greater_than_equal": "a value of at least {ge}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of a sensible size",
    "int_type": "a whole number",
    "less_than": "a value below {lt}",
    "less_than_equal": "a value of at most {le}",
    "list_type": "a list",
    "model_attributes_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "path_type": "a path",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text of at least {min_length} characters",
    "string_type": "text",
    "too_long": "a list of at most {max_length}",
    "too_short": "a list of at least {min_length}",
    "tuple_type": "a list",
}
"""pydantic's error type → what was expected. Types that need more than that have a branch in `_say`."""
_PHRASE: Final = re.compile(r"(?:an?|the|one of|at least|at most|text|two)\b")
"""How the message of a validator begins that names what is expected; any other message is a sentence of its own."""

NO_DEFAULT: Final = "a value, for there is no default"

_adapter: Final = cache(TypeAdapter[Any])


def validate(
    kind: Any,
    raw: object,
    place: Place,
    findings: Findings,
    *,
    also: Iterable[str] = (),
    never: Iterable[str] = (),
    where: Callable[[Path], Place] | None = None,
) -> Any:
    """Return ``raw`` as ``kind`` (a model, a list of models, a field type), or None after noting all its errors.

    ``also``: further keys that are valid in the outermost mapping, and dealt with elsewhere; ``never``: keys of it that
    are not to be suggested. ``where``: the place of a path below ``raw``, if it is not simply below ``place``.
    """
    try:
        return _adapter(kind).validate_python(raw)
    except ValidationError as error:
        _Report(kind, raw, where or place.at, findings, tuple(also), tuple(never)).tell(error)
        return None


@dataclass(frozen=True, slots=True)
class _Report:
    """Tells the errors in one value."""

    kind: Any
    raw: object
    where: Callable[[Path], Place]
    findings: Findings
    also: tuple[str, ...]
    never: tuple[str, ...]

    def tell(self, error: ValidationError) -> None:
        meant: set[Path] = set()
        wrong: dict[Path, list[tuple[str, str]]] = {}
        codes: dict[Path, str] = {}
        details = error.errors(include_url=False, include_input=False)
        for detail in sorted(
            details, key=lambda one: one["type"] == "missing"
        ):  # a misspelt key explains a missing one
            path, on_key = _path(self.raw, detail["loc"])
            code, context = detail["type"], detail.get("ctx", {})
            if code == "extra_forbidden":
                meant.add((*path[:-1], self._unknown_key(path)))
            elif code == "missing":
                if path not in meant:
                    self.findings.add(self.where(path), NO_DEFAULT, "nothing", code="key_missing")
            elif code == "value_error" and isinstance(_value(self.raw, path), dict):
                problem = context["error"]
                for sentence in problem.problems if isinstance(problem, Unsound) else [str(problem)]:
                    self._sentence(sentence, path)
            elif on_key:
                expected, _ = _say(code, context, detail["msg"], path[-1])
                self.findings.add(self.where(path), expected, show(path[-1]), on_key=True)
            else:
                codes[path] = code
                wrong.setdefault(path, []).append(_say(code, context, detail["msg"], _value(self.raw, path)))
        for path, said in wrong.items():
            self._value(path, codes[path], said)

    def _unknown_key(self, path: Path) -> str:
        """Note an unknown key; return the one that was probably meant."""
        owner, _ = _field(self.kind, path[:-1])
        known = list(_keys(owner)) if owner else []
        if len(path) == 1:
            known = [key for key in dict.fromkeys((*known, *self.also)) if key not in self.never]
        there = _value(self.raw, path[:-1])
        near = nearest(path[-1], [key for key in known if not isinstance(there, dict) or key not in there])
        expected = "a known key" if near else f"one of the keys {listed(known)}"
        self.findings.add(self.where(path), expected, show(path[-1]), suggestion=near, code="key_unknown", on_key=True)
        return near

    def _sentence(self, sentence: str, path: Path) -> None:
        """Note an error about a mapping as a whole; at the key that the sentence begins with, if it does."""
        first = re.split(r"[\s:,;]", sentence, maxsplit=1)[0]
        mapping = _value(self.raw, path)
        if isinstance(mapping, dict) and first in mapping:
            path = (*path, first)
        self.findings.add(self.where(path), sentence)

    def _value(self, path: Path, code: str, said: list[tuple[str, str]]) -> None:
        """Note an error in one value; the members of a union have each said something."""
        value = _value(self.raw, path)
        _, field = _field(self.kind, path)
        secret = field is not None and _is_secret(field.annotation)
        got = "a value that is not shown" if secret and value is not None else show(value)
        expected = " or ".join(dict.fromkeys(text for text, _ in said))
        if code == "value_error" and not _PHRASE.match(expected):
            if secret:
                expected = "a value that can be used"
            else:
                self.findings.add(self.where(path), expected)
                return
        if expected == "text" and isinstance(value, int | float):
            expected = "text (in quotes, as it would be a number or true/false without)"
        near = next((near for _, near in said if near), "")
        self.findings.add(self.where(path), expected, got, suggestion=near)


def _say(code: str, context: dict[str, Any], message: str, value: object) -> tuple[str, str]:
    """Words for an error in one value: (expected, nearest)."""
    if code in {"enum", "literal_error"}:
        return _one_of(re.findall(r"'([^']*)'", context["expected"]), value)
    if code == "string_pattern_mismatch":
        pattern = context["pattern"]
        if names := choices(pattern):
            return _one_of(names, value)
        return PATTERNS.get(pattern, f"text that matches {pattern}"), ""
    if code in {"value_error", "assertion_error"}:
        return str(context["error"]), ""
    if code in _EXPECTED:
        return _EXPECTED[code].format(**_as_written(context, value)), ""
    return message.removeprefix("Input should be ").removeprefix("Value should be "), ""


def _one_of(names: list[str], value: object) -> tuple[str, str]:
    if not isinstance(value, str) and str(value) in names:
        return f"'{value}' in quotes", ""
    return ("one of " if len(names) > 1 else "") + listed(names), nearest(value, names)


def _as_written(limits: dict[str, Any], value: object) -> dict[str, Any]:
    """Put limits in the words in which the value is written: a duration, or a number."""
    try:
        parse_duration(value if isinstance(value, str) else None)
    except ValueError:
        return {name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in limits.items()}
    return {name: format_duration(limit) for name, limit in limits.items() if isinstance(limit, int | float)}


def _path(raw: object, location: tuple[str | int, ...]) -> tuple[Path, bool]:
    """The keys of pydantic's location that stand in the file (it also names types), and whether a key is meant."""
    path: list[str | int] = []
    on_key = False
    for place, step in enumerate(location):
        last = place == len(location) - 1
        if step == "[key]":
            on_key = True
        elif isinstance(raw, dict) and (step in raw or (last and isinstance(step, str))):
            path.append(step)
            raw = raw.get(step)
        elif isinstance(raw, list) and isinstance(step, int):
            path.append(step)
            raw = raw[step] if step < len(raw) else None
    return tuple(path), on_key


def _value(raw: object, path: Path) -> object:
    for step in path:
        if isinstance(raw, dict):
            raw = raw.get(step)
        elif isinstance(raw, list) and isinstance(step, int) and step < len(raw):
            raw = raw[step]
        else:
            return None
    return raw


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation stands for, without Annotated, unions and None."""
    if get_origin(annotation) is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, UnionType}:
        for member in get_args(annotation):
            yield from _kinds(member)
    elif annotation is not NoneType:
        yield annotation


def _keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields of a model by the key that stands in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _field(annotation: Any, path: Path) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """Return the model that a path leads to, if it leads to one, and the field it leads through last."""
    field: FieldInfo | None = None
    for step in path:
        for kind in _kinds(annotation):
            arguments = get_args(kind)
            if isinstance(kind, type) and issubclass(kind, BaseModel) and step in _keys(kind):
                field = _keys(kind)[str(step)]
                annotation = field.annotation
                break
            if arguments and get_origin(kind) in {dict, list, tuple}:
                annotation = arguments[-1 if get_origin(kind) is dict else 0]
                break
        else:
            return None, None
    models = (kind for kind in _kinds(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel))
    return next(models, None), field


def _is_secret(annotation: Any) -> bool:
    return any(kind is SecretStr or any(map(_is_secret, get_args(kind))) for kind in _kinds(annotation))
