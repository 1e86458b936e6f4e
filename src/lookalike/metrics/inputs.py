"""What `evaluate` is given, checked and brought into one form."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lookalike.errors import ConfigError, DataError, LookalikeWarning, NumericsError, counted
from lookalike.metrics.labels import Members, is_nested, label_codes, union
from lookalike.metrics.relation import Relation
from lookalike.ops.arrays import as_matrix
from lookalike.ops.distances import Distance, added, as_products, similarities
from lookalike.ops.distances import check as check_distance
from lookalike.ops.tiles import UNIT_ROUNDOFF, Pairs, Vectors

_ROWS = 16384  # rows widened to float64 at a time
_ALIKE = 1.01  # lengths further apart than rounding to half precision leaves them
_SAFE = 40  # beyond norms of 2^±40, products could leave the range of float32


@dataclass(frozen=True)
class Problem:
    """Everything that decides the ranking of every query.

    Attributes:
        query: the queries.
        gallery: the gallery; the same object as ``query`` when there is no other.
        query_codes: ``(Nq, L)`` int64.
        gallery_codes: ``(Ng, L)`` int64.
        own: ``(Nq,)`` the gallery row that is the query itself, -1 for none.
        groups: codes of the queries' and the gallery's sequences, or None.
        nested: whether whoever shares a label shares every coarser one.
        width: numbers of a vector as it was given.
        distance: what the order is of; the vectors are such that their products are.
        relation: who matches whom, where equal labels do not say it.
    """

    query: Vectors
    gallery: Vectors
    query_codes: np.ndarray
    gallery_codes: np.ndarray
    own: np.ndarray
    groups: tuple[np.ndarray, Members] | None
    nested: bool
    width: int
    distance: Distance = "dot"
    relation: Relation | None = None

    def own_scores(self, query: Vectors) -> np.ndarray | None:
        """``(b, Ng)`` float64 by the caller's own function; None where products decide."""
        if isinstance(self.distance, str):
            return None
        scores = similarities(self.distance, query.fast, self.gallery.fast)
        return scores.detach().double().cpu().numpy()

    def shown(self, scores: np.ndarray) -> np.ndarray:
        """Scores as people know them: of Euclidean distances, the distance less than zero."""
        if self.distance != "euclidean":
            return scores
        return -np.sqrt(np.maximum(-2 * scores, 0.0))

    def excluded(self, block: slice) -> Pairs:
        """The gallery rows that a block of queries must not see."""
        own = self.own[block]
        alone = Pairs(np.concatenate(([0], np.cumsum(own >= 0))), own[own >= 0])
        if self.groups is None:
            return alone
        codes, members = self.groups
        return union([alone, members.of(codes[block])])


def problem(
    query: Any,
    query_labels: Any,
    gallery: Any,
    gallery_labels: Any,
    exclude_self: Any,
    sequences: Any,
    distance: Distance | None = "dot",
    comparison: Callable[[Any, Any], Any] | None = None,
) -> Problem:
    """Check the arguments of `evaluate`.

    Raises:
        DataError: shapes or labels that do not fit.
        NumericsError: NaN or infinity in a vector; the rows are named.
    """
    if (gallery is None) != (gallery_labels is None):
        given, missing = "gallery", "gallery_labels"
        if gallery is None:
            given, missing = missing, given
        raise DataError(f"{given} was given without {missing}; give both or neither")
    chosen: Distance = "dot" if distance is None else distance
    check_distance("evaluate", chosen)
    q, g = vectors(query, gallery, chosen)
    if distance is None:
        _warn_of_lengths(g)
    relation, query_codes, gallery_codes = _classes(q, g, query_labels, gallery_labels, comparison)
    groups = None
    if sequences is not None:
        pair = sequences if isinstance(sequences, tuple) and len(sequences) == 2 else None
        if pair is None and gallery is not None:
            raise DataError("sequences must be (of the queries, of the gallery)")
        one, other = pair if pair is not None else (sequences, None)
        a, b = label_codes(one, other, ("sequences of the queries", "sequences of the gallery"))
        if len(a) != len(q) or len(b) != len(g):
            raise DataError(
                f"sequences name {counted(len(a), 'query', 'queries')} and {len(b)} gallery items; "
                f"there are {len(q)} and {len(g)}"
            )
        groups = (a[:, 0], Members(b[:, 0]))
    own = _own_rows(exclude_self, len(q), len(g), alone=gallery is None)
    if gallery is not None and exclude_self is None and groups is None:
        _warn_of_itself(q, g)
    width = q.fast.shape[1] - (added(q.fast.dtype) if distance == "euclidean" else 0)
    nested = is_nested(np.concatenate([query_codes, gallery_codes]))
    return Problem(q, g, query_codes, gallery_codes, own, groups, nested, width, chosen, relation)


