"""Profiles: one device model, many devices. Tags that need no parameter are checked once and shared by all devices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from gateway.config.base import AdapterModels, TagConfig
from gateway.config.errors import Findings, Path, Place, nearest, show
from gateway.config.root import ProfileConfig
from gateway.config.secrets import Scalar, Substitution, parameters, sole_parameter, unknown_parameters
from gateway.config.translate import validate

NOT_SHARED: Final = ("connection", "profile", "params", "enabled", "tags")
"""Keys of a device for which a profile gives no default."""

Tags = tuple[TagConfig, ...]
Where = Callable[[Path], Place]


class Profile:
    """A profile that was read; gives each device its tags and defaults."""

    def __init__(
        self,
        config: ProfileConfig,
        raw: dict[str, Any],
        *,
        place: Place,
        models: AdapterModels,
        substitution: Substitution,
        findings: Findings,
    ) -> None:
        self.config = config
        self.place = place
        self._models = models
        self._substitution = substitution
        self._findings = findings
        self._params: dict[str, Scalar] = substitution.fill(config.params, place / "params")
        self.raw_tags = tag_list(raw, place / "tags", findings)
        self._raw_defaults = {key: value for key, value in raw.items() if key not in {*_OWN, "tags"}}
        for key in ("tags", *self._raw_defaults):
            unknown_parameters(raw.get(key), place / key, self._params, findings)
        self._used = [frozenset(parameters(tag)) for tag in self.raw_tags]
        self._names = frozenset().union(*self._used)
        fixed = [position for position, used in enumerate(self._used) if not used]
        self._fixed = self._filled(fixed, {}, place.at)
        self._made: dict[tuple[str, ...], Tags] = {}
        self._check_defaults()
        self.tags(self._params, {}, place)  # a device may never come that would bring errors to light

    def params_of(self, given: Mapping[str, Scalar], place: Place) -> dict[str, Scalar]:
        """Parameters of a device: its own, else the defaults. Unknown and missing ones are errors."""
        meant = set()
        for name in given:
            if name not in self._params:
                near = nearest(name, [known for known in self._params if known not in given])
                meant.add(near)
                expected = f"a parameter of profile {self.name}" + ("" if self._params else ", which has none")
                self._findings.add(
                    place / name, expected, show(name), suggestion=near, code="parameter_unknown", on_key=True
                )
        params = {**self._params, **given}
        for name, value in params.items():
            if value is None and name not in meant:
                expected = f"a value, for profile {self.name} has no default"
                self._findings.add(place / name, expected, "nothing", code="parameter_missing", settle=True)
        return params

    @property
    def name(self) -> str:
        """Name in the file."""
        return str(self.place.path[-1])

    def tags(self, params: Mapping[str, Scalar], given: Mapping[str, Scalar], place: Place) -> Tags:
        """Tags of a device with these parameters: the very same objects for equal parameters.

        ``given``, ``place``: the parameters that the device gives, and where; an error in such a value is shown there.
        """
        key = tuple(repr((name, params.get(name), str(params.get(name)))) for name in self._names)
        if key not in self._made:
            self._made[key] = self._make(params, lambda path: self.blame(path, given, place))
        return self._made[key]

    def defaults(self, params: dict[str, Scalar]) -> dict[str, Any]:
        """Device keys that the profile fills in, parameters in place."""
        filled: dict[str, Any] = self._substitution.fill(self._raw_defaults, self.place, params)
        return filled

    def blame(self, path: Path, given: Mapping[str, Scalar], place: Place) -> Place:
        """Where an error at ``path`` within the profile is to be put right: the parameter's value, if it is one."""
        template: Any = {**self._raw_defaults, "tags": self.raw_tags}
        for step in path:
            if isinstance(template, dict):
                template = template.get(step)
            elif isinstance(template, list) and isinstance(step, int):
                template = template[step]
        name = sole_parameter(template)
        if name not in self._params:
            return self.place.at(path)
        return place / name if name in given else self.place / "params" / name

    def _filled(self, positions: Sequence[int], params: Mapping[str, Scalar], where: Where) -> dict[int, TagConfig]:
        """Check the tags at these positions with their parameters filled in."""
        here = self.place / "tags"
        raw = [self._substitution.fill(self.raw_tags[position], here / position, params) for position in positions]
        tags = validate_tags(
            self._models.tag,
            raw,
            here,
            self._findings,
            lambda path: where(("tags", positions[int(path[0])], *path[1:])),
        )
        return dict(zip(positions, tags, strict=False))

    def _make(self, params: Mapping[str, Scalar], where: Where) -> Tags:
        ready = {name for name, value in params.items() if value is not None} | (self._names - self._params.keys())
        positions = [position for position, used in enumerate(self._used) if used and used <= ready]
        every = self._fixed | self._filled(positions, params, where)
        tags = tuple(every[position] for position in sorted(every))
        once_each(tags, (self.place / "tags").__truediv__, self._findings)
        return tags

    def _check_defaults(self) -> None:
        """Check the device keys now: a device may never come that would bring errors to light."""
        for key in _NEVER_SHARED:
            if key in self._raw_defaults:
                expected = "a key that all devices of a model can share"
                self._findings.add(self.place / key, expected, show(key), code="key_unknown", on_key=True)
                del self._raw_defaults[key]
        known = {name for name, value in self._params.items() if value is not None}
        ready = {key: raw for key, raw in self._raw_defaults.items() if known.issuperset(parameters(raw))}
        found = Findings()
        validate(
            self._models.device,
            self._substitution.fill(ready, self.place, self._params),
            self.place,
            found,
            also=(*_OWN, "tags"),
            never=_NEVER_SHARED,
            where=lambda path: self.blame(path, {}, self.place),
        )
        for finding in found.found:
            if finding.code == "key_unknown":
                self._raw_defaults.pop(str(finding.place.path[len(self.place.path)]), None)
            if finding.code != "key_missing":  # what is missing here, the device may give
                self._findings.note(finding)


_NEVER_SHARED: Final = ("connection", "profile", "enabled")
_OWN: Final = tuple(ProfileConfig.model_fields)


def tag_list(raw: dict[str, Any], place: Place, findings: Findings) -> list[Any]:
    """Return the list under ``tags``; anything else than a list is an error."""
    tags = raw.get("tags")
    if tags is None:
        return []
    if not isinstance(tags, list):
        findings.add(place, "a list of tags ('- name: …')", show(tags))
        return []
    return tags


def validate_tags(
    model: type[TagConfig], raw: list[Any], place: Place, findings: Findings, where: Where | None = None
) -> Tags:
    """Check a list of tags; the result is empty when one of them is wrong."""
    tags: list[TagConfig] = validate(list[model], raw, place, findings, where=where) or []  # type: ignore[valid-type]
    return tuple(tags)


def once_each(
    tags: Sequence[TagConfig], place: Callable[[int], Place], findings: Findings, taken: Collection[str] = ()
) -> None:
    """Note an error for every tag whose name another one before it has."""
    seen = set(taken)
    for position, tag in enumerate(tags):
        if tag.name in seen:
            expected = "a name that no other tag of the device has"
            findings.add(place(position) / "name", expected, show(tag.name), code="tag_twice")
        seen.add(tag.name)
