"""Which clustered images are sure enough to be trained on, and what they are then called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.errors import DataError, counted


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """The known classes, a unit vector each.

    Attributes:
        classes: ``(C,)`` labels, sorted.
        means: float32 ``(C, D)``.
    """

    classes: np.ndarray
    means: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, labels: Any) -> ClassMeans:
        """The normalised mean of each class's unit vectors."""
        classes, code = np.unique(np.asarray(labels), return_inverse=True)
        total = np.zeros((len(classes), x.shape[1]))
        np.add.at(total, code, x)
        return cls(classes, _unit(total))

    def nearest(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The class with the highest cosine to each vector, and that cosine."""
        best, cosine = np.empty(len(x), np.int64), np.empty(len(x), np.float32)
        for start in range(0, len(x), 65_536):
            part = slice(start, start + 65_536)
            scores = x[part] @ self.means.T
            best[part] = scores.argmax(axis=1)
            cosine[part] = scores.max(axis=1)
        return self.classes[best], cosine


def far_from_known(x: np.ndarray, known: ClassMeans, least: float = 0.15) -> np.ndarray:
    """Whether vectors lie far from every known class, PSS's second criterion.

    Far is ``(1 − max cosine to a class mean) / 2 ≥ least`` (Cao et al., ECCV 2022).

    Args:
        x: ``(N, D)`` unit rows.
        known: the known classes.
        least: 0 … 1.

    Returns:
        bool ``(N,)``.
    """
    return (1 - known.nearest(x)[1]) / 2 >= least


def select_by_density(labels: np.ndarray, density: np.ndarray, threshold: float) -> np.ndarray:
    """Whether each vector is selected: its density is above the threshold (Cao et al., ECCV 2022).

    ``selectbydensity_θ_τ`` of PSS's file names: θ is this threshold, τ the decoding's.

    Args:
        labels: ``(N,)`` clusters, −1 noise, which is never selected.
        density: ``(N,)``.
        threshold: densities must be above it, strictly.

    >>> select_by_density(np.array([0, 0, -1]), np.array([0.9, 0.8, 0.95]), 0.8).tolist()
    [True, False, False]
    """
    if len(labels) != len(density):
        raise DataError(
            f"{counted(len(labels), 'cluster')} and {counted(len(density), 'density', 'densities')}"
        )
    return (np.asarray(density) > threshold) & (np.asarray(labels) >= 0)


def of_two_or_more(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Which of those chosen share their cluster with another; a class of one teaches nothing.

    >>> of_two_or_more(np.array([0, 0, 1, 2, 2]), np.array([1, 1, 1, 1, 0], bool)).tolist()
    [True, True, False, False, False]
    """
    found, counts = np.unique(labels[chosen], return_counts=True)
    return chosen & np.isin(labels, found[counts > 1])


@dataclass(frozen=True, eq=False)
class Gate:
    """What parts images of known classes from those of new ones.

    Attributes:
        known: the known classes.
        threshold: least cosine to the nearest class mean.
    """

    known: ClassMeans
    threshold: float

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Whether each vector is of a known class, which one is nearest, and its cosine."""
        label, cosine = self.known.nearest(x)
        return cosine >= self.threshold, label, cosine


def known_gate(x: np.ndarray, labels: Any) -> Gate:
    """A gate set from the labelled vectors alone.

    Each is shown twice: to its own class, its mean taken without it, as an image of a known class;
    and to the nearest of the other classes, as an image of a class that nobody labelled. The
    threshold parts the two with the fewest mistakes, both kinds weighing the same.

    Args:
        x: ``(N, D)`` unit rows.
        labels: ``(N,)``, at least two classes.

    Raises:
        DataError: fewer than two classes, or no class of two.
    """
    known = ClassMeans.of(x, labels)
    if len(known.classes) < 2:
        raise DataError("a gate needs at least two labelled classes")
    code = np.searchsorted(known.classes, np.asarray(labels))
    count = np.bincount(code)
    total = np.zeros((len(count), x.shape[1]))
    np.add.at(total, code, x)
    several = count[code] > 1
    if not several.any():
        raise DataError("a gate needs a labelled class of two images or more")
    own = (_unit(total[code[several]] - x[several]) * x[several]).sum(axis=1)
    scores = x @ known.means.T
    scores[np.arange(len(x)), code] = -np.inf
    return Gate(known, _parting(own, scores.max(axis=1)))


def _parting(high: np.ndarray, low: np.ndarray) -> float:
    """The threshold that maximises P(high ≥ t) + P(low < t)."""
    values = np.concatenate([high, low])
    order = np.argsort(values, kind="stable")
    is_high = np.concatenate([np.ones(len(high), bool), np.zeros(len(low), bool)])[order]
    missed = np.concatenate([[0], np.cumsum(is_high)]) / len(high)
    caught = np.concatenate([[0], np.cumsum(~is_high)]) / len(low)
    best = int(np.argmax(caught - missed))
    ordered = np.concatenate([values[order], [np.inf]])
    return float(ordered[best])


def auroc(known: Any, score: Any) -> float:
    """Probability that a known one scores higher than a new one; NaN where one kind is missing.

    >>> auroc([True, True, False], [0.9, 0.4, 0.4])
    0.75
    """
    from sklearn.metrics import roc_auc_score

    known = np.asarray(known, bool)
    if known.all() or not known.any():
        return float("nan")
    return float(roc_auc_score(known, score))


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(length > 0, length, 1)).astype(np.float32)
