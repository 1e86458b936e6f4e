"""Re-ranking: a search's own answer, used to make a better one.

Every method is one function ``(request, **options) -> Hits``, where the request holds the queries,
what was found for them, and the gallery. None ever holds an N×N matrix: k-reciprocal re-ranking and
diffusion work on each query's shortlist.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.errors import ConfigError, suggest
from lookalike.search.exact import Gallery
from lookalike.search.hits import Hits, best


@dataclass(frozen=True)
class Request:
    """A search and its answer.

    Attributes:
        queries: float32 ``(Q, D)``, unit rows.
        hits: what was found, best first: the shortlist.
        gallery: where.
        own: the row that each query may not find (−1: none), or None.
        allowed: bool ``(N,)``, the rows that may be found, or None.
    """

    queries: np.ndarray
    hits: Hits
    gallery: Gallery
    own: np.ndarray | None = None
    allowed: np.ndarray | None = None

    def again(self, queries: np.ndarray) -> Hits:
        """The same search with other queries."""
        width = self.hits.rows.shape[1]
        return self.gallery.search(queries, width, allowed=self.allowed, own=self.own)


def average_query_expansion(request: Request, *, k: int = 5) -> Hits:
    """Search again with the mean of the query and its ``k`` nearest (Chum et al., ICCV 2007)."""
    return alpha_query_expansion(request, k=k, alpha=0.0)


def alpha_query_expansion(request: Request, *, k: int = 10, alpha: float = 3.0) -> Hits:
    """Search again with ``q + Σ s_iᵅ v_i`` over the ``k`` nearest (Radenović et al., TPAMI 2019).

    Args:
        request: the search.
        k: neighbours.
        alpha: power of the score; 0 weighs all alike. Scores below 0 weigh nothing.
    """
    rows, scores = request.hits.rows[:, :k], request.hits.scores[:, :k]
    weights = np.where(rows >= 0, np.nan_to_num(scores).clip(0) ** alpha, 0).astype(np.float32)
    near = request.gallery.vectors[rows.clip(0).ravel()].reshape(*rows.shape, -1)
    return request.again(_unit(request.queries + np.einsum("qk,qkd->qd", weights, near)))


def database_augmentation(request: Request, *, k: int = 10) -> Hits:
    """Score the shortlist by vectors that are averaged with their own nearest in the gallery.

    ``v ← Σ_j (k − j)/k v_j`` over the item itself (j = 0) and its k − 1 nearest (Gordo et al.,
    IJCV 2017; Arandjelović & Zisserman, CVPR 2012). The query is not expanded.
    """
    rows = request.hits.rows
    wanted, where = np.unique(rows[rows >= 0], return_inverse=True)
    if not len(wanted):
        return request.hits
    own = np.ascontiguousarray(request.gallery.vectors[wanted])
    total = own.copy()
    near = request.gallery.search(own, k - 1, own=wanted).rows
    for j, column in enumerate(near.T):
        weight = np.where(column >= 0, (k - 1 - j) / k, 0).astype(np.float32)
        total += weight[:, None] * request.gallery.vectors[column.clip(0)]
    augmented = _unit(total)
    scores = np.full(rows.shape, np.nan, np.float32)
    query = np.nonzero(rows >= 0)[0]
    scores[rows >= 0] = np.einsum("nd,nd->n", request.queries[query], augmented[where])
    return best(rows, scores, rows.shape[1])


def k_reciprocal(
    request: Request, *, k1: int = 20, k2: int = 6, weight: float = 0.3, shortlist: int = 200
) -> Hits:
    """Jaccard distance of reciprocal neighbour sets, mixed with the first distance.

    Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding" (CVPR 2017),
    eq. 3 to 12, on each query and its shortlist alone: memory is shortlist², never N². With a
    shortlist as long as the gallery it is the paper's, for one query at a time.
    What lies beyond the shortlist follows in its first order. The score is 1 − distance.

    Args:
        request: the search.
        k1: size of the reciprocal neighbourhoods.
        k2: neighbours that a set is averaged over.
        weight: λ, of the first distance.
        shortlist: how many of the first found are re-ranked.
    """

    def scores(query: np.ndarray, near: np.ndarray) -> np.ndarray:
        nodes = np.concatenate([query[None], near]).astype(np.float64)
        distance = (2 - 2 * nodes @ nodes.T).clip(0)
        first = (distance / distance.max(axis=0).clip(1e-12)).T
        order = np.argsort(first, axis=1, kind="stable")
        encoded = _encode_reciprocal(first, order, k1)
        if k2 > 1:
            encoded = encoded[order[:, :k2]].mean(axis=1)
        overlap = np.minimum(encoded[:1], encoded[1:]).sum(axis=1)
        jaccard = 1 - overlap / (2 - overlap)
        return 1 - ((1 - weight) * jaccard + weight * first[0, 1:])

    return _on_shortlist(request, scores, shortlist)


def diffusion(
    request: Request,
    *,
    k: int = 50,
    k_query: int = 10,
    gamma: float = 3.0,
    alpha: float = 0.99,
    shortlist: int = 500,
) -> Hits:
    """Let similarity flow over the graph of the shortlist's neighbours (Iscen et al., CVPR 2017).

    Affinities ``s^γ`` between mutual neighbours, ``S = D^-½ A D^-½``; the scores are
    ``f = (1 − α)(I − αS)⁻¹ y``, y the query's own affinity to its ``k_query`` nearest; on the
    truncated graph of their section 3.4. What lies beyond the shortlist follows in its first order.

    Args:
        request: the search.
        k: neighbours of an item.
        k_query: neighbours of the query.
        gamma: power of the similarity.
        alpha: how far it flows.
        shortlist: items of the graph.
    """

    def scores(query: np.ndarray, near: np.ndarray) -> np.ndarray:
        near = near.astype(np.float64)
        affinity = (near @ near.T).clip(0) ** gamma
        np.fill_diagonal(affinity, 0)
        kept = np.zeros(affinity.shape, bool)
        nearest = np.argsort(-affinity, axis=1, kind="stable")[:, :k]
        np.put_along_axis(kept, nearest, True, axis=1)
        affinity *= kept & kept.T
        root = 1 / np.sqrt(affinity.sum(axis=1).clip(1e-12))
        flow = root[:, None] * affinity * root
        start = (near @ query.astype(np.float64)).clip(0) ** gamma
        start[np.argsort(-start, kind="stable")[k_query:]] = 0
        return np.linalg.solve(np.eye(len(near)) - alpha * flow, (1 - alpha) * start)

    return _on_shortlist(request, scores, shortlist)


def exact_scores(request: Request) -> Hits:
    """The same candidates by their float64 dot product with the stored vectors."""

    def scores(query: np.ndarray, near: np.ndarray) -> np.ndarray:
        return near.astype(np.float64) @ query.astype(np.float64)

    return _on_shortlist(request, scores, request.hits.rows.shape[1])


METHODS: dict[str, Callable[..., Hits]] = {
    "exact": exact_scores,
    "average_qe": average_query_expansion,
    "alpha_qe": alpha_query_expansion,
    "dba": database_augmentation,
    "k_reciprocal": k_reciprocal,
    "diffusion": diffusion,
}
SHORTLIST = 200  # candidates that a search asks for before it re-ranks


def rerank(request: Request, method: str, **options: Any) -> Hits:
    """Re-rank by a method's name.

    Args:
        request: the search; as many hits come back as it holds.
        method: a key of ``METHODS``.
        options: of the method.

    Raises:
        ConfigError: an unknown method or option.

    >>> from lookalike.search.exact import MemoryGallery
    >>> gallery = MemoryGallery.of(np.eye(3, dtype="f4"))
    >>> query = np.array([[0.8, 0.6, 0.0]], dtype="f4")
    >>> request = Request(query, gallery.search(query, 3), gallery)
    >>> rerank(request, "average_qe", k=2).rows.tolist()
    [[0, 1, 2]]
    """
    if method not in METHODS:
        raise ConfigError(f"rerank={method}: no such method. {suggest(method, METHODS)}")
    known = list(inspect.signature(METHODS[method]).parameters)[1:]
    for option in options:
        if option not in known:
            raise ConfigError(f"{method} has no option '{option}'. {suggest(option, known)}")
    return METHODS[method](request, **options)


def _encode_reciprocal(first: np.ndarray, order: np.ndarray, k1: int) -> np.ndarray:
    """V of eq. 7: Gaussian weights over each node's expanded reciprocal set, rows summing to 1."""
    count = len(first)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(count), order.shape), axis=1)
    mutual = (rank <= k1) & (k1 >= rank.T)
    half = round(k1 / 2)
    halves = (rank <= half) & (half >= rank.T)
    # A candidate's half set joins when more than two thirds of it are in the set already (eq. 4).
    shared = mutual.astype(np.float32) @ halves.T.astype(np.float32)
    joins = mutual & (shared > 2 / 3 * halves.sum(axis=1))
    expanded = mutual | (joins.astype(np.float32) @ halves.astype(np.float32) > 0)
    weights = np.where(expanded, np.exp(-first), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _on_shortlist(
    request: Request, scores: Callable[[np.ndarray, np.ndarray], np.ndarray], shortlist: int
) -> Hits:
    """Order the first ``shortlist`` of each query by new scores; the rest follows as it was."""
    rows = request.hits.rows.copy()
    new = request.hits.scores.copy()
    for i, row in enumerate(rows):
        here = np.flatnonzero(row[:shortlist] >= 0)
        if not len(here):
            continue
        found = scores(request.queries[i], np.asarray(request.gallery.vectors[row[here]]))
        order = np.lexsort((row[here], -found))
        rows[i, here], new[i, here] = row[here][order], found[order]
        # Scores of two kinds in one list must still fall: those behind end below the last.
        rest = np.flatnonzero(row >= 0)[len(here) :]
        if len(rest):
            new[i, rest] += min(0.0, float(found.min()) - float(new[i, rest[0]]))
    return Hits(rows, new)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
