"""Which device a command means: one of a configuration, where the only one needs no name, or one that options tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from pydantic import ValidationError

from gateway.config.base import ConnectionConfig, DeviceConfig
from gateway.model.faults import ConfigFault
from gateway.sdk.manifest import Manifest, manifests

_OWN_OPTIONS: Final = ("host", "port", "unit")
"""Settings that many adapters have, with an option of their own."""


class Target(NamedTuple):
    """A device, and how it is reached."""

    manifest: Manifest
    connection: ConnectionConfig
    device: DeviceConfig
    name: str


def configured(config: Path, device: str | None) -> Target:
    """A device of a configuration file. Raises ConfigFault ``device_unknown`` that names those there are."""
    from gateway.runtime.making import load_configuration

    configuration = load_configuration(config)
    known = ", ".join(sorted(configuration.devices)[:40])
    if device is None and len(configuration.devices) == 1:
        device = next(iter(configuration.devices))
    if device is None:
        raise ConfigFault(f"say which device with --device: {known}", code="device_unknown")
    if device not in configuration.devices:
        raise ConfigFault(f"no device {device!r} in {config}; there are: {known}", code="device_unknown")
    chosen = configuration.devices[device].config
    connection = configuration.connections[chosen.connection]
    return Target(manifests()[connection.adapter], connection, chosen, device)


def described(adapter: str | None, given: Mapping[str, Any], capability: str) -> Target:
    """A device described by options alone: each goes to the model, connection or device, that has such a field.

    Without an adapter: the only one that has the capability. Raises ConfigFault.
    """
    found = manifests()
    able = sorted(name for name, manifest in found.items() if capability in manifest.capabilities)
    if adapter is None and len(able) == 1:
        adapter = able[0]
    if adapter is None or adapter not in found:
        raise ConfigFault(f"say which adapter with --adapter: {', '.join(able)}", code="adapter_unknown")
    manifest = found[adapter]
    models = manifest.load().models
    connection: dict[str, Any] = {"adapter": adapter}
    device: dict[str, Any] = {"connection": "none"}
    for key, value in given.items():
        if value is None:
            continue
        if key in models.connection.model_fields:
            connection[key] = value
        elif key in models.device.model_fields:
            device[key] = value
        else:
            known = sorted({*models.connection.model_fields, *models.device.model_fields})
            option = f"--{key}" if key in _OWN_OPTIONS else f"--option {key}"
            raise ConfigFault(f"{option}: adapter {adapter} has {', '.join(known)}; see --option")
    try:
        made = models.connection.model_validate(connection), models.device.model_validate(device)
    except ValidationError as error:
        raise ConfigFault("; ".join(_told(problem) for problem in error.errors())) from error
    return Target(manifest, *made, adapter)


def _told(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    words = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {words}" if where else words


def options(texts: Iterable[str]) -> dict[str, Any]:
    """Settings as a file would give them: ``base=1`` is a number, ``gap=20ms`` a text."""
    pairs = [text.partition("=") for text in texts]
    for key, separator, _ in pairs:
        if not key or not separator:
            raise ConfigFault(f"--option {key}: expected KEY=VALUE, such as transport=rtu")
    try:
        return {key: yaml.safe_load(value) for key, _, value in pairs}
    except yaml.YAMLError as error:
        raise ConfigFault(f"--option: {error}") from error
