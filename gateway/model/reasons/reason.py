"""What the catalogue tells about one code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One code, in words, in English and Chinese."""

    title: str
    remedy: str
    title_zh: str
    remedy_zh: str
