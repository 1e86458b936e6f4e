"""How many classes are there? An estimate from the classes somebody labelled, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.discover.clusterers import kmeans
from lookalike.discover.neighbours import unit
from lookalike.errors import DataError

_STEP = 1.25  # from one candidate to the next
_HOPELESS = 0.7  # of the best F: there candidates end, the many clusters that take longest
_DRAWS = 200  # of labelled classes, for the interval


@dataclass(frozen=True)
class ClassCount:
    """An estimated number of classes.

    Attributes:
        value: the estimate.
        low: end of the 95 % interval.
        high: end of the 95 % interval.
        curve: candidate → how well k-means of so many clusters finds the labelled classes; empty
            for `classes_from_clusters`.
    """

    value: int
    low: int
    high: int
    curve: dict[int, float]


def estimate_classes(
    x: Any, labels: Sequence[Any], *, candidates: Sequence[int] | None = None, seed: int = 0
) -> ClassCount:
    """Cluster everything by k-means of many k; the best k is the one that finds the known classes.

    As in Generalized Category Discovery (Vaze et al., CVPR 2022), labelled and unlabelled vectors
    are clustered together and the partition of the labelled ones is judged, here by pairwise F.
    The interval comes from drawing the labelled classes anew: it tells how sure the choice is, not
    how far the unlabelled classes may differ from the labelled ones.

    Args:
        x: ``(N, D)``.
        labels: ``(N,)`` texts or numbers; None (or NaN) where nobody knows.
        candidates: numbers of classes to try; default: from the labelled classes upwards, each a
            quarter more, up to half of the vectors or until the known classes fall apart.
        seed: of k-means and of the draws.

    Returns:
        How many classes the N vectors are of, the labelled ones included.

    Raises:
        DataError: fewer than two labelled classes.
    """
    x = unit(x)
    known = np.array([not (label is None or label != label) for label in labels])
    truth = np.unique(
        [str(label) for label in np.asarray(labels, object)[known]], return_inverse=True
    )
    classes, code = truth[0], truth[1]
    if len(classes) < 2:
        raise DataError("an estimate needs at least two labelled classes")
    tried = sorted(set(candidates or _candidates(len(classes), len(x) // 2)))
    once = np.ones(len(classes), np.int64)
    tables: dict[int, np.ndarray] = {}
    curve: dict[int, float] = {}
    for k in tried:
        tables[k] = _counts(kmeans(x, k, seed=seed).labels[known], code, len(classes))
        # Not metrics.clustering: below, classes are drawn with weights.
        curve[k] = _weighted_f(tables[k], once)
        if candidates is None and curve[k] < _HOPELESS * max(curve.values()):
            break
    tried = list(curve)
    rng = np.random.default_rng(seed)
    best = []
    for _ in range(_DRAWS):
        weight = np.bincount(rng.integers(len(classes), size=len(classes)), minlength=len(classes))
        scores = [_weighted_f(tables[k], weight) for k in tried]
        best.append(tried[int(np.argmax(scores))])
    low, high = np.percentile(best, [2.5, 97.5])
    value = max(curve, key=lambda k: curve[k])
    return ClassCount(value, min(round(low), value), max(round(high), value), curve)


def classes_from_clusters(
    clusters: np.ndarray, labelled: np.ndarray, labels: Sequence[Any], *, seed: int = 0
) -> ClassCount:
    """How many classes clusters stand for, by what the same method makes of labelled classes.

    A method that finds two clusters a labelled class finds about two a class elsewhere. Only
    clusters of two or more count. The interval comes from drawing the labelled classes anew; it
    does not know that classes nobody labelled may be harder.

    Args:
        clusters: ``(N,)`` of the vectors whose classes are counted; negative is noise.
        labelled: ``(M,)``, the same method's of labelled vectors.
        labels: ``(M,)`` their classes.
        seed: of the draws.

    Raises:
        DataError: the method joined no two labelled vectors.

    >>> classes_from_clusters(
    ...     np.arange(6).repeat(2), np.arange(4).repeat(2), list("aaaabbbb")
    ... ).value
    3
    """
    _, code = np.unique([str(label) for label in labels], return_inverse=True)
    table = _counts(np.asarray(labelled)[labelled >= 0], code[labelled >= 0], code.max() + 1)
    pieces = np.bincount(table.argmax(axis=0)[table.sum(axis=0) > 1], minlength=len(table))
    if not pieces.sum():
        raise DataError("no two labelled vectors were joined, so clusters tell nothing of classes")
    found = np.asarray(clusters)
    several = int((np.bincount(found[found >= 0]) > 1).sum())
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(pieces), size=(_DRAWS, len(pieces)))
    rate = np.maximum(pieces[drawn].mean(axis=1), 1 / len(pieces))
    low, high = np.percentile(several / rate, [2.5, 97.5])
    value = round(several / pieces.mean())
    return ClassCount(value, min(round(low), value), max(round(high), value), {})


def _candidates(first: int, last: int) -> list[int]:
    """A quarter more each time."""
    found, value = [], float(first)
    while value <= max(first, last):
        found.append(round(value))
        value *= _STEP
    return found


def _counts(part: np.ndarray, code: np.ndarray, classes: int) -> np.ndarray:
    """``(classes, clusters)``: vectors of each class in each cluster."""
    _, cluster = np.unique(part, return_inverse=True)
    table = np.zeros((classes, cluster.max(initial=-1) + 1))
    np.add.at(table, (code, cluster), 1)
    return table


def _weighted_f(table: np.ndarray, weight: np.ndarray) -> float:
    """Pairwise F where class c is there ``weight[c]`` times, its copies being classes apart."""
    size = table.sum(axis=1)
    agreed = (weight * ((table**2).sum(axis=1) - size)).sum()
    actual = (weight * (size**2 - size)).sum()
    cluster = weight @ table
    claimed = (cluster**2).sum() - (weight * size).sum()
    return float(2 * agreed / (claimed + actual)) if claimed + actual else 1.0
