"""Wires the house together: start, stop, status. The command line and the pages speak to this room only.

May not enter: anything that knows a protocol, a payload or a file format.
"""

from gateway.observe import log  # first of all: see there how structlog is imported
from gateway.runtime.gateway import Gateway
from gateway.runtime.launching import launch
from gateway.runtime.reading import TagReading, read_once

__all__ = ["Gateway", "TagReading", "launch", "log", "read_once"]
