"""The landmark protocol: Oxford and Paris, original and revisited, with junk images ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lookalike.calls import named_arguments
from lookalike.errors import ConfigError, DataError, NumericsError, counted

# What counts as found and what is taken out of the ranking, for each setup.
_REVISITED = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
_ORIGINAL = {"original": (("ok",), ("junk",))}


@named_arguments()
def revisited(
    ranks_or_scores: Any,
    ground_truth: Sequence[Mapping[str, Any]],
    *,
    k: Sequence[int] = (1, 5, 10),
) -> dict[str, dict[str, Any]]:
    r"""Mean average precision and mean precision at k of the revisited Oxford and Paris protocol.

    Junk leaves the ranking before positions are counted, and average precision is the
    trapezoidal one: with 0-based positions :math:`\rho_0 < \rho_1 < \dots` of n positives,

    .. math:: AP = \frac{1}{n} \sum_j \frac{1}{2}
              \left(\frac{j}{\rho_j} + \frac{j + 1}{\rho_j + 1}\right)

    with the first quotient 1 at :math:`\rho_j = 0` (Radenović et al., CVPR 2018). Precision at k
    stops at the last positive when that comes before k. Positives missing from a truncated
    ranking add nothing. Queries without a positive in a setup are left out of its means.

    Args:
        ranks_or_scores: integers ``(N_db, N_q)``: column q lists database rows, best first, and
            may be cut short; or floating-point scores ``(N_q, N_db)``, higher is nearer, equal
            ones by rising row.
        ground_truth: for each query the database rows under ``easy``, ``hard`` and ``junk``, or
            under ``ok`` and ``junk`` for the original data sets. Other keys are ignored.
        k: the cut-offs.

    Returns:
        For "easy", "medium" and "hard" (or "original"): ``map``; ``mp_at_k``, one number a
        cut-off; ``ap`` ``(N_q,)`` and ``precision_at_k`` ``(N_q, len(k))``, NaN where a query was
        left out; ``queries``, how many counted.

    Raises:
        DataError: shapes that do not fit, or a ground truth without its keys.
        NumericsError: NaN among the scores.

    >>> truth = [{"easy": [2], "hard": [0], "junk": [1]}]
    >>> result = revisited(np.array([[0.1, 0.9, 0.8]]), truth)
    >>> easy, medium, hard = (result[name] for name in ("easy", "medium", "hard"))
    >>> easy["map"], hard["map"], medium["mp_at_k"]
    (1.0, 1.0, [1.0, 1.0, 1.0])

    Relations: `evaluate` where every item is relevant or not by its label.
    """
    cuts = [int(value) for value in k]
    if not cuts or min(cuts) < 1:
        raise ConfigError(f"k={list(k)} must hold whole numbers from 1")
    rankings = _rankings(ranks_or_scores, len(ground_truth))
    setups = _setups(ground_truth)
    found: dict[str, dict[str, Any]] = {}
    for setup, (positive, junk) in setups.items():
        ap = np.full(len(rankings), np.nan)
        precision = np.full((len(rankings), len(cuts)), np.nan)
        for q, (ranking, truth) in enumerate(zip(rankings, ground_truth, strict=True)):
            wanted = _rows(truth, positive)
            if len(wanted):
                positions = _positions(ranking, wanted, _rows(truth, junk))
                ap[q] = _trapezoid(positions, len(wanted))
                precision[q] = [_precision(positions, cut) for cut in cuts]
        counted = ~np.isnan(ap)
        found[setup] = {
            "map": float(ap[counted].mean()) if counted.any() else float("nan"),
            "mp_at_k": [
                float(p[counted].mean()) if counted.any() else float("nan") for p in precision.T
            ],
            "ap": ap,
            "precision_at_k": precision,
            "queries": int(counted.sum()),
        }
    return found


def _rankings(given: Any, queries: int) -> list[np.ndarray]:
    array = given.numpy(force=True) if isinstance(given, torch.Tensor) else np.asarray(given)
    if array.ndim != 2:
        raise DataError(f"ranks_or_scores must have two dimensions, got shape {array.shape}")
    if array.dtype.kind in "iu":
        if array.shape[1] != queries:
            raise DataError(
                f"ranks have shape {array.shape} (database × queries), but the ground truth "
                f"names {counted(queries, 'query', 'queries')}"
            )
        return list(array.T)
    if array.dtype.kind != "f":
        raise DataError(f"give integer ranks or floating-point scores, got {array.dtype}")
    if array.shape[0] != queries:
        raise DataError(
            f"scores have shape {array.shape} (queries × database), but the ground truth "
            f"names {counted(queries, 'query', 'queries')}"
        )
    if np.isnan(array).any():
        raise NumericsError(f"scores hold NaN, first in row {int(np.isnan(array).any(1).argmax())}")
    return [np.argsort(-row, kind="stable") for row in array]


def _setups(ground_truth: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if all("easy" in truth and "hard" in truth for truth in ground_truth):
        return _REVISITED
    if all("ok" in truth for truth in ground_truth):
        return _ORIGINAL
    raise DataError(
        "every query of the ground truth needs the keys 'easy' and 'hard' (and 'junk'), or 'ok' "
        "(and 'junk') for the original data sets"
    )


def _rows(truth: Mapping[str, Any], keys: Iterable[str]) -> np.ndarray:
    parts = [np.asarray(truth.get(key, ()), dtype=np.int64).reshape(-1) for key in keys]
    return np.unique(np.concatenate(parts))


def _positions(ranking: np.ndarray, wanted: np.ndarray, junk: np.ndarray) -> np.ndarray:
    """0-based places of the wanted rows once junk is taken out."""
    kept = ranking[~np.isin(ranking, junk)]
    return np.flatnonzero(np.isin(kept, wanted))


def _trapezoid(positions: np.ndarray, wanted: int) -> float:
    j = np.arange(len(positions))
    before = np.where(positions == 0, 1.0, j / np.maximum(positions, 1))
    return float(((before + (j + 1) / (positions + 1)) / 2).sum() / wanted)


def _precision(positions: np.ndarray, k: int) -> float:
    if len(positions) == 0:
        return 0.0
    k = min(int(positions[-1]) + 1, k)
    return float((positions < k).sum() / k)
