"""The catalogue of reason codes: what each means, and what to do about it.

A public contract: codes stand in status, metrics, gaps, messages and on the troubleshooting page. Never rename, only
add. Remedies are written for the person who stands in front of the cabinet.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from gateway.model.reasons.bus import BUS
from gateway.model.reasons.configuration import CONFIGURATION
from gateway.model.reasons.device import DEVICE
from gateway.model.reasons.platform import PLATFORM
from gateway.model.reasons.quality import QUALITY
from gateway.model.reasons.reason import Reason
from gateway.model.reasons.setup import SETUP

CHAPTERS: Final = MappingProxyType(
    {
        ("Machines and lines", "设备与线路"): DEVICE,
        ("Quality of a value", "数据质量"): QUALITY,
        ("Gaps, bus and journal", "数据缺口、总线与日志库"): BUS,
        ("Platform", "平台"): PLATFORM,
        ("Configuration", "配置"): CONFIGURATION,
        ("Files, packages and start", "文件、软件包与启动"): SETUP,
    }
)
"""The tables by chapter title, in English and Chinese, in the order of the troubleshooting page."""

REASONS: Final[dict[str, Reason]] = {code: reason for table in CHAPTERS.values() for code, reason in table.items()}
"""By code, as found in status, metrics, gaps and messages."""

__all__ = ["CHAPTERS", "REASONS", "Reason"]
