"""Loads a configuration: reads, substitutes, checks and expands it, and tells all that is wrong with it at once.

Knows adapters and sinks only through the two functions that it is given, which return their models by id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gateway.config.base import AdapterModels, ConnectionConfig, DeviceConfig, Model, SinkConfig, TagConfig
from gateway.config.errors import ConfigErrors, Findings, Place, Refusal, listed, nearest, show
from gateway.config.errors import Path as Keys
from gateway.config.fields import Name, format_duration
from gateway.config.profiles import Profile, Tags, once_each, tag_list, validate_tags
from gateway.config.root import (
    BusConfig,
    Configuration,
    Device,
    GatewayConfig,
    LaneConfig,
    ObserveConfig,
    ProfileConfig,
)
from gateway.config.secrets import Substitution
from gateway.config.sources import Sections, errors_of, read_sections
from gateway.config.translate import validate
from gateway.model.faults import ConfigFault

AdapterModelsById = Callable[[str], AdapterModels]
SinkModelById = Callable[[str], type[SinkConfig]]
_M = TypeVar("_M")
_S = TypeVar("_S", bound=Model)


def load(path: Path, adapter_models: AdapterModelsById, sink_model: SinkModelById) -> Configuration:
    """Load the file at ``path`` and what it includes.

    The two functions return models by id and raise ConfigFault for an id they do not know. What is disabled in the
    file is checked like everything else, and left out of the result. Raises ConfigErrors with every error found.
    """
    findings = Findings()
    sections = read_sections(path, findings)
    loader = _Loader(sections, path.parent, adapter_models, sink_model, findings)
    configuration = loader.configuration()
    if findings or configuration is None:
        raise ConfigErrors(errors_of(findings, sections.main))
    return configuration


def errors_at(path: Path, refusals: Iterable[Refusal]) -> ConfigErrors:
    """Return refusals as errors with the places that are to be edited, in a file that `load` has found good."""
    findings = Findings()
    sections = read_sections(path, findings)
    for refusal in refusals:
        raw, place = sections.named[refusal.section][refusal.name]
        if refusal.tag is not None:
            position = refusal.tag
            profile, profile_place = sections.named["profiles"].get(str(raw.get("profile")), ({}, place))
            shared = len(profile.get("tags") or ())
            place = profile_place / "tags" / position if position < shared else place / "tags" / (position - shared)
        findings.add(place, refusal.message, code=refusal.code)
    return ConfigErrors(errors_of(findings, sections.main))


@dataclass(slots=True)
class _Connection:
    """A connection as far as it could be read."""

    adapter: str
    models: AdapterModels | None
    config: ConnectionConfig | None


class _Loader:
    def __init__(
        self,
        sections: Sections,
        folder: Path,
        adapter_models: AdapterModelsById,
        sink_model: SinkModelById,
        findings: Findings,
    ) -> None:
        self._sections = sections
        self._folder = folder
        self._adapter_models = adapter_models
        self._sink_model = sink_model
        self._findings = findings
        self._substitution = Substitution(folder, findings)
        self._connections: dict[str, _Connection] = {}
        self._profiles: dict[str, Profile | None] = {}
        self._resolved: dict[str, AdapterModels | ConfigFault] = {}

    def configuration(self) -> Configuration | None:
        gateway = self._single("gateway", GatewayConfig)
        bus = self._single("bus", BusConfig)
        observe = self._single("observe", ObserveConfig)
        for name, (raw, place) in self._entries("connections"):
            self._connections[name] = self._connection(raw, place)
        self._one_owner_each()
        for name, (raw, place) in self._entries("profiles"):
            self._profiles[name] = self._profile(raw, place)
        devices = {name: self._device(name, raw, place) for name, (raw, place) in self._entries("devices")}
        lanes, sinks = self._lanes()
        if self._findings or gateway is None or bus is None or observe is None:
            return None
        connections = {name: found.config for name, found in self._connections.items() if found.config}
        connections = {name: config for name, config in connections.items() if config.enabled}
        return Configuration(
            gateway=gateway,
            connections=connections,
            devices={
                name: device
                for name, device in devices.items()
                if device and device.config.enabled and device.config.connection in connections
            },
            lanes=lanes,
            sinks=sinks,
            bus=bus,
            observe=observe,
            folder=self._folder,
        )

    def _single(self, section: str, model: type[_S]) -> _S | None:
        raw, place = self._sections.single.get(section, (None, self._sections.main / section))
        if section == "gateway" and raw is None:
            if section not in self._sections.meant:
                self._findings.add(place, "a section with the id of this gateway", "nothing", code="key_missing")
            return None
        found: _S | None = validate(
            model, self._substitution.fill({} if raw is None else raw, place), place, self._findings
        )
        return found

    def _entries(self, section: str) -> list[tuple[str, tuple[dict[str, Any], Place]]]:
        """Entries of a section that are mappings; the others, and names that are not sound, are noted as errors."""
        entries = []
        for name, (raw, place) in self._sections.named[section].items():
            if not isinstance(raw, dict):
                self._findings.add(place, "a mapping of keys to values", show(raw))
            else:
                validate(Name, name, place, self._findings)
                entries.append((name, (raw, place)))
        return entries

    def _models(self, raw: dict[str, Any], place: Place) -> tuple[str, AdapterModels | None]:
        """Id and models of the adapter that an entry names."""
        key = self._as_written("adapter", raw, place, ConnectionConfig.model_fields)
        adapter = raw.get(key)
        if not isinstance(adapter, str):
            self._findings.add(place / key, "the id of an adapter", show(adapter), code="key_missing", settle=True)
            return "", None
        if adapter not in self._resolved:
            try:
                self._resolved[adapter] = self._adapter_models(adapter)
            except ConfigFault as fault:
                self._resolved[adapter] = fault
        found = self._resolved[adapter]
        if isinstance(found, ConfigFault):
            self._refuse(place / key, "adapter", adapter, found)
            return adapter, None
        return adapter, found

    def _refuse(self, place: Place, what: str, name: str, fault: ConfigFault) -> None:
        if fault.known:
            expected = f"the id of an installed {what} ({listed(fault.known)})"
            near = nearest(name, fault.known)
            self._findings.add(place, expected, show(name), suggestion=near, code=fault.code, settle=True)
        else:
            self._findings.add(place, str(fault), code=fault.code, settle=True)

    def _connection(self, raw: dict[str, Any], place: Place) -> _Connection:
        raw = self._substitution.fill(raw, place)
        adapter, models = self._models(raw, place)
        config = validate(models.connection, raw, place, self._findings) if models else None
        return _Connection(adapter, models, config)

    def _one_owner_each(self) -> None:
        """Two connections to one endpoint would disturb each other, and many devices take only one."""
        owners: dict[str, str] = {}
        for name, connection in self._connections.items():
            if connection.config is None or not connection.config.enabled:
                continue
            endpoint = connection.config.endpoint
            owner = owners.setdefault(endpoint, name)
            if owner != name:
                _, place = self._sections.named["connections"][name]
                expected = f"an endpoint of its own (put the devices of both on connection {owner})"
                self._findings.add(place, expected, f"{endpoint}, which {owner} has", code="endpoint_twice")

    def _profile(self, raw: dict[str, Any], place: Place) -> Profile | None:
        adapter, models = self._models(raw, place)
        own = {key: raw[key] for key in ProfileConfig.model_fields if key in raw} | {"adapter": adapter or "?"}
        config = validate(ProfileConfig, own, place, self._findings)
        if config is None or models is None:
            return None
        return Profile(
            config, raw, place=place, models=models, substitution=self._substitution, findings=self._findings
        )

    def _device(self, name: str, raw: dict[str, Any], place: Place) -> Device | None:
        raw = self._substitution.fill(raw, place)
        connection = self._named(raw, place, "connection", self._connections)
        model = connection.models.device if connection and connection.models else DeviceConfig
        profile = self._named(raw, place, "profile", self._profiles, model)
        if connection is None or connection.models is None or (raw.get("profile") is not None and profile is None):
            return None
        if profile and profile.config.adapter != connection.adapter:
            expected = f"a profile for adapter {connection.adapter}, which connection {raw['connection']} uses"
            got = f"{show(raw['profile'])}, which is for {profile.config.adapter}"
            self._findings.add(place / "profile", expected, got, code="profile_other_adapter")
            return None
        models = connection.models
        settings = {key: value for key, value in raw.items() if key != "tags"}
        given = _scalars(raw.get("params"))
        params = profile.params_of(given, place / "params") if profile else {}
        defaults = profile.defaults(params) if profile else {}

        def where(path: Keys) -> Place:
            if profile and path and path[0] in defaults and path[0] not in settings:
                return profile.blame(path, given, place / "params")
            return place.at(path)

        config = validate(models.device, defaults | settings, place, self._findings, also=("tags",), where=where)
        if given and not profile and config is not None:
            self._findings.add(place / "params", "params only together with a profile", "no profile")
        shared = profile.tags(params, given, place / "params") if profile else ()
        own = self._own_tags(models.tag, raw, place / "tags", shared)
        if config is None:
            return None
        if not shared and not raw.get("tags") and not (profile and profile.raw_tags):
            expected = "at least one tag, here or in a profile"
            self._findings.add(place / "tags", expected, "nothing", code="device_without_tags")
        if profile:
            self._intervals_can_be_kept(shared, config, profile.place / "tags")
        self._intervals_can_be_kept(own, config, place / "tags")
        return Device(name, config, shared + own if own else shared)

    def _own_tags(self, model: type[TagConfig], raw: dict[str, Any], place: Place, shared: Tags) -> Tags:
        tags = validate_tags(model, tag_list(raw, place, self._findings), place, self._findings)
        once_each(tags, place.__truediv__, self._findings, taken={tag.name for tag in shared} if tags else ())
        return tags

    def _intervals_can_be_kept(self, tags: Sequence[TagConfig], config: DeviceConfig, place: Place) -> None:
        for position, tag in enumerate(tags):
            scan = config.scan if tag.scan is None else tag.scan
            if 0 < tag.max_interval < scan:
                expected = f"at least the scan rate, here {format_duration(scan)}"
                got = format_duration(tag.max_interval)
                self._findings.add(place / position / "max_interval", expected, got, code="interval_too_short")

    def _named(
        self,
        raw: dict[str, Any],
        place: Place,
        key: str,
        known: dict[str, _M],
        model: type[DeviceConfig] = DeviceConfig,
    ) -> _M | None:
        """What ``raw[key]`` names; None, with an error, when there is no such thing."""
        written = self._as_written(key, raw, place, {*model.model_fields, "tags"})
        name = raw.get(written)
        if name is None and key == "profile":
            return None
        if not isinstance(name, str):
            self._findings.add(place / written, f"the name of a {key}", show(name), code="key_missing", settle=True)
            return None
        if name in known:
            return known[name]
        if name not in self._sections.named[f"{key}s"]:  # else it is there, and its own error has been told
            near = nearest(name, known)
            choice = listed(known, 8) or "there is none"
            expected = f"the name of a {key}" + ("" if near else f" ({choice})")
            self._findings.add(place / written, expected, show(name), suggestion=near, code=f"{key}_unknown")
        return None

    def _as_written(self, key: str, raw: dict[str, Any], place: Place, known: Collection[str]) -> str:
        """Return the key as it stands in the file: misspelt, it is an error, and the rest can still be checked."""
        near = "" if key in raw else nearest(key, [other for other in raw if other not in known])
        if near:
            self._findings.add(place / near, "a known key", show(near), suggestion=key, code="key_unknown", on_key=True)
        return near or key

    def _lanes(self) -> tuple[dict[str, LaneConfig], dict[str, SinkConfig]]:
        lanes: dict[str, LaneConfig] = {}
        sinks: dict[str, SinkConfig] = {}
        for name, (unfilled, place) in self._entries("lanes"):
            raw = self._substitution.fill(unfilled, place)
            lane = validate(LaneConfig, raw, place, self._findings)
            sink_id = raw.get("sink", LaneConfig.model_fields["sink"].default)
            sink = self._sink(sink_id, raw["to"], place) if "to" in raw and isinstance(sink_id, str) else None
            if lane and sink and lane.enabled:
                lanes[name] = lane.model_copy(update={"to": sink})
                sinks[name] = sink
        return lanes, sinks

    def _sink(self, sink_id: str, raw: Any, place: Place) -> SinkConfig | None:
        try:
            model = self._sink_model(sink_id)
        except ConfigFault as fault:
            self._refuse(place / "sink", "sink", sink_id, fault)
            return None
        found: SinkConfig | None = validate(model, raw, place / "to", self._findings)
        return found


def _scalars(params: Any) -> dict[str, Any]:
    """Parameters that can be used; others are told when the device is checked."""
    if not isinstance(params, dict):
        return {}
    return {name: value for name, value in params.items() if isinstance(value, str | int | float | bool)}
