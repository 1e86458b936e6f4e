"""Parallel coordinates: an axis an option, a line a trial, the best ones drawn over the others."""

from __future__ import annotations

import math

from lookalike.errors import counted
from lookalike.report.figures import format_value, metric_title
from lookalike.report.markup import Html, join, tag
from lookalike.report.plots import short
from lookalike.report.sweep import Axis, SweepReport, TrialRow, Value

HEIGHT, TOP, BOTTOM, GAP, SIDE = 320, 34, 40, 150, 70
BEST = 0.25  # share of the trials that is drawn over the others


def draw_parallel(report: SweepReport) -> Html | None:
    """The finished trials; None where there are fewer than two."""
    done = report.finished
    if len(done) < 2:
        return None
    names = list(report.axes)
    values = [trial.value for trial in done if trial.value is not None]
    result = Axis(low=min(values), high=max(values))
    width = 2 * SIDE + GAP * len(names)
    best = max(1, math.ceil(BEST * len(done)))
    lines = [
        _line(report, trial, result, "line s0" if rank < best else "line rest")
        for rank, trial in reversed(list(enumerate(done)))
    ]
    axes = [_axis(SIDE + GAP * i, name, report.axes[name]) for i, name in enumerate(names)]
    axes.append(_axis(SIDE + GAP * len(names), metric_title(report.metric), result))
    words = f"The best {best} of {counted(len(done), 'finished trial')} are drawn strong."
    drawing = tag(
        "svg",
        *lines,
        *axes,
        viewBox=f"0 0 {width} {HEIGHT}",
        role="img",
        aria_label=f"Parallel coordinates of {counted(len(done), 'trial')}. {words}",
        style=f"min-width:{width}px",
    )
    scroll = tag("div", drawing, class_="scroll", tabindex=0, role="region", aria_label="Trials")
    return join(tag("p", words, class_="small"), tag("figure", scroll, class_="chart"))


def place(axis: Axis, value: Value) -> float:
    """Where a value lies on its axis, 0 at the low end to 1 at the high.

    >>> place(Axis(low=0.01, high=1.0, log=True), 0.1)
    0.5
    >>> place(Axis(choices=["a", "b", "c"]), "b")
    0.5
    """
    if axis.choices:
        return list(axis.choices).index(value) / max(1, len(axis.choices) - 1)
    assert axis.low is not None
    assert axis.high is not None
    low, high, found = axis.low, axis.high, float(value or 0.0)
    if axis.log:
        low, high, found = math.log(low), math.log(high), math.log(found)
    return 0.5 if high == low else (found - low) / (high - low)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _line(report: SweepReport, trial: TrialRow, result: Axis, kind: str) -> Html:
    heights = [place(axis, trial.values[name]) for name, axis in report.axes.items()]
    heights.append(place(result, trial.value))
    points = "L".join(f"{SIDE + GAP * i} {_y(h):.1f}" for i, h in enumerate(heights))
    told = f"Trial {trial.number}: {format_value(trial.value or 0.0)}"
    return tag("path", tag("title", told), d=f"M{points}", class_=kind)


def _axis(x: float, name: str, axis: Axis) -> Html:
    if axis.choices:
        marks = [(place(axis, choice), str(choice)) for choice in axis.choices]
    else:
        assert axis.low is not None
        assert axis.high is not None
        marks = [(0.0, short(axis.low)), (1.0, short(axis.high))]
    texts = [tag("text", text, x=x + 7, y=_y(share) + 4) for share, text in marks]
    return tag(
        "g",
        tag("path", d=f"M{x} {_y(0)}V{_y(1)}", class_="axis"),
        tag("text", name, x=x, y=TOP - 16, text_anchor="middle"),
        *texts,
    )
