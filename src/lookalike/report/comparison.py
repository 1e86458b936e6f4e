"""What a comparison of runs says: plain values, and the words for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lookalike.errors import counted
from lookalike.report.contents import Sheet
from lookalike.report.figures import Interval, format_value, metric_title

_NAMED = 6  # metrics that a sentence lists; of more it says how many

VERDICTS = {
    "better": "better",
    "worse": "worse",
    "noise": "may be noise",
    "same": "no difference",
}


@dataclass(frozen=True, kw_only=True)
class MetricDifference:
    """One metric of a run beside the baseline's.

    Attributes:
        metric: its name.
        baseline: the baseline's figure.
        value: the run's.
        difference: value - baseline.
        interval: of the difference.
        p_value: of the permutation test, by itself.
        corrected: the same, corrected for all tests of the comparison.
        queries: how many were compared.
        better: on how many of them the run is better.
        worse: on how many it is worse.
        alpha: the difference is real where ``corrected`` is at most this.
    """

    metric: str
    baseline: float
    value: float
    difference: float
    interval: Interval
    p_value: float
    corrected: float
    queries: int
    better: int
    worse: int
    alpha: float = 0.05

    @property
    def verdict(self) -> str:
        """A key of `VERDICTS`: is it better or worse, may it be noise, is there nothing at all."""
        if self.better == self.worse == 0:
            return "same"
        if self.corrected > self.alpha:
            return "noise"
        return "better" if self.difference > 0 else "worse"


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One run beside the baseline.

    Attributes:
        name: the run's.
        differences: one a metric.
        sheets: the queries that changed most, each with two rows: before and after.
    """

    name: str
    differences: Sequence[MetricDifference]
    sheets: Sequence[Sheet] = ()


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """Everything a comparison shows.

    Attributes:
        baseline: name of the run all others are compared with.
        split: what all were measured on.
        runs: the others.
        counts: such as ``{"queries": 2474, "classes": 42}``.
        method: how the intervals and p-values came about, a sentence each.
        notes: what the reader must know before trusting a verdict.
        definitions: metric → words.
        levels: names of the label levels, finest first.
        command: the exact command that made the comparison.
        created: when, as it shall be written.
    """

    baseline: str
    split: str
    runs: Sequence[ComparedRun]
    counts: Mapping[str, int] = field(default_factory=dict)
    method: Sequence[str] = ()
    notes: Sequence[str] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)
    levels: Sequence[str] = ()
    command: str = ""
    created: str = ""

    @property
    def title(self) -> str:
        """The runs by name, the baseline last."""
        return f"{', '.join(run.name for run in self.runs)} against {self.baseline}"

    def in_words(self, run: ComparedRun) -> list[str]:
        """Which differences of a run are real and which may be noise, a sentence a verdict."""
        found: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
        for one in run.differences:
            name = metric_title(one.metric, self.levels)
            real = one.verdict in ("better", "worse")
            figure = f" ({format_difference(one.difference)})" if real else ""
            found[one.verdict].append(f"{name}{figure}")
        lines = [
            f"{run.name} is {verdict} than {self.baseline} in {'; '.join(found[verdict])}."
            for verdict in ("better", "worse")
            if found[verdict]
        ]
        if not lines:
            lines = [f"No difference between {run.name} and {self.baseline} is shown to be real."]
        lines += [
            f"{start} {_some(found[verdict])}."
            for verdict, start in (
                ("noise", "May be noise:"),
                ("same", "The same for every query:"),
            )
            if found[verdict]
        ]
        return lines


def _some(names: Sequence[str]) -> str:
    """A few names, or how many there are."""
    return "; ".join(names) if len(names) <= _NAMED else f"{counted(len(names), 'metric')}"


def format_difference(value: float) -> str:
    """Three decimals with a sign; nothing that rounds to zero has one.

    >>> format_difference(0.0312), format_difference(-0.2), format_difference(-1e-9)
    ('+0.031', '−0.200', '0.000')
    """
    if not math.isfinite(value):
        return format_value(value)
    size = f"{abs(value):.3f}"
    if float(size) == 0:
        return size
    return f"{'+' if value > 0 else '−'}{size}"


def format_range(interval: Interval) -> str:
    """The ends of an interval of a difference.

    >>> format_range((-0.01, 0.2))
    '−0.010 to +0.200'
    """
    return " to ".join(format_difference(bound) for bound in interval)


def format_p(value: float) -> str:
    """A p-value, never as zero.

    >>> format_p(0.0312), format_p(0.0001)
    ('0.031', '<0.001')
    """
    return "<0.001" if value < 0.001 else f"{value:.3f}"
