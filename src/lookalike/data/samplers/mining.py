"""Distance-weighted negatives: neither too easy nor only the hardest.

On the unit sphere in D dimensions distances d follow q(d) ∝ d^(D−2) (1 − d²/4)^((D−3)/2), which
piles them up near √2. Negatives drawn with weight 1/q(d) spread over all distances (Wu et al.,
Sampling Matters in Deep Embedding Learning, ICCV 2017, eq. 3 and 5).
"""

from __future__ import annotations

import numpy as np


def distance_weights(
    distances: np.ndarray, same_class: np.ndarray, dimension: int, *, published: bool = False
) -> np.ndarray:
    """Probability of each pool image to be drawn as a negative of one anchor.

    Args:
        distances: Euclidean, ``(P,)``, of unit vectors.
        same_class: bool ``(P,)``, images that are no negatives.
        dimension: D of the embeddings.
        published: as RAML computes it: images of the anchor's class keep a mass of 1e-6, and
            distances of 2 or more give NaN; by default the mass is 0 and distances are cut at 1.4.

    Returns:
        float64 ``(P,)`` that sums to 1.

    Example:
        >>> distance_weights(np.array([0.6, 1.2, 0.9]), np.array([False, False, True]), 8).round(3)
        array([0.964, 0.036, 0.   ])
    """
    d = np.maximum(distances, 0.5)
    if not published:
        d = np.minimum(d, 1.4)
    log_weight = (2 - dimension) * np.log(d) - (dimension - 3) / 2 * np.log(1 - d**2 / 4)
    log_weight = np.where(same_class, 0.0, log_weight)
    weight = np.exp(log_weight - log_weight.max())
    weight = np.where(same_class, 0.0, weight) + 1e-6
    if not published:
        weight = np.where(same_class, 0.0, weight)
    return weight / weight.sum()


def mine_negatives(
    anchors: np.ndarray,
    anchor_labels: np.ndarray,
    pool: np.ndarray,
    pool_labels: np.ndarray,
    count: int,
    rng: np.random.RandomState,
    *,
    published: bool = False,
) -> np.ndarray:
    """``count`` positions in the pool for each anchor, without repetition, distance-weighted.

    Args:
        anchors: unit vectors ``(Q, D)``.
        anchor_labels: ``(Q,)``.
        pool: unit vectors ``(P, D)``.
        pool_labels: ``(P,)``.
        count: negatives for each anchor.
        rng: the draws, anchor by anchor.
        published: see `distance_weights`.

    Returns:
        int64 ``(Q, count)``.
    """
    chosen = np.empty((len(anchors), count), np.int64)
    for row, (anchor, label) in enumerate(zip(anchors, anchor_labels, strict=True)):
        distances = np.sqrt(np.maximum(0.0, 2 - 2 * pool @ anchor))
        weights = distance_weights(
            distances, pool_labels == label, pool.shape[1], published=published
        )
        chosen[row] = rng.choice(len(pool), count, replace=False, p=weights)
    return chosen
