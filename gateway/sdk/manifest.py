"""Finds adapters without importing them: folders in ``adapters/`` and entry points, each with an ``adapter.toml``."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from gateway.config.base import AdapterModels
from gateway.model.faults import ConfigFault
from gateway.sdk.adapter import AdapterModule
from gateway.sdk.version import VERSION, suits


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of an adapter.toml: what can be known about an adapter without importing it."""

    id: str
    title: str
    title_zh: str
    spec: str
    """The standard it implements, with its edition."""
    package: str
    """Python package that holds ``models`` and ``adapter``."""
    capabilities: tuple[str, ...]
    transports: tuple[str, ...]
    default_port: int
    simulator: str
    """``module:attribute`` of the simulator; empty: none."""
    extra: str
    """Name of the optional dependency set it needs; empty: none."""
    tier: str
    owner: str
    folder: Path
    sdk: str = "1"
    """Version of `gateway.sdk` that it was written for: see gateway.sdk.version."""

    @classmethod
    def read(cls, path: Path, package: str) -> Manifest:
        """Read an adapter.toml. Raises ConfigFault with the file's name for one that is not complete."""
        try:
            data = tomllib.loads(path.read_text("utf-8"))
            return cls(
                id=data["id"],
                title=data["title"],
                title_zh=data["title_zh"],
                spec=data["spec"],
                package=package,
                capabilities=tuple(data["capabilities"]),
                transports=tuple(data["transports"]),
                default_port=data.get("default_port", 0),
                simulator=data.get("simulator", ""),
                extra=data.get("extra", ""),
                tier=data["tier"],
                owner=data["owner"],
                folder=path.parent,
                sdk=str(data.get("sdk", "1")),
            )
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigFault(f"{path}: cannot be read: {error}", code="manifest_invalid") from error
        except KeyError as error:
            raise ConfigFault(f"{path}: {error.args[0]} is missing", code="manifest_invalid") from error

    def load(self) -> AdapterModule:
        """Import the adapter. Raises ConfigFault: for one that was written for another version of the sdk, and one
        that says which extra to install when a dependency is missing."""
        self._check_version()
        try:
            return cast("AdapterModule", importlib.import_module(self.package))
        except ModuleNotFoundError as error:
            if self.extra:
                raise ConfigFault(
                    f"adapter {self.id} needs the module {error.name}: pip install 'xingsha-gateway[{self.extra}]'",
                    code="extra_missing",
                ) from error
            raise

    def _check_version(self) -> None:
        """Raise ConfigFault for an adapter that cannot be trusted to run with this gateway; it is not imported."""
        try:
            if suits(self.sdk):
                return
        except ValueError as error:
            raise ConfigFault(f"adapter {self.id}: sdk = {error}", code="manifest_invalid") from error
        raise ConfigFault(
            f"adapter {self.id} was written for version {self.sdk} of gateway.sdk; this gateway has {VERSION}",
            code="sdk_unsuitable",
        )

    def load_simulator(self) -> Any:
        """Import and return the simulator class. Raises ConfigFault when the adapter has none."""
        if not self.simulator:
            raise ConfigFault(f"adapter {self.id} brings no simulator", code="no_simulator")
        self._check_version()
        module, _, attribute = self.simulator.partition(":")
        return getattr(importlib.import_module(module), attribute)


class Installed(Mapping[str, Manifest]):
    """All adapters that are installed, by id. Reads manifests only; no adapter is imported.

    Those that come with the gateway are found by their folder, and are not replaced by others. Only for an id that is
    not among them is everything that is installed looked at: the library for that takes 2 MB.
    """

    def __init__(self) -> None:
        tree = find_spec("adapters")
        folders = (tree.submodule_search_locations or ()) if tree else ()
        paths = [path for folder in folders for path in sorted(Path(folder).glob("*/adapter.toml"))]
        own = [Manifest.read(path, f"adapters.{path.parent.name}") for path in paths]
        self._own = {manifest.id: manifest for manifest in own}

    @cached_property
    def _all(self) -> dict[str, Manifest]:
        from importlib.metadata import entry_points

        found: dict[str, Manifest] = {}
        for package in sorted({point.value for point in entry_points(group="xingsha.adapters")}):
            spec = find_spec(package)
            if spec is not None and spec.origin is not None:
                manifest = Manifest.read(Path(spec.origin).parent / "adapter.toml", package)
                found[manifest.id] = manifest
        return dict(sorted((found | self._own).items()))

    def __getitem__(self, identity: str) -> Manifest:
        """The manifest of one. Raises KeyError."""
        return self._own[identity] if identity in self._own else self._all[identity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


@cache
def manifests() -> Mapping[str, Manifest]:
    """See Installed."""
    return Installed()


def adapter_models(adapter: str) -> AdapterModels:
    """Models of an adapter, imported on first use. Raises ConfigFault for an unknown id."""
    try:
        manifest = manifests()[adapter]
    except KeyError:
        known = sorted(manifests())
        message = f"no adapter {adapter!r}; installed: {', '.join(known)}"
        raise ConfigFault(message, code="adapter_unknown", known=known) from None
    return manifest.load().models
