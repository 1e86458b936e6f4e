"""Whitening: a linear map, learned from vectors, that evens out what they have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lookalike.errors import ConfigError, DataError, NumericsError, counted
from lookalike.models.embedder import Embedder
from lookalike.ops.arrays import as_matrix

_JITTER = 1e-10  # of the smallest diagonal that makes a singular scatter positive
_MOST_JITTER = 1.0
_EPS = 1e-6  # beside the norm, as the landmark papers' code has it

Whitening = tuple[np.ndarray, np.ndarray]


def pca_whitening(x: Any) -> Whitening:
    r"""Whitening by principal components: variance 1 in every direction.

    With mean m and covariance :math:`C = V \Lambda V^T` (divided by N),
    :math:`P = \Lambda^{-1/2} V^T`, so that :math:`P^T P = C^{-1}`; the directions of largest
    variance come first (Jégou and Chum 2012).

    Args:
        x: ``(N, D)``, a vector a row.

    Returns:
        ``mean (D,)`` and ``projection (d, D)`` in float64; `whiten` applies them. Directions in
        which the vectors do not vary (there are some where N ≤ D) are left out, so d ≤ D.

    Raises:
        DataError: another shape, or vectors that are all the same.
        NumericsError: NaN or infinity.

    >>> mean, projection = pca_whitening([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]])
    >>> mean, np.abs(projection)
    (array([1., 2.]), array([[0. , 0.5],
           [1. , 0. ]]))

    Relations: `learned_whitening` where it is known which vectors belong together.
    """
    vectors = _vectors(x)
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    values, directions = np.linalg.eigh(centred.T @ centred / len(vectors))
    values, directions = values[::-1], directions[:, ::-1]
    varied = values > max(values[0], 0.0) * len(values) * np.finfo(np.float64).eps
    if not varied.any():
        raise DataError(
            f"x: {counted(len(vectors), 'vector')} without a difference; there is nothing to whiten"
        )
    return mean, directions[:, varied].T / np.sqrt(values[varied])[:, None]


def learned_whitening(x: Any, query: Any, positive: Any) -> Whitening:
    r"""Whitening learned from pairs that belong together (Lw).

    The differences of matching pairs are noise; it is made round, and the rest is turned so that
    the most telling directions come first:

    .. math:: S = \frac{1}{K} \sum_k (x_{q_k} - x_{p_k})(x_{q_k} - x_{p_k})^T = L L^T, \quad
              P = V^T L^{-1}

    with V the eigenvectors, by falling eigenvalue, of the scatter of all :math:`L^{-1}(x - m)`
    about m, the mean of the queries (Mikolajczyk and Matas 2007; Radenović, Tolias and Chum 2018,
    section 3.3). :math:`P^T P = S^{-1}`: the turn matters only where dimensions are cut. A singular
    S gets the smallest of 1e-10, 1e-9, … on its diagonal that makes it positive.

    Args:
        x: ``(N, D)``, a vector a row.
        query: ``(K,)`` rows of x.
        positive: ``(K,)`` the row that matches each.

    Returns:
        ``mean (D,)`` and ``projection (D, D)`` in float64; `whiten` applies them.

    Raises:
        DataError: shapes that do not fit, rows that are not there, or pairs that are all equal.
        NumericsError: NaN or infinity.

    >>> x = [[0.0, 0.0], [2.0, 0.1], [0.0, 5.0], [2.0, 5.2]]  # the first dimension is noise
    >>> mean, projection = learned_whitening(x, [0, 2], [1, 3])
    >>> whiten(x, mean, projection, 1).round(3).ravel().tolist() in ([-1, -1, 1, 1], [1, 1, -1, -1])
    True

    Relations: `pca_whitening` needs no pairs.
    """
    vectors = _vectors(x)
    q, p = (_rows(rows, len(vectors), n) for rows, n in ((query, "query"), (positive, "positive")))
    if len(q) != len(p) or not len(q):
        raise DataError(
            f"query names {counted(len(q), 'row')} and positive {len(p)}; give one pair or more"
        )
    mean = vectors[q].mean(axis=0)
    noise = vectors[q] - vectors[p]
    lower = _cholesky(noise.T @ noise / len(q))
    whitened = np.linalg.solve(lower, (vectors - mean).T)
    _, directions = np.linalg.eigh(whitened @ whitened.T)
    projection = np.linalg.solve(lower.T, directions[:, ::-1]).T
    return mean, projection


def whiten(x: Any, mean: np.ndarray, projection: np.ndarray, size: int | None = None) -> np.ndarray:
    """Apply a whitening: ``y = projection[:size] (x - mean)``, then ``y / (|y| + 1e-6)``.

    Args:
        x: ``(N, D)``.
        mean: ``(D,)``.
        projection: ``(d, D)``.
        size: how many dimensions to keep, the most telling ones; None for all.

    Returns:
        ``(N, size)`` float64 unit rows.

    Raises:
        ConfigError: a size that the projection does not have.
        DataError: vectors of another width.
    """
    vectors = _vectors(x)
    if vectors.shape[1] != len(mean):
        raise DataError(
            f"x has {counted(vectors.shape[1], 'dimension')}, the whitening {len(mean)}"
        )
    y = (vectors - mean) @ _cut(projection, size).T
    return y / (np.linalg.norm(y, axis=1, keepdims=True) + _EPS)


def add_whitening(
    model: Embedder, mean: np.ndarray, projection: np.ndarray, size: int | None = None
) -> Embedder:
    """The model with a whitening behind it, as one more linear layer and norm.

    Args:
        model: an embedder without one.
        mean: ``(D,)``, D the model's width.
        projection: ``(d, D)``.
        size: how many dimensions to keep; None for all.

    Returns:
        A new embedder, in evaluation mode, that `lookalike.models.save` writes and every verb
        takes.

    Raises:
        ConfigError: the model has a whitening already, or the size does not fit.
        DataError: a whitening of another width.

    >>> from lookalike import create_model
    >>> model = create_model("conv4", pretrained=False, embedding_size=4, size=28)
    >>> add_whitening(model, np.zeros(4), np.eye(4), size=3).width
    3
    """
    if model.spec.whitening is not None:
        raise ConfigError(
            f"the model has a whitening to {counted(model.spec.whitening, 'dimension')} already"
        )
    if len(mean) != model.width:
        raise DataError(f"the model is {model.width} wide, the whitening {len(mean)}")
    kept = _cut(projection, size)
    whitened = Embedder(replace(model.spec, whitening=len(kept)))
    state = model.state_dict() | {
        "whitening.weight": torch.from_numpy(np.ascontiguousarray(kept)),
        "whitening.mean": torch.from_numpy(np.array(mean, np.float64)),
    }
    whitened.load_state_dict(state)
    return whitened.to(model.device).eval()


def class_pairs(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pairs for `learned_whitening` from labels: each row with the next one of its class.

    The last row of a class is paired with its first; classes of one row, and rows labelled -1,
    give none.

    Args:
        labels: ``(N,)`` integers.

    >>> class_pairs([7, 8, 7, 7, 9, -1])
    (array([0, 2, 3]), array([2, 3, 0]))
    """
    codes = np.asarray(labels)
    order = np.argsort(codes, kind="stable")
    order = order[codes[order] != -1]
    _, first, size = np.unique(codes[order], return_index=True, return_counts=True)
    following = np.arange(1, len(order) + 1)
    following[first + size - 1] = first
    paired = np.repeat(size > 1, size)
    return order[paired], order[following[paired]]


