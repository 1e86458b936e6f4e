"""How well a clustering matches the true classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.calls import named_arguments
from lookalike.errors import DataError, counted
from lookalike.metrics.information import information
from lookalike.metrics.labels import label_codes


@named_arguments({"labels_true": "true", "labels_pred": "pred", "target": "true", "preds": "pred"})
def clustering(pred: Any, true: Any) -> dict[str, float]:
    r"""Compare a partition with the true one, by pairs, by items and by information.

    With :math:`n_{ab}` the items of cluster a and class b: pairwise precision is the share of
    pairs in one cluster that are of one class,
    :math:`(\sum n_{ab}^2 - N) / (\sum_a n_a^2 - N)`; B-cubed precision is
    :math:`\frac{1}{N} \sum n_{ab}^2 / n_a` (Amigó et al. 2009); recall exchanges clusters and
    classes, F is the harmonic mean. NMI divides by the arithmetic mean of the entropies; AMI is
    NMI adjusted for chance (Vinh et al. 2010), ARI the Rand index adjusted for it (Hubert and
    Arabie 1985).

    Args:
        pred: ``(N,)`` cluster of each item, integers or strings. Every value is a cluster, -1 too.
        true: ``(N,)`` class of each item.

    Returns:
        ``pairwise_precision``, ``pairwise_recall``, ``pairwise_f``, ``b_cubed_precision``,
        ``b_cubed_recall``, ``b_cubed_f``, ``nmi``, ``ami``, ``ari``, ``clusters``, ``classes``. A
        partition into single items claims no pair: its pairwise precision is NaN and its F is 0,
        or 1 when the classes are single items too.

    Raises:
        DataError: two different lengths, or no items.

    >>> round(clustering([0, 0, 1, 1], [5, 5, 5, 6])["pairwise_f"], 3)
    0.4

    Relations: `evaluate` judges neighbours and needs no clustering.
    """
    a, b = _codes(pred, "pred"), _codes(true, "true")
    if len(a) != len(b):
        raise DataError(f"pred has {counted(len(a), 'item')} and true {len(b)}")
    if len(a) == 0:
        raise DataError("there is nothing to compare: pred and true are empty")
    cells, together = np.unique(a * (b.max() + 1) + b, return_counts=True)
    in_cluster, in_class = np.bincount(a).astype(float), np.bincount(b).astype(float)
    cluster, kind = in_cluster[cells // (b.max() + 1)], in_class[cells % (b.max() + 1)]
    together = together.astype(float)
    items = len(a)
    agreed = (together**2).sum() - items
    claimed, actual = (in_cluster**2).sum() - items, (in_class**2).sum() - items
    precision = (together**2 / cluster).sum() / items
    recall = (together**2 / kind).sum() / items
    nmi, ami = information(together, in_cluster, in_class)
    return {
        "pairwise_precision": float(agreed / claimed) if claimed else float("nan"),
        "pairwise_recall": float(agreed / actual) if actual else float("nan"),
        "pairwise_f": float(2 * agreed / (claimed + actual)) if claimed + actual else 1.0,
        "b_cubed_precision": float(precision),
        "b_cubed_recall": float(recall),
        "b_cubed_f": float(2 * precision * recall / (precision + recall)),
        "nmi": nmi,
        "ami": ami,
        "ari": _adjusted_rand(agreed / 2, claimed / 2, actual / 2, items),
        "clusters": float(len(in_cluster)),
        "classes": float(len(in_class)),
    }


def _adjusted_rand(agreed: float, claimed: float, actual: float, items: int) -> float:
    """Hubert and Arabie's index from pairs: in both, in a cluster, in a class, and all there are.

    1 where neither partition leaves chance anything to do.
    """
    pairs = items * (items - 1) / 2
    chance = claimed * actual / pairs if pairs else 0.0
    most = (claimed + actual) / 2
    return float((agreed - chance) / (most - chance)) if most != chance else 1.0


def _codes(labels: Any, name: str) -> np.ndarray:
    codes, _ = label_codes(labels, None)
    if codes.shape[1] != 1:
        raise DataError(f"{name} must have one column, got {codes.shape[1]}")
    return np.unique(codes[:, 0], return_inverse=True)[1].astype(np.int64)
