"""One number out of several test splits, or out of several levels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lookalike.config import EvaluationConfig
from lookalike.evaluation.evaluator import SplitResult
from lookalike.metrics.definitions import parse

OVER_SPLITS = "test (mean)"
OVER_LEVELS = "test (all levels)"

Values = Mapping[str, float]


def values(measured: Sequence[SplitResult], c: EvaluationConfig) -> dict[str, dict[str, float]]:
    """Split → metric → value, and what `means` adds."""
    return {one.split: dict(one.report.values) for one in measured} | means_of(measured, c)


def means_of(measured: Sequence[SplitResult], c: EvaluationConfig) -> dict[str, dict[str, float]]:
    """`means` of measured splits."""
    return means({one.split: one.report.values for one in measured}, c)


def means(table: Mapping[str, Values], c: EvaluationConfig) -> dict[str, dict[str, float]]:
    """What is averaged over the test splits.

    ``test (mean)``: each metric over the test splits in which a query counts, where any has
    several and ``evaluation.average_splits`` is on. ``test (all levels)``: each metric of a level,
    its suffix dropped, over all test splits and levels, with ``evaluation.average_levels``: the
    figures of DyML, whose three benchmarks are three splits, or one split of three levels.

    Args:
        table: split → metric → value; NaN where no query counts.
        c: which of them.
    """
    tests = [found for split, found in table.items() if split.startswith("test")]
    result = {}
    counted = [name for one in tests for name, value in one.items() if not math.isnan(value)]
    if c.average_splits and len(set(counted)) < len(counted):
        result[OVER_SPLITS] = _mean((name, value) for one in tests for name, value in one.items())
    if c.average_levels:
        leveled = [(parse(n), value) for one in tests for n, value in one.items()]
        result[OVER_LEVELS] = _mean(
            (asked.name.removesuffix(f"_level{asked.level}"), value)
            for asked, value in leveled
            if asked.level is not None
        )
    return {title: numbers for title, numbers in result.items() if numbers}


def _mean(named: Iterable[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for name, value in named:
        found.setdefault(name, []).extend([] if math.isnan(value) else [value])
    return {name: float(np.mean(counted)) for name, counted in found.items() if counted}