def _vectors(x: Any) -> np.ndarray:
    vectors = as_matrix(x, "x").astype(np.float64, copy=False)
    if not vectors.size:
        raise DataError(f"x must have shape (N, D), a vector a row; got {vectors.shape}")
    if not np.isfinite(vectors).all():
        bad = int(np.argmin(np.isfinite(vectors).all(axis=1)))
        raise NumericsError(f"x holds NaN or infinity, first in row {bad}")
    return vectors


def _rows(rows: Any, count: int, name: str) -> np.ndarray:
    found = np.asarray(rows)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise DataError(f"{name} must be a list of rows, got {found.dtype} of {found.shape}")
    if len(found) and not (found.min() >= 0 and found.max() < count):
        raise DataError(f"{name} names row {found.max()}; x has rows 0 to {count - 1}")
    return found


def _cholesky(scatter: np.ndarray) -> np.ndarray:
    if not scatter.any():
        raise DataError("query and positive: the vectors of every pair are the same")
    jitter = 0.0
    while jitter <= _MOST_JITTER:
        try:
            return np.linalg.cholesky(scatter + jitter * np.eye(len(scatter)))
        except np.linalg.LinAlgError:
            jitter = max(_JITTER, 10 * jitter)
    raise NumericsError("the scatter of the pairs' differences is not positive definite")


def _cut(projection: np.ndarray, size: int | None) -> np.ndarray:
    if size is not None and not 1 <= size <= len(projection):
        raise ConfigError(
            f"size={size}: the whitening has 1 to {counted(len(projection), 'dimension')}"
        )
    return np.asarray(projection, np.float64)[:size]
