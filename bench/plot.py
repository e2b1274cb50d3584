# SPDX-License-Identifier: MIT
"""Two kinds of plot, as SVG text: bars, and lines over logarithmic axes."""

import math
from html import escape

OURS, OTHERS, INK, GRID = "#1f6feb", "#8b949e", "#24292f", "#d8dee4"
LINES = ("#1f6feb", "#d1572b", "#2e7d4f", "#8250df")


def number(value: float) -> str:
    """Three digits that matter, with k or M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"


def page(width: int, height: int, title: str, parts: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
            f"<title>{escape(title)}</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            text(12, 24, title, weight="bold"),
            *parts,
            "</svg>\n",
        ]
    )


def text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    weight: str = "normal",
    colour: str = INK,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )


def bars(title: str, values: dict[str, tuple[float, float, float]], unit: str) -> str:
    """One bar for each label: median, and a line from the least to the most."""
    left, width, step = 220, 760, 28
    most = max(high for _, _, high in values.values()) or 1
    scale = (width - left - 120) / most
    parts = []
    for place, (label, (low, middle, high)) in enumerate(values.items()):
        y = 44 + place * step
        colour = OURS if label.startswith("fastcgi ") else OTHERS
        parts += [
            text(left - 8, y + 14, label, "end"),
            f'<rect x="{left}" y="{y}" width="{middle * scale:.1f}" height="18" fill="{colour}"/>',
            f'<path d="M{left + low * scale:.1f} {y + 9}H{left + high * scale:.1f}" '
            f'stroke="{INK}" stroke-width="1.5"/>',
            text(left + high * scale + 6, y + 14, f"{number(middle)} {unit}"),
        ]
    return page(width, 60 + len(values) * step, title, parts)


def lines(title: str, series: dict[str, list[tuple[float, float]]], x_name: str) -> str:
    """One line for each label through its (x, y), both axes logarithmic."""
    left, right, top, bottom, width, height = 80, 170, 44, 46, 760, 360
    xs = sorted({x for points in series.values() for x, _ in points})
    ys = [y for points in series.values() for _, y in points if y > 0]
    floor, ceiling = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    ceiling += ceiling == floor
    span = math.log(xs[-1] / xs[0]) or 1

    def across(x: float) -> float:
        return left + math.log(x / xs[0]) / span * (width - left - right)

    def down(y: float) -> float:
        return (
            height - bottom - (math.log10(y) - floor) / (ceiling - floor) * (height - top - bottom)
        )

    parts = []
    for power in range(floor, ceiling + 1):
        y = down(10**power)
        parts.append(f'<path d="M{left} {y:.1f}H{width - right}" stroke="{GRID}"/>')
        parts.append(text(left - 8, y + 4, f"{number(10**power)}", "end"))
    parts += [text(across(x), height - bottom + 18, f"{x:g}", "middle") for x in xs]
    parts.append(text((left + width - right) / 2, height - 8, x_name, "middle"))
    for points, colour in zip(series.values(), LINES, strict=False):
        at = [(across(x), down(y)) for x, y in points if y > 0]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
    ends = [
        (down(points[-1][1]), label, colour)
        for (label, points), colour in zip(series.items(), LINES, strict=False)
        if points[-1][1] > 0
    ]
    previous = -99.0
    for y, label, colour in sorted(ends):
        previous = max(y, previous + 15)
        parts.append(text(width - right + 8, previous + 4, label, colour=colour))
    return page(width, height, title, parts)
