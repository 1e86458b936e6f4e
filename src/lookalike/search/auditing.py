"""What an index's own vectors say of its images: copies, outliers, hubs, and doubtful labels.

Everything follows from each item's nearest others, found by the index's own engine; no N×N matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.errors import ConfigError, counted
from lookalike.search.index import Index

_BLOCK = 1024
_FAR = 3.5  # Iglewicz & Hoaglin's (1993) limit of the modified z-score
_OFTEN = 2.0  # standard deviations above the mean: a hub (Radovanović et al., JMLR 2010)
_OWN, _OTHER = 0.1, 0.6  # shares of the neighbours that carry a label
_SAME = 0.99  # the least score of two copies, where the data do not tell
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
        exact: rows of files that are the same to the byte, a group each; those of several labels
            first.
        copies: rows of images that are nearly the same, a group each.
        same: the least score of two copies.
        outliers: (row, modified z-score of its mean score to its neighbours).
        hubs: (row, how many have it among their nearest).
        skewness: of that number over all items; 0 where nothing is a hub.
        orphans: how many items are among the nearest of none.
        suspects: labels that the neighbours contradict.
        agreement: share of labelled items whose neighbours vote for their label; None without.
    """

    near: np.ndarray
    scores: np.ndarray
    exact: list[list[int]]
    copies: list[list[int]]
    same: float
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
    same: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> Audit:
    """Look at every item beside its ``k`` nearest others.

    * **Exact copies**: files of the same bytes, whatever the model makes of them.
    * **Copies**: images that score ``same`` or more with the first of their group. With d = 1 less
      the score of an item's nearest, and without ``same``, that is where the modified z-score of
      log d is below −3.5: nearer by far than images are to their nearest here.
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
        same: the least score of two copies; None: chosen by the data.
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
    same = _least_of_copies(scores) if same is None else same
    return Audit(
        near,
        scores,
        _exact_copies(index, labels),
        _copies(near, scores, same),
        same,
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


def _exact_copies(index: Index, labels: Sequence[Any] | np.ndarray | None) -> list[list[int]]:
    """Rows whose files hold the same bytes; one file with several boxes is no copy of itself."""
    paths = index.items["path"].to_numpy(object)
    by_size: dict[int, dict[str, list[int]]] = {}
    for row, path in enumerate(paths):
        with suppress(OSError):  # a file that is gone is a copy of none
            by_size.setdefault(Path(path).stat().st_size, {}).setdefault(path, []).append(row)
    groups: dict[bytes, list[int]] = {}
    for same_size in by_size.values():
        for path, rows in same_size.items() if len(same_size) > 1 else ():
            with suppress(OSError), Path(path).open("rb") as file:
                groups.setdefault(file_digest(file, "sha256").digest(), []).append(rows[0])
    found = [sorted(rows) for rows in groups.values() if len(rows) > 1]

    def key(rows: list[int]) -> tuple[bool, int, int]:
        several = labels is not None and len({str(labels[row]) for row in rows}) > 1
        return not several, -len(rows), rows[0]

    return sorted(found, key=key)


def _least_of_copies(scores: np.ndarray) -> float:
    """The score above which a nearest image is nearer by far than is usual here."""
    gaps = np.log(np.clip(1 - np.nan_to_num(scores[:, 0].astype(np.float64)), 1e-12, None))
    middle = np.median(gaps)
    spread = np.median(np.abs(gaps - middle))
    return float(1 - np.exp(middle - _FAR / 0.6745 * spread)) if spread > 0 else _SAME


def _copies(near: np.ndarray, scores: np.ndarray, same: float) -> list[list[int]]:
    """Groups of two items or more, the largest first; all are copies of the first one.

    The item with the most copies takes them, then the one with the most that are left: nothing is
    joined through others.
    """
    first, place = np.nonzero((near >= 0) & (scores >= same))
    others: dict[int, set[int]] = {}
    for one, two in zip(first.tolist(), near[first, place].tolist(), strict=True):
        others.setdefault(one, set()).add(two)
        others.setdefault(two, set()).add(one)
    groups, taken = [], set()
    for row in sorted(others, key=lambda row: (-len(others[row]), row)):
        left = others[row] - taken
        if row not in taken and left:
            groups.append([row, *sorted(left)])
            taken |= {row, *left}
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
