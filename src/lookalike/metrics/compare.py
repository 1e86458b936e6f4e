"""Two models on the same queries: which differences are real, and which are noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.calls import named_arguments
from lookalike.errors import DataError
from lookalike.metrics.bootstrap import bootstrap, by_group
from lookalike.metrics.report import RetrievalReport

if TYPE_CHECKING:
    import pandas as pd

_CELLS = 2**22  # random signs held at a time


@dataclass(frozen=True)
class Difference:
    """One metric of two models, on the queries that count for both.

    Attributes:
        a: mean of the first.
        b: mean of the second.
        difference: b - a.
        low: lower end of the paired bootstrap interval of the difference.
        high: its upper end.
        p_value: of the sign-flip permutation test: how often exchanging the two models at random,
            query by query (or class by class), makes a difference at least as large.
        queries: how many queries were compared.
        better: queries on which b is better.
        worse: queries on which b is worse.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float
    queries: int
    better: int
    worse: int


@dataclass(frozen=True)
class Comparison:
    """Every metric two evaluations share.

    Attributes:
        differences: name → `Difference`.
        entries: name → ``(N,)`` b - a for each query, NaN where either was skipped.
        confidence: of the intervals.
    """

    differences: Mapping[str, Difference]
    entries: Mapping[str, np.ndarray]
    confidence: float

    def changed(self, name: str, count: int) -> np.ndarray:
        """The queries that changed most, largest change first; those that did not, left out."""
        change = np.nan_to_num(np.abs(self.entries[name]))
        order = np.argsort(-change, kind="stable")[:count]
        return order[change[order] > 0]

    def to_frame(self) -> pd.DataFrame:
        """One row a metric."""
        import pandas as pd

        rows = {name: asdict(d) for name, d in self.differences.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")

    def to_dict(self) -> dict[str, Any]:
        """The differences, ready for JSON."""
        return {name: asdict(d) for name, d in self.differences.items()}


@named_arguments()
def compare_reports(
    a: RetrievalReport,
    b: RetrievalReport,
    *,
    metrics: Sequence[str] | None = None,
    over: str = "queries",
    level: int = 0,
    confidence: float = 0.95,
    resamples: int = 1000,
    permutations: int = 10000,
    seed: int = 0,
) -> Comparison:
    """Paired differences b - a of every metric both reports hold.

    Args:
        a: the first evaluation.
        b: the second, of the same queries in the same order.
        metrics: names; None for all that both hold.
        over: "queries", or "classes" to resample and exchange whole classes.
        level: the label column that says what a class is.
        confidence: of the intervals.
        resamples: bootstrap resamples.
        permutations: random exchanges of the permutation test.
        seed: of both.

    Raises:
        DataError: the reports are of other queries, or share no metric.

    >>> import numpy as np
    >>> from lookalike.metrics import evaluate
    >>> x, y = np.eye(4, dtype="float32")[[0, 0, 1, 1]], [0, 0, 1, 1]
    >>> same = compare_reports(evaluate(x, y), evaluate(x, y), metrics=["recall_at_1"])
    >>> same.differences["recall_at_1"].p_value
    1.0
    """
    if a.queries != b.queries or not a.same_queries(b):
        raise DataError(
            f"the reports are not of the same queries ({a.queries} and {b.queries}, or other "
            "labels); evaluate both models on the same test set in the same order"
        )
    names = metrics if metrics is not None else [n for n in a.values if n in b.values]
    if not names:
        raise DataError("the reports have no metric in common; evaluate both with the same metrics")
    return compare_entries(
        {name: a.per_query[name] for name in names},
        {name: b.per_query[name] for name in names},
        groups=a.resampled(over, level),
        confidence=confidence,
        resamples=resamples,
        permutations=permutations,
        seed=seed,
    )


def compare_entries(
    a: Mapping[str, np.ndarray],
    b: Mapping[str, np.ndarray],
    *,
    groups: np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    permutations: int = 10000,
    seed: int = 0,
) -> Comparison:
    """`compare_reports` on stored per-query entries: name → ``(N,)``, NaN where skipped.

    Args:
        a: the first model's.
        b: the second model's, with the same names and queries.
        groups: ``(N,)`` class of each query to exchange whole classes, or None.
        confidence: of the intervals.
        resamples: bootstrap resamples.
        permutations: random exchanges.
        seed: of both.
    """
    entries = {name: np.asarray(b[name]) - np.asarray(a[name]) for name in a}
    intervals = bootstrap(entries, groups, confidence=confidence, resamples=resamples, seed=seed)
    p_values = permutation_test(entries, groups, permutations=permutations, seed=seed)
    found = {}
    for name, change in entries.items():
        counted = ~np.isnan(change)
        low, high = intervals[name]
        found[name] = Difference(
            a=_mean(np.asarray(a[name])[counted]),
            b=_mean(np.asarray(b[name])[counted]),
            difference=_mean(change[counted]),
            low=low,
            high=high,
            p_value=p_values[name],
            queries=int(counted.sum()),
            better=int((change[counted] > 0).sum()),
            worse=int((change[counted] < 0).sum()),
        )
    return Comparison(found, entries, confidence)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def permutation_test(
    entries: Mapping[str, np.ndarray], groups: np.ndarray | None, *, permutations: int, seed: int
) -> dict[str, float]:
    """Two-sided p-values of the means of paired differences under random signs.

    The observed signs count as one of the permutations, so a value is never 0.

    Args:
        entries: name → ``(N,)`` paired differences, NaN for none.
        groups: ``(N,)`` codes that change sign together, or None.
        permutations: random draws of the signs; the same for every name.
        seed: of the draws.
    """
    names = list(entries)
    if not names:
        return {}
    changes = np.nan_to_num(np.stack([entries[name] for name in names], axis=1))
    if groups is not None:
        changes = by_group(changes, groups)
    whole = changes.sum(axis=0)
    # The same sum in another order must count as equally large.
    observed = np.abs(whole) - 1e-12 * np.abs(changes).sum(axis=0)
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS // max(1, len(changes)))
    extreme = np.zeros(len(names))
    for start in range(0, permutations, step):
        rows = min(step, permutations - start)
        signs = generator.integers(0, 2, (rows, len(changes)), dtype=np.uint8)
        sums = 2 * (signs.astype(np.float64) @ changes) - whole
        extreme += (np.abs(sums) >= observed).sum(axis=0)
    values = (extreme + 1) / (permutations + 1)
    return {name: float(value) for name, value in zip(names, values, strict=True)}
