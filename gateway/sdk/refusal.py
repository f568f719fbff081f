"""What a device's own error codes mean here: one row for each code, from which faults and qualities are made."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model.faults import Busy, Fault, ProtocolFault
from gateway.model.quality import Quality


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a code means to us. Adapters have a table of them, and one more for the codes that no edition lists."""

    title: str
    fault: type[Fault]
    code: str
    """Stable reason code, of the catalogue."""
    quality: Quality
    narrow: bool = False
    """True when a smaller or simpler read may succeed: only some of the addresses are to blame."""

    def as_fault(self, message: str) -> Fault:
        """Fault to be raised for it."""
        if self.fault is Busy or self.fault is ProtocolFault:  # theirs follows from the class
            return self.fault(message, code=self.code)
        return self.fault(message, code=self.code, quality=self.quality)
