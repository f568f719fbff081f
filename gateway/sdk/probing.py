"""A probe made of what an adapter has already: open a session, ask it one harmless question, close."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

from gateway.model.faults import AuthFault, Fault, ProtocolFault, TagFault, Timeout
from gateway.sdk.adapter import Probed

S = TypeVar("S")
Identity = tuple[tuple[str, str], ...]

OUTCOMES: Final[tuple[tuple[type[Fault], str], ...]] = (
    (AuthFault, "auth"),
    (ProtocolFault, "wrong_protocol"),
    (Timeout, "timeout"),
)
"""Fault → outcome. Any other fault: ``refused``."""


def outcome(fault: Fault) -> str:
    """Outcome of a probe that a fault ended."""
    if fault.code == "connect_timeout":
        return "timeout"
    if fault.code == "answer_incomplete":  # something is there, and what it says never makes an answer
        return "wrong_protocol"
    return next((word for kind, word in OUTCOMES if isinstance(fault, kind)), "refused")


async def probe_with(
    open_session: Callable[[], AbstractAsyncContextManager[S]],
    question: Callable[[S], Awaitable[Identity]],
    detail: str,
) -> Probed:
    """Open, ask, close: ``question`` returns what the device says of itself, ``detail`` is said when all went well."""
    try:
        async with open_session() as session:
            return Probed("ok", detail, await question(session))
    except TagFault as fault:  # whoever refuses a tag in due form speaks the protocol
        return Probed("ok", str(fault))
    except Fault as fault:
        return Probed(outcome(fault), str(fault))
