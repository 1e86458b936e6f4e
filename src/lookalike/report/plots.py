"""Charts as inline SVG: sharp at any size, light or dark like the page, told apart by dashes."""

from __future__ import annotations

import math
from collections.abc import Callable

from lookalike.report.curves import Chart, Line
from lookalike.report.figures import format_value
from lookalike.report.markup import Html, join, tag

WIDTH, HEIGHT = 400, 272
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 34
Scale = Callable[[float], float]
SERIES = 5  # strokes that style.css tells apart by colour and by dash


def draw_chart(chart: Chart) -> Html:
    """One chart with its title, its legend and its drawing.

    >>> from lookalike.report.curves import Chart, Line
    >>> svg = draw_chart(Chart(title="Loss", lines=[Line(name="loss", x=[1, 2], y=[3.0, 2.0])]))
    >>> "<svg" in svg and "Loss" in svg
    True
    """
    legend = tag(
        "ul",
        [
            tag("li", _swatch(i), line.name, " ", tag("b", _last(chart, line)))
            for i, line in enumerate(chart.lines)
        ],
        class_="legend",
    )
    note = tag("p", chart.note, class_="small") if chart.note else None
    parts = (_drawing(chart), legend) if chart.lines else None
    return tag("figure", tag("figcaption", chart.title), parts, note, class_="chart")


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


def _last(chart: Chart, line: Line) -> str:
    if not chart.measured:
        return f"{short(line.y[0])} → {short(line.y[-1])}"
    best = max(range(len(line.y)), key=line.y.__getitem__)
    text = format_value(line.y[-1])
    if line.y[best] == line.y[-1]:
        return text
    return f"{text}, best {format_value(line.y[best])} at {chart.unit} {short(line.x[best])}"


def short(value: float) -> str:
    """At most three significant digits; below a thousandth with an exponent.

    >>> short(0.25), short(0.0001), short(12345.0)
    ('0.25', '1e-4', '1.23e4')
    """
    if value and not 1e-3 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _swatch(index: int) -> Html:
    stroke = tag("path", d="M0 4h22", class_=f"line s{index % SERIES}")
    return tag("svg", stroke, viewBox="0 0 22 8", class_="swatch", aria_hidden="true")


def _drawing(chart: Chart) -> Html:
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

    marks: list[Html] = []
    for y in ticks(y_low, y_high):
        marks.append(tag("path", d=f"M{LEFT} {py(y):.1f}H{WIDTH - RIGHT}", class_="grid"))
        marks.append(tag("text", short(y), x=LEFT - 7, y=py(y) + 4, text_anchor="end"))
    marks += [
        tag("text", short(x), x=px(x), y=HEIGHT - BOTTOM + 17, text_anchor="middle")
        for x in ticks(x_low, x_high, 6)
    ]
    axis = tag("path", d=f"M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}", class_="axis")
    unit = tag("text", chart.unit, x=WIDTH - RIGHT, y=HEIGHT - 2, text_anchor="end")
    curves = [_curve(chart, line, i % SERIES, px, py) for i, line in enumerate(chart.lines)]
    words = "; ".join(
        f"{line.name} goes from {short(line.y[0])} to {short(line.y[-1])}" for line in chart.lines
    )
    return tag(
        "svg",
        *marks,
        axis,
        unit,
        *curves,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{chart.title} over {short(x_high)} {chart.unit}s: {words}.",
    )


def _curve(chart: Chart, line: Line, index: int, px: Scale, py: Scale) -> Html:
    where = [f"{px(x):.1f} {py(y):.1f}" for x, y in zip(line.x, line.y, strict=True)]
    band = dots = best = None
    if line.low and line.high:
        upper = [f"{px(x):.1f} {py(y):.1f}" for x, y in zip(line.x, line.high, strict=True)]
        lower = [f"{px(x):.1f} {py(y):.1f}" for x, y in zip(line.x, line.low, strict=True)]
        band = tag("path", d=f"M{'L'.join(upper + lower[::-1])}Z", class_=f"band s{index}")
    if chart.measured or len(line.x) == 1:
        # A line of no length with round ends is a dot, at a tenth of a circle's bytes.
        dots = tag("path", d="".join(f"M{point}h0" for point in where), class_=f"dots s{index}")
    if chart.measured:
        top = max(range(len(line.y)), key=line.y.__getitem__)
        best = tag("circle", cx=px(line.x[top]), cy=py(line.y[top]), r=5.5, class_=f"best s{index}")
    path = tag("path", d=f"M{'L'.join(where)}", class_=f"line s{index}")
    return tag("g", tag("title", line.name), band, path, dots, best)


def join_charts(charts: list[Chart]) -> Html:
    """Charts side by side, as many as the page has room for."""
    return tag("div", join(*(draw_chart(chart) for chart in charts)), class_="charts")
