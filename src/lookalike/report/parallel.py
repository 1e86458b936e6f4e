"""Parallel coordinates: an axis an option, a line a trial, the best ones drawn over the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lookalike.errors import counted
from lookalike.report.figures import format_value, metric_title, short
from lookalike.report.render import render
from lookalike.report.sweep import Axis, SweepReport, TrialRow, Value

if TYPE_CHECKING:
    from markupsafe import Markup

HEIGHT, TOP, BOTTOM, GAP, SIDE = 320, 34, 40, 150, 70
BEST = 0.25  # share of the trials that is drawn over the others


def draw_parallel(report: SweepReport) -> Markup | None:
    """The finished trials; None where there are fewer than two."""
    done = report.finished
    if len(done) < 2:
        return None
    values = [trial.value for trial in done if trial.value is not None]
    axes = {**report.axes, metric_title(report.metric): Axis(low=min(values), high=max(values))}
    best = max(1, math.ceil(BEST * len(done)))
    words = f"The best {best} of {counted(len(done), 'finished trial')} are drawn strong."
    data = {
        "words": words,
        "spoken": f"Parallel coordinates of {counted(len(done), 'trial')}. {words}",
        "width": 2 * SIDE + GAP * len(report.axes),
        "height": HEIGHT,
        "bottom": _y(0),
        "top": _y(1),
        "lines": [
            {
                "name": f"Trial {trial.number}: {format_value(trial.value or 0.0)}",
                "points": _points(trial, axes),
                "kind": "s0" if rank < best else "rest",
            }
            for rank, trial in reversed(list(enumerate(done)))
        ],
        "axes": [
            {"name": name, "x": SIDE + GAP * i, "marks": _marks(axis)}
            for i, (name, axis) in enumerate(axes.items())
        ],
    }
    return render("parallel.html.j2", data=data)


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


def _points(trial: TrialRow, axes: Mapping[str, Axis]) -> list[str]:
    """Where a trial's line crosses each axis; the last one is its result."""
    values = {**trial.values, list(axes)[-1]: trial.value}
    return [
        f"{SIDE + GAP * i} {_y(place(axis, values[name])):.1f}"
        for i, (name, axis) in enumerate(axes.items())
    ]


def _marks(axis: Axis) -> list[tuple[float, str]]:
    if axis.choices:
        return [(_y(place(axis, choice)), str(choice)) for choice in axis.choices]
    assert axis.low is not None
    assert axis.high is not None
    return [(_y(0.0), short(axis.low)), (_y(1.0), short(axis.high))]
