"""HTTP sources: documents that are asked for, machines that post. See README.md beside this file."""

from gateway.sdk import AdapterModels

from .adapter import HttpAdapter
from .config import HttpConnection, HttpDevice, HttpTag

models = AdapterModels(HttpConnection, HttpDevice, HttpTag)


def adapter(connection: HttpConnection) -> HttpAdapter:
    """Make the adapter of one connection."""
    return HttpAdapter(connection)


__all__ = ["adapter", "models"]
