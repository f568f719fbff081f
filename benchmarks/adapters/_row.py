"""One line of the table of adapters."""

from __future__ import annotations

from typing import Final, NamedTuple

HEADS: Final = (
    "protocol", "what is carried", "CPU, µs each", "a second and core", "carried a second", "lost", "beside it",
)  # fmt: skip


class Row(NamedTuple):
    """What a benchmark has found."""

    protocol: str
    what: str
    """The workload, and of what one is counted."""
    cpu_us: float
    """CPU, user and system, of the gateway for each."""
    per_second: float
    """As many were carried; with a scan rate, or others on the same cores, fewer than could be."""
    lost: int
    beside: str = ""

    @property
    def cells(self) -> list[str]:
        """As the table shows it."""
        return [
            self.protocol,
            self.what,
            f"{self.cpu_us:.{3 if self.cpu_us < 1 else 1}f}",
            _rounded(1e6 / self.cpu_us),
            _rounded(self.per_second),
            f"{self.lost:,}",
            self.beside or "–",
        ]


def _rounded(rate: float) -> str:
    """Three digits that count."""
    return f"{float(f'{rate:.3g}'):,.0f}"
