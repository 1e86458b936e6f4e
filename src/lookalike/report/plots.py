"""Charts as inline SVG: sharp at any size, light or dark like the page, told apart by dashes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lookalike.report.curves import Chart, Line
from lookalike.report.figures import format_value, short
from lookalike.report.render import render

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, HEIGHT = 400, 272
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 34
SERIES = 5  # strokes that style.css tells apart by colour and by dash


def draw_charts(charts: Sequence[Chart], warnings: Sequence[str] = ()) -> Markup:
    """Charts with their titles and legends, side by side, as many as the page has room for.

    Args:
        charts: what is drawn.
        warnings: sentences above them.

    >>> from lookalike.report.curves import Chart, Line
    >>> chart = Chart(title="Loss", lines=[Line(name="loss", x=[1, 2], y=[3.0, 2.0])])
    >>> svg = draw_charts([chart])
    >>> "<svg" in svg and "Loss" in svg
    True
    """
    return render("charts.html.j2", charts=[*map(_laid_out, charts)], warnings=warnings)


def _laid_out(chart: Chart) -> dict[str, Any]:
    """The places of a chart's lines, ticks and dots, for its template."""
    if not chart.lines:
        return {"title": chart.title, "note": chart.note, "lines": []}
    xs = [x for line in chart.lines for x in line.x]
    ys = [y for line in chart.lines for y in [*(line.low or line.y), *(line.high or line.y)]]
    x_low, x_high = min(0.0, *xs), max(chart.epochs, *xs)
    if x_high == x_low:
        x_high = x_low + 1
    pad = (max(ys) - min(ys)) * 0.06 or abs(ys[0]) * 0.1 or 1.0
    y_low, y_high = min(ys) - pad, max(ys) + pad
    if min(ys) >= 0:
        y_low = max(0.0, y_low)

    def px(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    def points(line: Line, values: Sequence[float]) -> list[str]:
        return [f"{px(x):.1f} {py(y):.1f}" for x, y in zip(line.x, values, strict=True)]

    lines = []
    for place, line in enumerate(chart.lines):
        best = max(range(len(line.y)), key=line.y.__getitem__)
        band = (
            points(line, line.high) + points(line, line.low)[::-1] if line.low and line.high else []
        )
        lines.append(
            {
                "name": line.name,
                "series": f"s{place % SERIES}",
                "last": _last(chart, line, best),
                "points": points(line, line.y),
                "band": band,
                "dots": chart.measured or len(line.x) == 1,
                "best": (px(line.x[best]), py(line.y[best])) if chart.measured else None,
            }
        )
    words = "; ".join(
        f"{line.name} goes from {short(line.y[0])} to {short(line.y[-1])}" for line in chart.lines
    )
    return {
        "title": chart.title,
        "note": chart.note,
        "lines": lines,
        "unit": chart.unit,
        "spoken": f"{chart.title} over {short(x_high)} {chart.unit}s: {words}.",
        "x_ticks": [(px(x), short(x)) for x in ticks(x_low, x_high, 6)],
        "y_ticks": [(py(y), short(y)) for y in ticks(y_low, y_high)],
        "box": {
            "width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT,
            "bottom": HEIGHT - BOTTOM,
        },
    }  # fmt: skip


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers within [low, high], about ``count`` of them, in steps of 1, 2 or 5.

    >>> ticks(0.13, 0.93)
    [0.2, 0.4, 0.6, 0.8]
    >>> ticks(0, 30)
    [0.0, 10.0, 20.0, 30.0]
    """
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]


def _last(chart: Chart, line: Line, best: int) -> str:
    if not chart.measured:
        return f"{short(line.y[0])} → {short(line.y[-1])}"
    text = format_value(line.y[-1])
    if line.y[best] == line.y[-1]:
        return text
    return f"{text}, best {format_value(line.y[best])} at {chart.unit} {short(line.x[best])}"
