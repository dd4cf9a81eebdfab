"""A line chart as SVG, for the weather report."""

from __future__ import annotations

from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 48, 84, 40, 36
# Told apart in both themes and by colour-blind readers. Source: Okabe & Ito, Color Universal Design
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MONTHS = "JFMAMJJASOND"
INK = "#7a8699"  # readable on white and on near-black


def draw(years: list[dict[str, Any]]) -> str:
    """Return the mean highest temperature of each month, one line a year, as SVG text."""
    values = [month["mean_temp_max"] for year in years for month in year["months"]] or [0.0]
    low, high = 5 * (min(values) // 5), 5 * (max(values) // 5 + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        "<title>Mean highest temperature of each month in Seattle</title>",
        f'<text x="{LEFT}" y="22" font-size="14">Mean highest temperature by month, °C</text>',
        *_grid(low, high),
    ]
    for number, year in enumerate(years):
        parts += _line(year, COLOURS[number % len(COLOURS)], number, low, high)
    return "\n".join([*parts, "</svg>"])


def _grid(low: float, high: float) -> list[str]:
    lines = []
    for value in range(int(low), int(high) + 1, 5):
        y = _y(value, low, high)
        lines += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="{INK}" '
            'stroke-opacity="0.25"/>',
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value}</text>',
        ]
    for index, letter in enumerate(MONTHS, start=1):
        x = _x(index)
        lines.append(f'<text x="{x}" y="{HEIGHT - 12}" text-anchor="middle">{letter}</text>')
    return lines


def _line(year: dict[str, Any], colour: str, number: int, low: float, high: float) -> list[str]:
    points = [(_x(m["month"]), _y(m["mean_temp_max"], low, high)) for m in year["months"]]
    shown = " ".join(f"{x},{y}" for x, y in points)
    key = TOP + 20 * number
    return [
        f'<polyline points="{shown}" fill="none" stroke="{colour}" stroke-width="2.5" '
        'stroke-linejoin="round" stroke-linecap="round"/>',
        *(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points),
        f'<rect x="{WIDTH - RIGHT + 16}" y="{key}" width="14" height="4" fill="{colour}"/>',
        f'<text x="{WIDTH - RIGHT + 36}" y="{key + 6}">{escape(str(year["year"]))}</text>',
    ]


def _x(month: int) -> float:
    return round(LEFT + (month - 0.5) * (WIDTH - LEFT - RIGHT) / 12, 1)


def _y(value: float, low: float, high: float) -> float:
    return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)
