"""Trust in certificates: what a peer shows, what was approved. For protocols with a trust list of their own.

An adapter that has one offers ``trust`` in its package, beside ``models`` and ``adapter``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate that is known on this side."""

    state: str
    """``own``, ``trusted`` or ``refused``."""
    thumbprint: str
    """SHA-256, in hexadecimal."""
    sha1: str
    """The shorter one, as many tools show it."""
    subject: str
    valid_from: str
    """A date such as 2026-01-31."""
    valid_to: str


class Trust(Protocol):
    """The optional function of an adapter's package."""

    def __call__(self, connection: Any, approve: str = "") -> Awaitable[Sequence[Certificate]]:
        """Ask the peer which certificate it has, trust it if its thumbprint begins with ``approve``; return all known.

        Raises a Fault: ConfigFault ``certificate_unknown`` when no certificate has that thumbprint.
        """