def _warn_of_lengths(g: Vectors) -> None:
    """Say that the gallery's lengths decide as well, where nobody said that they shall."""
    if len(g.norms) and g.norms.max() > _ALIKE * g.norms.min():
        low, high = g.norms.min(), g.norms.max()
        warnings.warn(
            f"gallery vectors have lengths from {low:.3g} to {high:.3g}, and a dot product favours "
            'the long ones. Give distance="cosine" or "euclidean", or distance="dot" if it is '
            "meant.",
            LookalikeWarning,
            stacklevel=5,
        )


def _classes(
    q: Vectors,
    g: Vectors,
    query_labels: Any,
    gallery_labels: Any,
    comparison: Callable[[Any, Any], Any] | None,
) -> tuple[Relation | None, np.ndarray, np.ndarray]:
    """Codes of both sides' labels; or, where a function compares these, it and a code each."""
    if comparison is not None:
        relation = Relation.of(comparison, query_labels, gallery_labels)
        return relation, *relation.codes(len(q), len(g))
    query_codes, gallery_codes = label_codes(query_labels, gallery_labels)
    for name, codes, side in (("query", query_codes, q), ("gallery", gallery_codes, g)):
        if len(codes) != len(side):
            have = counted(len(side), "vector")
            raise DataError(f"{name} has {have} and {counted(len(codes), 'label')}")
    return None, query_codes, gallery_codes


def _warn_of_itself(q: Vectors, g: Vectors) -> None:
    """Say that every query is in the gallery, where the two are the very same vectors."""
    if len(q) > 1 and torch.equal(q.fast, g.fast):
        warnings.warn(
            "gallery holds the very same vectors as query, so that every query finds itself first. "
            "Leave gallery out, or give exclude_self=True; exclude_self=False if it is meant.",
            LookalikeWarning,
            stacklevel=4,
        )


def vectors(query: Any, gallery: Any | None, distance: Distance = "dot") -> tuple[Vectors, Vectors]:
    """Both sides as vectors of one type, their copies for products on one device.

    For another distance than the dot product they are changed so that products order as it does;
    for a function of the caller's they are float64, and products decide nothing.
    """
    q = _tensor(query, "query")
    g = q if gallery is None else _tensor(gallery, "gallery")
    if not len(q):
        raise DataError("query holds no vectors, so there is nothing to measure")
    if q.shape[1] != g.shape[1]:
        raise DataError(
            f"query vectors have {counted(q.shape[1], 'dimension')}, gallery ones {g.shape[1]}"
        )
    q_norms = _norms(q, "query")
    g_norms = q_norms if g is q else _norms(g, "gallery")
    spread = np.concatenate([q_norms, g_norms])
    safe = (spread < 2.0**_SAFE).all() and spread.max(initial=1.0) > 2.0**-_SAFE
    if q.dtype != g.dtype or not safe or not isinstance(distance, str):
        alone = g is q
        q = q.double()
        g = q if alone else g.double()
    if isinstance(distance, str) and distance != "dot":
        q, g = as_products(distance, q, g)
        q_norms = _norms(q, "query")
        g_norms = q_norms if g is q else _norms(g, "gallery")
    device = next((t.device for t in (q, g) if t.device.type != "cpu"), q.device)
    queries = Vectors(q.to(device), q_norms)
    if g is q:
        return queries, queries
    return queries, Vectors(g.to(device), g_norms)


