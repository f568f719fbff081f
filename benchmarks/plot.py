"""Line charts as SVG, by hand: small, readable as text, the same for the same figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

WIDTH: Final = 360
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 34, 46
COLOURS: Final = ("#0b6e99", "#d9730d")


class Series(NamedTuple):
    """One line of a chart."""

    name: str
    points: list[tuple[float, float]]


Panel = tuple[str, str, Sequence[Series]]
"""Title, name of the x axis, lines."""


def chart(panels: Sequence[Panel]) -> str:
    """Panels two abreast. x is logarithmic, y is linear from 0."""
    rows = math.ceil(len(panels) / 2)
    size = f'viewBox="0 0 {2 * WIDTH} {rows * HEIGHT}" width="{2 * WIDTH}" height="{rows * HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        f'<rect width="{2 * WIDTH}" height="{rows * HEIGHT}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, 2)
        parts += [f'<g transform="translate({column * WIDTH} {row * HEIGHT})">', *_panel(*panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(title: str, below: str, lines: Sequence[Series]) -> list[str]:
    xs = [x for line in lines for x, _ in line.points]
    low, high = math.log(min(xs)), math.log(max(xs))
    top = _nice(max(y for line in lines for _, y in line.points))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log(x) - low) / (high - low or 1.0)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="16" font-weight="bold">{title}</text>']
    for tick in range(5):
        _, y = place(min(xs), top * tick / 4)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * tick / 4:g}</text>')
    for x in sorted(set(xs)):
        at, _ = place(x, 0)
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{_short(x)}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle" fill="#555">{below}</text>')
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        at = [place(x, y) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
        if len(lines) > 1:
            parts.append(f'<text x="{LEFT + 8}" y="{TOP + 14 * number + 4}" fill="{colour}">{line.name}</text>')
    return parts


def _nice(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten: quarters of it are short numbers."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next((step * power for step in (1, 2, 4, 8) if value <= step * power), 10 * power)


def _short(number: float) -> str:
    return f"{number / 1000:g}k" if number >= 1000 else f"{number:g}"
