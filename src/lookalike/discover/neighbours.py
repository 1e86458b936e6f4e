"""The nearest neighbours of every vector among the others: exact, or approximate and measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.errors import ConfigError, DataError, NumericsError

EXACT_UP_TO = 300_000  # vectors that `method="auto"` compares with each other
EXACT_UP_TO_ON_CUDA = 5_000_000
_SAMPLE = 1000  # queries that the recall of an approximate search is measured on
_ROWS = 65_536  # queries to a call


@dataclass(frozen=True)
class Neighbours:
    """Who is near whom; nobody is its own neighbour.

    Attributes:
        ids: int64 ``(N, k − 1)``, nearest first; −1 where an approximate search found fewer.
        cosine: float32 ``(N, k − 1)``, of each neighbour; 0 where there is none.
        recall: share of the true neighbours that were found, measured on a sample; 1 if exact.
    """

    ids: np.ndarray
    cosine: np.ndarray
    recall: float


def unit(x: Any) -> np.ndarray:
    """The rows of ``x`` in float32, each divided by its length; a row of zeros stays so.

    Raises:
        DataError: another shape than ``(N, D)``.
        NumericsError: NaN or infinity.

    >>> unit([[3.0, 4.0]]).round(1).tolist() == np.float32([[0.6, 0.8]]).tolist()
    True
    """
    vectors = np.array(x, np.float32, order="C")
    if vectors.ndim != 2 or not vectors.size:
        raise DataError(f"embeddings must have shape (N, D), got {vectors.shape}")
    if not np.isfinite(vectors).all():
        rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))[:5].tolist()
        raise NumericsError(f"the embeddings hold NaN or infinity (rows {rows}); embed again")
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(length > 0, length, 1)
    return vectors


def nearest_neighbours(
    x: np.ndarray, k: int, *, method: str = "auto", probes: int = 32, device: Any = "cpu"
) -> Neighbours:
    """The ``k − 1`` vectors with the highest cosine to each, itself left out.

    ``k`` counts as the Hi-LANDER papers count: with the vector itself.

    Args:
        x: ``(N, D)`` unit rows, see `unit`; N above k.
        k: neighbours including oneself, at least 2.
        method: ``exact`` compares all with all, N² D products; ``ivf`` looks into the ``probes``
            nearest of about 4 √N cells; ``auto``: exact up to 300,000 vectors, on CUDA up to
            5,000,000.
        probes: cells of ``ivf`` that are searched.
        device: where all are compared with all; faiss does it on the CPU, as it does ``ivf``.

    Raises:
        ConfigError: k below 2 or not below N, or an unknown method.

    Example:
        >>> x = unit([[1, 0], [0.9, 0.1], [0, 1]])
        >>> nearest_neighbours(x, 2).ids.tolist()
        [[1], [0], [1]]
    """
    if not 2 <= k < len(x):
        raise ConfigError(f"k={k}: must be at least 2 and below the number of vectors, {len(x)}")
    on_cuda = str(device).startswith("cuda")
    if method == "auto":
        most = EXACT_UP_TO_ON_CUDA if on_cuda else EXACT_UP_TO
        method = "exact" if len(x) <= most else "ivf"
    if method == "exact":
        search = _on_device(x, device) if on_cuda else _among(x)
        return Neighbours(*_search(search, x, np.arange(len(x)), k), recall=1.0)
    if method != "ivf":
        raise ConfigError(f"knn={method}: write auto, exact or ivf")
    found = _search(_cells(x, probes).search, x, np.arange(len(x)), k)
    return Neighbours(*found, recall=_recall(x, found[0], k))


def _among(x: np.ndarray) -> Any:
    """A search that compares queries with every row of ``x``, without a copy of it."""
    import faiss

    return lambda queries, k: faiss.knn(queries, x, k, metric=faiss.METRIC_INNER_PRODUCT)


def _on_device(x: np.ndarray, device: Any) -> Any:
    """The same by torch, with a copy of ``x`` on a device."""
    import torch

    from lookalike.ops.nearest import nearest

    gallery = torch.from_numpy(x).to(device)

    def search(queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores, rows = nearest(torch.from_numpy(queries).to(device), gallery, k)
        return scores.cpu().numpy(), rows.cpu().numpy()

    return search


def _cells(x: np.ndarray, probes: int) -> Any:
    import faiss

    cells = max(1, min(round(4 * math.sqrt(len(x))), len(x) // 39))
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(x.shape[1]), x.shape[1], cells, faiss.METRIC_INNER_PRODUCT
    )
    chosen = np.random.default_rng(0).choice(len(x), min(len(x), 64 * cells), replace=False)
    index.train(x[np.sort(chosen)])  # pyright: ignore[reportCallIssue]
    index.add(x)  # pyright: ignore[reportCallIssue]
    index.nprobe = min(probes, cells)
    return index


def _search(search: Any, x: np.ndarray, own: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of the rows ``own`` of ``x``, without themselves."""
    ids = np.empty((len(own), k - 1), np.int64)
    cosine = np.empty((len(own), k - 1), np.float32)
    for start in range(0, len(own), _ROWS):
        part = own[start : start + _ROWS]
        similarity, found = search(x[part], k)
        # Where copies crowd a vector out of its own list, the farthest goes instead.
        itself = found == part[:, None]
        itself[~itself.any(axis=1), -1] = True
        ids[start : start + len(part)] = found[~itself].reshape(-1, k - 1)
        cosine[start : start + len(part)] = similarity[~itself].reshape(-1, k - 1)
    cosine[ids < 0] = 0
    return ids, cosine


def _recall(x: np.ndarray, ids: np.ndarray, k: int) -> float:
    sample = np.random.default_rng(1).choice(len(x), min(_SAMPLE, len(x)), replace=False)
    true, _ = _search(_among(x), x, sample, k)
    return float((ids[sample][:, :, None] == true[:, None, :]).any(axis=1).mean())
