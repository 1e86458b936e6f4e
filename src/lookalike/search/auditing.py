"""What an index's own vectors say of its images: copies, outliers, hubs, and doubtful labels.

Everything follows from each item's nearest others, found by the index's own engine; no N×N matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.errors import ConfigError, counted
from lookalike.search.index import Index

_BLOCK = 1024
_FAR = 3.5  # Iglewicz & Hoaglin's (1993) limit of the modified z-score
_OFTEN = 2.0  # standard deviations above the mean: a hub (Radovanović et al., JMLR 2010)
_OWN, _OTHER = 0.1, 0.6  # shares of the neighbours that carry a label
_FEWEST = 3  # images of a class whose labels can be judged by each other
NOTHING = -1


@dataclass(frozen=True)
class Suspect:
    """A label that the neighbours contradict.

    Attributes:
        row: of the index.
        label: its own.
        suggested: what most neighbours carry.
        share: of the neighbours that carry it.
    """

    row: int
    label: str
    suggested: str
    share: float


@dataclass(frozen=True)
class Audit:
    """What was found, each list with the worst first.

    Attributes:
        near: int64 ``(N, k)``, each item's nearest others, −1 past the end.
        scores: float32 ``(N, k)``.
        copies: rows of images that are nearly the same, a group each.
        outliers: (row, modified z-score of its mean score to its neighbours).
        hubs: (row, how many have it among their nearest).
        skewness: of that number over all items; 0 where nothing is a hub.
        orphans: how many items are among the nearest of none.
        suspects: labels that the neighbours contradict.
        agreement: share of labelled items whose neighbours vote for their label; None without.
    """

    near: np.ndarray
    scores: np.ndarray
    copies: list[list[int]]
    outliers: list[tuple[int, float]]
    hubs: list[tuple[int, int]]
    skewness: float
    orphans: int
    suspects: list[Suspect]
    agreement: float | None


def audit(
    index: Index,
    labels: Sequence[Any] | np.ndarray | None = None,
    *,
    k: int = 10,
    same: float = 0.99,
    progress: Callable[[int], None] | None = None,
) -> Audit:
    """Look at every item beside its ``k`` nearest others.

    * **Copies**: joined by a score of ``same`` or more, directly or through others.
    * **Outliers**: with x the mean score of an item to its neighbours, the modified z-score
      ``0.6745 (x − median) / MAD`` is below −3.5 (Iglewicz & Hoaglin, 1993).
    * **Hubs**: N_k, how many have the item among their nearest, is two standard deviations above
      the mean (Radovanović et al., JMLR 2010).
    * **Suspect labels**: at most a tenth of the neighbours carry the item's label and at least
      six tenths another; only classes of three images or more (Wilson's editing, 1972).

    Args:
        index: the index.
        labels: one an item; ``-1`` or an empty one is none.
        k: neighbours.
        same: the least score of two copies.
        progress: told how many items each step looked at.

    Raises:
        ConfigError: k below 2, or not below the number of items.

    >>> import pandas as pd, tempfile
    >>> x = np.repeat(np.eye(4, dtype="f4"), 5, axis=0)
    >>> items = pd.DataFrame({"path": [f"{i}.jpg" for i in range(20)]})
    >>> index = Index.build(tempfile.mkdtemp() + "/ix", x, items)
    >>> audit(index, ["a"] * 4 + ["b"] * 16, k=4, same=1.0).copies[0]
    [0, 1, 2, 3, 4]
    """
    if not 2 <= k < len(index):
        raise ConfigError(
            f"--k {k}: give a number of neighbours from 2 and below the"
            f" {counted(len(index), 'image')}."
        )
    near, scores = _neighbours(index, k, progress)
    outliers = _outliers(scores)
    counts = np.bincount(near[near >= 0], minlength=len(index))
    hubs = np.flatnonzero(counts > counts.mean() + _OFTEN * counts.std())
    order = hubs[np.lexsort((hubs, -counts[hubs]))]
    suspects, agreement = _suspects(near, scores, labels)
    return Audit(
        near,
        scores,
        _copies(near, scores, same),
        outliers,
        [(int(row), int(counts[row])) for row in order],
        _skewness(counts),
        int((counts == 0).sum()),
        suspects,
        agreement,
    )


def _neighbours(
    index: Index, k: int, progress: Callable[[int], None] | None
) -> tuple[np.ndarray, np.ndarray]:
    rows, scores = [], []
    for start in range(0, len(index), _BLOCK):
        here = np.arange(start, min(start + _BLOCK, len(index)))
        hits = index.search(np.asarray(index.vectors[here]), k, own=here)
        rows.append(hits.rows)
        scores.append(hits.scores)
        if progress is not None:
            progress(len(here))
    return np.concatenate(rows), np.concatenate(scores)


def _copies(near: np.ndarray, scores: np.ndarray, same: float) -> list[list[int]]:
    """Connected components of two items or more, the largest first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, place = np.nonzero((near >= 0) & (scores >= same))
    second = near[first, place]
    ones = np.ones(len(first), np.int8)
    graph = coo_array((ones, (first, second)), shape=(len(near), len(near)))
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    groups = [part.tolist() for part in np.split(order, starts[1:]) if len(part) > 1]
    return sorted(groups, key=lambda rows: (-len(rows), rows[0]))


def _outliers(scores: np.ndarray) -> list[tuple[int, float]]:
    mean = np.nanmean(scores.astype(np.float64), axis=1)
    middle = np.median(mean)
    spread = np.median(np.abs(mean - middle))
    if spread == 0:
        return []
    z = 0.6745 * (mean - middle) / spread
    far = np.flatnonzero(z < -_FAR)
    return [(int(row), float(z[row])) for row in far[np.argsort(z[far], kind="stable")]]


def _skewness(counts: np.ndarray) -> float:
    spread = counts.std()
    return float((((counts - counts.mean()) / spread) ** 3).mean()) if spread > 0 else 0.0


def _suspects(
    near: np.ndarray, scores: np.ndarray, labels: Sequence[Any] | np.ndarray | None
) -> tuple[list[Suspect], float | None]:
    if labels is None:
        return [], None
    words = np.array([str(label) for label in labels])
    names, codes = np.unique(words, return_inverse=True)
    codes = np.where(np.isin(words, ("-1", "")), NOTHING, codes)
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    judged = np.flatnonzero((codes >= 0) & (sizes[codes.clip(0)] >= _FEWEST))
    if not len(judged):
        return [], None
    found = []
    right = 0
    for row in judged.tolist():
        here = codes[near[row][near[row] >= 0]]
        votes = np.bincount(here[here >= 0], minlength=len(names))
        # Equal votes go to the own label: doubt needs a majority.
        other = int(np.where(np.arange(len(names)) == codes[row], -1, votes).argmax())
        own_share, share = votes[codes[row]] / len(here), votes[other] / len(here)
        right += votes[codes[row]] >= votes[other]
        if own_share <= _OWN and share >= _OTHER and other != codes[row]:
            key = (-share, own_share, -float(np.nanmean(scores[row])), row)
            found.append((key, Suspect(row, str(words[row]), str(names[other]), float(share))))
    return [suspect for _, suspect in sorted(found, key=lambda pair: pair[0])], right / len(judged)