def _tensor(value: Any, name: str) -> torch.Tensor:
    """Float32 or float64 ``(N, D)``; a tensor stays on its device."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        matrix = as_matrix(value, name)
        with warnings.catch_warnings():  # of a mapped file: it is only read
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(matrix)
    tensor = value.detach()
    if tensor.ndim != 2:
        raise DataError(f"{name} must have shape (N, D), got {tuple(tensor.shape)}")
    if tensor.is_complex():
        raise DataError(f"{name} holds complex numbers; give real vectors")
    if tensor.dtype in (torch.float16, torch.bfloat16, torch.float32):
        return tensor.float().contiguous()
    return tensor.double().contiguous()


def _norms(tensor: torch.Tensor, name: str) -> np.ndarray:
    """Norms that are never too short."""
    norms = torch.linalg.vector_norm(tensor, dim=1).numpy(force=True).astype(np.float64)
    if ((norms > 2.0**-_SAFE) & (norms < 2.0**_SAFE)).all():
        return norms * (1 + tensor.shape[1] * UNIT_ROUNDOFF)
    parts = [part.double().norm(dim=1).numpy(force=True) for part in tensor.split(_ROWS)]
    norms = np.concatenate([np.zeros(0), *parts])
    if not np.isfinite(norms).all():
        bad = np.flatnonzero(~np.isfinite(norms))
        shown = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
        raise NumericsError(
            f"{name}: {len(bad):,} of {counted(len(norms), 'vector')}"
            f" {'holds' if len(bad) == 1 else 'hold'} NaN or infinity (rows {shown}). Look at"
            " those images, or at the loss that trained this model."
        )
    return norms


def _own_rows(exclude_self: Any, queries: int, items: int, *, alone: bool) -> np.ndarray:
    """The gallery row of each query, -1 where the gallery does not hold it."""
    if exclude_self is None:
        exclude_self = alone
    if isinstance(exclude_self, bool | np.bool_):
        if not exclude_self:
            return np.full(queries, -1)
        if queries > items:
            raise DataError(
                f"exclude_self=True means that gallery row i is query i, but there are"
                f" {counted(queries, 'query', 'queries')} and {items} gallery items; give the"
                " gallery row of each query instead"
            )
        return np.arange(queries)
    rows = (
        exclude_self.numpy(force=True) if isinstance(exclude_self, torch.Tensor) else exclude_self
    )
    rows = np.asarray(rows)
    if rows.shape != (queries,) or rows.dtype.kind not in "iu":
        raise DataError(
            "exclude_self must be a bool or the gallery row of each of the"
            f" {counted(queries, 'query', 'queries')} "
            f"(-1 for none), got {rows.dtype} of shape {rows.shape}"
        )
    if len(rows) and (rows.min() < -1 or rows.max() >= items):
        bad = int(np.flatnonzero((rows < -1) | (rows >= items))[0])
        raise DataError(
            f"exclude_self[{bad}] is {rows[bad]}; the gallery has rows 0 to {items - 1}, -1 is none"
        )
    return rows.astype(np.int64)


def cutoffs(k: int | Sequence[int]) -> list[int]:
    """The cut-offs as a list.

    Raises:
        ConfigError: one that is no positive whole number.
    """
    values = [k] if isinstance(k, int | np.integer) else list(k)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ConfigError(f"k holds {value!r}; cut-offs are whole numbers from 1")
    return [int(value) for value in values]


def chosen_levels(levels: int | Sequence[int] | None, columns: int) -> list[int]:
    """The label columns to evaluate.

    Raises:
        ConfigError: a column that is not there.
    """
    if levels is None:
        return list(range(columns))
    wanted = [levels] if isinstance(levels, int | np.integer) else list(levels)
    for level in wanted:
        if not 0 <= level < columns:
            raise ConfigError(f"levels holds {level}; the labels have columns 0 to {columns - 1}")
    if not wanted:
        raise ConfigError("levels is empty; name at least one label column, or leave it out")
    return sorted({int(level) for level in wanted})
