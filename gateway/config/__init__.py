"""Configuration: YAML to typed models, with errors that name file, line and column. Knows no adapter by name."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

_PLUGINS: Final = "pydantic.plugin._loader"
if "pydantic" not in sys.modules:
    # a plugin of pydantic that happens to be installed would see every configuration, its secrets included; and merely
    # to look for one takes 2 MB
    sys.modules[_PLUGINS] = ModuleType(_PLUGINS)
    sys.modules[_PLUGINS].get_plugins = tuple  # type: ignore[attr-defined]
