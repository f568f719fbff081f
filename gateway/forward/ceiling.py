"""How large a message may be, learned where the platform does not say.

MQTT 3.1.1 has no way to tell: a broker that finds a message too large just hangs up, or says nothing, and the same
message would be sent again for ever. A slow line has the same effect. So a message that takes the link down again and
again, with nothing as large acknowledged in between, is cut smaller. It is never given up for that. A size that has
passed before is doubted later, but it is: brokers are reconfigured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

FLOOR: Final = 4096
"""Never cut smaller than this: what does not pass at this size has another reason."""
ALONE_AFTER: Final = 2
"""Losses after which batches go one by one, to see which it is."""
CUT_AFTER: Final = 3
"""Losses after which it is cut."""
DOUBT_AFTER: Final = 5
"""Losses after which it is cut although as much has passed before."""
FORGET_AFTER: Final = 3600.0
"""Seconds after which a learned ceiling is tried again."""


class Ceiling:
    """The largest message that goes through, as far as is known."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._learned = 0
        self._until = 0.0
        self._proven = 0
        self._losses = 0
        self._suspected = 0

    @property
    def alone(self) -> bool:
        """True when batches should go one by one."""
        return self._losses >= ALONE_AFTER

    def limit(self, told: int) -> int:
        """Return the limit in force, given what the platform says."""
        return min(told, self._learned) if self._learned and self._clock() < self._until else told

    def passed(self, size: int) -> None:
        """A message of this size was acknowledged. One smaller than the one in question proves nothing."""
        self._proven = max(self._proven, size)
        if size >= self._suspected:
            self._losses = self._suspected = 0

    def lost(self, size: int) -> bool:
        """The link was lost, and the largest message under way that may have been the cause had this size.

        Returns True when the ceiling came down.
        """
        self._losses += 1
        self._suspected = size
        enough = DOUBT_AFTER if size <= self._proven else CUT_AFTER
        return self._losses >= enough and self.refused(size)

    def refused(self, size: int) -> bool:
        """The platform finds this size too large. False: it cannot be cut any smaller."""
        if size <= FLOOR:
            return False
        self._learned = max(FLOOR, size // 2)
        self._proven = min(self._proven, self._learned)
        self._suspected = 0
        self._until = self._clock() + FORGET_AFTER
        return True
