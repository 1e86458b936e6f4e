"""From the rows of ``metrics.jsonl`` to the lines of a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.errors import counted
from lookalike.report.figures import headlines, metric_title

Row = Mapping[str, Any]
_LOST = ("value that was not finite is", "values that were not finite are")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve: its name, its points, and where many values became one, their range."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float] | None = None
    high: list[float] | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves that share their axes.

    Attributes:
        title: what is drawn.
        lines: the curves.
        epochs: how far the axis goes; 0 = as far as the lines.
        note: what was left out, if anything.
        measured: whether points are metrics, where higher is better: each gets a dot and each
            line's highest a ring.
        unit: what x counts.
    """

    title: str
    lines: list[Line]
    epochs: float = 0.0
    note: str = ""
    measured: bool = False
    unit: str = "epoch"


def charts(rows: Sequence[Row], *, levels: Sequence[str] = (), bins: int = 160) -> list[Chart]:
    """Loss and learning rate over training, and each split's first metrics over the epochs.

    A step that was written twice, as after a resume, counts as written last. More than ``bins``
    steps become that many averages with their lowest and highest value beside them.

    Args:
        rows: ``{"kind": "train", "epoch", "step", "loss", "lr", …}`` and ``{"kind":
            "evaluation", "epoch", "step", "split", "values": {name: float}}``; epochs count
            from 1, steps through the whole run. Every key that begins with ``loss`` is drawn.
        levels: names of the label levels.
        bins: points a training curve has at most.

    >>> rows = [{"kind": "train", "epoch": 1, "step": s, "loss": 1 / s} for s in (1, 2)]
    >>> [(chart.title, chart.lines[0].x) for chart in charts(rows)]
    [('Training loss', [0.5, 1.0])]
    """
    train = list({row["step"]: row for row in rows if row.get("kind") == "train"}.values())
    tests = {(r["split"], r["step"]): r for r in rows if r.get("kind") == "evaluation"}
    train.sort(key=lambda row: row["step"])
    epoch = epochs_of([*train, *tests.values()])
    end = max(epoch.values(), default=0.0)
    found = []
    losses = sorted({key for row in train for key in row if key.startswith("loss")})
    for title, keys in (("Training loss", losses), ("Learning rate", ["lr"])):
        lines, lost = [], 0
        for key in keys:
            line, dropped = thinned(train, key, epoch, bins)
            lost += dropped
            lines += [line] if line.x else []
        note = f"{counted(lost, *_LOST)} left out." if lost else ""
        if lines or lost:
            found.append(Chart(title=title, lines=lines, epochs=end, note=note))
    for split in dict.fromkeys(split for split, _ in tests):
        mine = sorted((r for r in tests.values() if r["split"] == split), key=lambda r: r["step"])
        found.append(_evaluation(split, mine, epoch, levels, end))
    # The learning rate is the least of the reader's questions.
    return sorted(found, key=lambda chart: chart.title == "Learning rate")


def epochs_of(rows: Iterable[Row]) -> Mapping[int, float]:
    """Step → epochs gone by, straight from one epoch's last step to the next one's."""
    ends: dict[int, int] = {}
    for row in rows:
        ends[row["epoch"]] = max(row["step"], ends.get(row["epoch"], 0))
    if not ends:
        return {}
    start = min(ends) - 1 if ends[min(ends)] > 0 else min(ends)
    known = {0: float(start)} | {step: float(epoch) for epoch, step in sorted(ends.items())}
    steps = sorted(known)
    every = sorted({row["step"] for row in rows})
    values = np.interp(every, steps, [known[step] for step in steps])
    return dict(zip(every, values.tolist(), strict=True))


def thinned(
    rows: Sequence[Row], key: str, epoch: Mapping[int, float], bins: int, name: str | None = None
) -> tuple[Line, int]:
    """A figure of rows as a line of at most ``bins`` points, and how many were not finite."""
    pairs = [(epoch[row["step"]], float(row[key])) for row in rows if row.get(key) is not None]
    kept = [(x, y) for x, y in pairs if math.isfinite(y)]
    lost = len(pairs) - len(kept)
    if len(kept) <= bins:
        return Line(name=name or key, x=[x for x, _ in kept], y=[y for _, y in kept]), lost
    # Four values at least make an average; fewer would only thin the noise.
    chunks = np.array_split(np.array(kept), min(bins, len(kept) // 4))
    return Line(
        name=name or key,
        x=[float(chunk[:, 0].mean()) for chunk in chunks],
        y=[float(chunk[:, 1].mean()) for chunk in chunks],
        low=[float(chunk[:, 1].min()) for chunk in chunks],
        high=[float(chunk[:, 1].max()) for chunk in chunks],
    ), lost


def _evaluation(
    split: str, rows: list[Row], epoch: Mapping[int, float], levels: Sequence[str], end: float
) -> Chart:
    flat = [{"step": row["step"], **row["values"]} for row in rows]
    lines, lost = [], 0
    for name in headlines(dict.fromkeys(name for row in rows for name in row["values"])):
        line, dropped = thinned(flat, name, epoch, len(flat), name=metric_title(name, levels))
        lost += dropped
        lines += [line] if line.x else []
    return Chart(
        title=f"Metrics on {split}",
        lines=lines,
        epochs=end,
        note=f"{counted(lost, *_LOST)} left out." if lost else "",
        measured=True,
    )
