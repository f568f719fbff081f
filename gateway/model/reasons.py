"""The catalogue of reason codes: what each means, and what to do. A public contract: never rename, only add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """One code, in words, in English and Chinese."""

    title: str
    remedy: str
    title_zh: str
    remedy_zh: str


REASONS: Final[dict[str, Reason]] = {
    "link_lost": Reason(
        "The link to the device is gone or cannot be had",
        "Check cable, power, address and port; `xingsha probe` tells refused from no answer.",
        "与设备的连接中断或无法建立",
        "检查网线、电源、地址和端口；用 `xingsha probe` 区分拒绝与无应答。",
    ),
}
"""By code, as found in status, metrics, gaps and messages."""
