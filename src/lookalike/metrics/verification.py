"""Is this pair one of a class? The error rates of a threshold on the scores of all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookalike.calls import named_arguments
from lookalike.errors import ConfigError, DataError, counted
from lookalike.metrics.inputs import Problem, problem
from lookalike.ops.distances import Distance, similarities
from lookalike.ops.labels import DISTRACTOR

_MOST = 2**28  # pairs, 3 GiB while they are sorted
_ROWS = 1024


@named_arguments({"reference": "gallery", "reference_labels": "gallery_labels", "fmr_vals": "fmr"})
def verification(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    fmr: float | Sequence[float] = (0.1, 0.01, 0.001),
    level: int = 0,
    distance: Distance = "cosine",
) -> dict[str, float]:
    """How well one threshold on the score tells pairs of a class from pairs of two.

    ::

        FMR(t)  = share of the pairs of two classes that score t or more  (false match rate)
        FNMR(t) = share of the pairs of one class that score below t      (false non-match rate)

    as in ISO/IEC 19795-1. Every pair counts once; of a gallery that is not given, every pair of two
    different queries. Items without a label are left out.

    Args:
        query: ``(Nq, D)``.
        query_labels: ``(Nq,)`` or ``(Nq, L)``.
        gallery: ``(Ng, D)``; None for the queries themselves.
        gallery_labels: ``(Ng,)`` or ``(Ng, L)``.
        fmr: the false match rates to give the FNMR at.
        level: the label column that says what a class is.
        distance: as in `evaluate`; cosine where nothing is said.

    Returns:
        ``pair_auroc``, the area under the ROC curve; ``pair_average_precision``;
        ``equal_error_rate``, the mean of both rates at the threshold where they are nearest to each
        other; and ``fnmr_at_fmr_F`` for each F, the least FNMR of a threshold with FMR <= F. NaN
        where there is no pair of one kind.

    Raises:
        ConfigError: a rate out of 0 to 1, or a level that the labels lack.
        DataError: shapes that do not fit, or more than 2^28 pairs: measure a sample.

    >>> import numpy as np
    >>> found = verification(np.eye(4, dtype="f4")[[0, 0, 1, 1]], [0, 0, 1, 1], fmr=0.01)
    >>> found["pair_auroc"], found["equal_error_rate"], found["fnmr_at_fmr_0.01"]
    (1.0, 0.0, 0.0)

    Relations: `evaluate` ranks a gallery and needs no threshold.
    """
    rates = [fmr] if isinstance(fmr, int | float) else list(fmr)
    if not all(0 <= rate <= 1 for rate in rates):
        raise ConfigError(f"fmr={fmr}: rates lie in 0 to 1.")
    task = problem(query, query_labels, gallery, gallery_labels, None, None, distance)
    if not 0 <= level < task.query_codes.shape[1]:
        raise ConfigError(f"level={level}: the labels have {task.query_codes.shape[1]} column(s).")
    scores, same = _pairs(task, level, alone=gallery is None)
    names = ["pair_auroc", "pair_average_precision", "equal_error_rate"]
    names += [f"fnmr_at_fmr_{rate:g}" for rate in rates]
    if not same.any() or same.all():
        return dict.fromkeys(names, float("nan"))
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    false, true, _ = roc_curve(same, scores, drop_intermediate=False)
    missed = 1 - true
    nearest = np.argmin(np.abs(false - missed))
    values = [
        roc_auc_score(same, scores),
        average_precision_score(same, scores),
        (false[nearest] + missed[nearest]) / 2,
        *(missed[false <= rate].min() for rate in rates),
    ]
    return dict(zip(names, map(float, values), strict=True))


def _pairs(task: Problem, level: int, *, alone: bool) -> tuple[np.ndarray, np.ndarray]:
    """Scores and whether both items are of a class, of every pair with two labels."""
    rows = np.flatnonzero(task.query_codes[:, level] != DISTRACTOR)
    items = np.flatnonzero(task.gallery_codes[:, level] != DISTRACTOR)
    if (count := len(rows) * len(items)) > _MOST * (1 + alone):
        raise DataError(f"{counted(count, 'pair')} are more than can be sorted; measure a sample.")
    scores, same = [], []
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        mine = task.query.rows(some)
        own = task.own_scores(mine)
        if own is None:
            own = similarities("dot", mine.fast, task.gallery.fast).double().cpu().numpy()
        kept = np.broadcast_to(items[None, :] >= 0, (len(some), len(items)))
        if alone:  # each pair once, and no item with itself
            kept = items[None, :] > some[:, None]
        scores.append(own[:, items][kept])
        codes = task.query_codes[some, level][:, None] == task.gallery_codes[items, level]
        same.append(codes[kept])
    return np.concatenate([np.zeros(0), *scores]), np.concatenate([np.zeros(0, bool), *same])
