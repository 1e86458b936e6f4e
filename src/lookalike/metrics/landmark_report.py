"""The landmark protocol as a report, like that of any other evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lookalike.calls import named_arguments
from lookalike.errors import DataError, counted
from lookalike.metrics.contract import Definition
from lookalike.metrics.definitions import explain
from lookalike.metrics.inputs import problem
from lookalike.metrics.landmarks import revisited
from lookalike.metrics.report import Named, RetrievalReport

CUTS = (1, 5, 10)  # those of the published tables
_ROWS = 16384  # gallery vectors widened to float64 at a time


@named_arguments()
def evaluate_landmarks(
    query: Any,
    query_labels: Any,
    gallery: Any,
    gallery_labels: Any,
    ground_truth: Sequence[Mapping[str, Any]],
    *,
    k: Sequence[int] = CUTS,
) -> RetrievalReport:
    """Rank a gallery for every query and judge it by lists of easy, hard and junk items.

    Args:
        query: ``(Nq, D)``; compared by dot product.
        query_labels: ``(Nq,)`` buildings, which a bootstrap over classes draws; they decide no
            ranking.
        gallery: ``(Ng, D)``.
        gallery_labels: ``(Ng,)``.
        ground_truth: for each query its gallery rows, see `revisited`.
        k: the cut-offs.

    Returns:
        A report of ``easy_map``, ``easy_mp_at_1``, …, ``medium_map``, ``hard_map``, …; or of
        ``original_map``, … where the lists are those of the original data sets.

    Raises:
        DataError: shapes that do not fit, or a row that is not there.
        NumericsError: NaN or infinity in a vector.

    >>> truth = [{"easy": [1], "hard": [], "junk": [0]}]
    >>> x = np.array([[0.9, 0.1], [0.8, 0.2], [0.0, 1.0]])
    >>> report = evaluate_landmarks([[1.0, 0.0]], ["a"], x, ["a", "a", "b"], truth)
    >>> report["easy_map"], report["hard_map"], report.skipped["hard_map"]
    (1.0, nan, 1)

    Relations: `revisited` where rankings or scores are at hand.
    """
    task = problem(query, query_labels, gallery, gallery_labels, None, None)
    _check_rows(ground_truth, len(task.query), len(task.gallery))
    wide, items = task.query.exact.astype(np.float64), task.gallery.exact
    blocks = (items[i : i + _ROWS] for i in range(0, len(items), _ROWS))
    scores = np.concatenate([wide @ block.astype(np.float64).T for block in blocks], axis=1)
    found = revisited(scores, ground_truth, k=k)
    entries: dict[str, np.ndarray] = {}
    for setup, numbers in found.items():
        entries[f"{setup}_map"] = numbers["ap"]
        for column, cut in enumerate(k):
            entries[f"{setup}_mp_at_{cut}"] = numbers["precision_at_k"][:, column]
    skipped = {name: int(np.isnan(values).sum()) for name, values in entries.items()}
    definitions: dict[str, Definition] = {name: explain(name) for name in entries}
    means = {
        name: float(np.nanmean(values)) if skipped[name] < len(values) else float("nan")
        for name, values in entries.items()
    }
    return RetrievalReport(
        values=Named(means),
        per_query=Named(entries),
        definitions=Named(definitions),
        skipped=Named(skipped),
        queries=len(wide),
        gallery_size=len(items),
        _task=task,
    )


def _check_rows(ground_truth: Sequence[Mapping[str, Any]], queries: int, items: int) -> None:
    if len(ground_truth) != queries:
        raise DataError(
            f"{counted(queries, 'query', 'queries')}, but the ground truth of {len(ground_truth)}"
        )
    for number, truth in enumerate(ground_truth):
        for key in ("easy", "hard", "ok", "junk"):
            rows = np.asarray(truth.get(key, ()), np.int64).reshape(-1)
            if len(rows) and not (rows.min() >= 0 and rows.max() < items):
                raise DataError(
                    f"ground truth of query {number}, {key}: row {rows.max()} of a gallery of "
                    f"{items}"
                )
