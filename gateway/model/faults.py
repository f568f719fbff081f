"""Faults: what can go wrong with a machine or a platform, as a small closed set.

The class of a fault chooses the recovery (one table, in ``collect``); its ``code`` is the stable reason that people
look up in the troubleshooting page (catalogue: ``model.reasons``). Adapters and sinks raise these and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.model.quality import Quality


class Fault(Exception):
    """Base of all faults. ``str(fault)`` is one sentence for a person; ``code`` is for programs."""

    code: str = "fault"
    quality: Quality = Quality.INTERNAL

    def __init__(self, message: str, *, code: str | None = None, quality: Quality | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if quality is not None:
            self.quality = quality


class ConfigFault(Fault):
    """Cannot work until somebody edits the configuration: the device is parked."""

    code = "config_invalid"
    quality = Quality.CONFIG

    def __init__(self, message: str, *, code: str | None = None, known: Iterable[str] = ()) -> None:
        super().__init__(message, code=code)
        self.known = tuple(known)
        """When a name is not known: those that are, so that the nearest can be suggested."""


class AuthFault(Fault):
    """The peer refuses us: slow retry with a cap, so that no account is locked out."""

    code = "auth_refused"
    quality = Quality.AUTH


class LinkLost(Fault):
    """The transport is gone or cannot be had: close the session, back off with jitter, open again."""

    code = "link_lost"
    quality = Quality.NOT_CONNECTED


class Timeout(Fault):
    """A device did not answer in time, on a link that stands. Others on the same line are not to blame."""

    code = "no_answer"
    quality = Quality.TIMEOUT


class OutOfStep(Timeout):
    """No answer in time, where a late one could not be told from the next: open the link again before asking more."""


class Busy(Fault):
    """The peer asks for patience: same session, try again after ``wait`` seconds."""

    code = "device_busy"
    quality = Quality.BUSY

    def __init__(self, message: str, *, wait: float = 1.0, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.wait = wait


class TagFault(Fault):
    """This tag only: it gets a bad quality, its neighbours arrive in the same cycle."""

    code = "tag_refused"
    quality = Quality.ADDRESS_REFUSED


class ProtocolFault(Fault):
    """The peer broke the protocol: keep the bytes for the log, reopen, count."""

    code = "protocol_broken"
    quality = Quality.PROTOCOL

    def __init__(self, message: str, *, data: bytes = b"", code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.data = data[:256]
