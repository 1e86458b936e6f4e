"""Which pairs a pair loss looks at: all of them, or those a miner chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lookalike.errors import LookalikeError, counted
from lookalike.losses.inputs import Pairing
from lookalike.ops.labels import DISTRACTOR, same_label


@dataclass(frozen=True)
class Pairs:
    """Positive and negative pairs as masks.

    Attributes:
        positive: ``(B, M)`` bool, whether reference j is a positive of query i.
        negative: ``(B, M)`` bool.
    """

    positive: Tensor
    negative: Tensor


@dataclass(frozen=True)
class Shares:
    """How often each pair counts, of some queries.

    Attributes:
        positive: ``(c, M)`` of the type of the scores, 0 where reference j is no positive.
        negative: ``(c, M)``.
    """

    positive: Tensor
    negative: Tensor


@dataclass(frozen=True)
class Every:
    """All pairs of some labels, as masks of any few rows.

    Attributes:
        query: ``(B,)`` labels.
        reference: ``(M,)``.
        own: ``(B,)`` the reference that is each query itself, which is in no pair; None: none is.
    """

    query: Tensor
    reference: Tensor
    own: Tensor | None
    _kept: dict[torch.dtype, Any] = field(default_factory=dict)

    def rows(self, part: slice = slice(None)) -> Pairs:
        """The pairs of some queries: a distractor -1 is in none but as a negative."""
        query = self.query[part]
        same = same_label(query, self.reference)
        negative = ~same & (query != DISTRACTOR)[:, None]
        if self.own is not None:
            own = self.own[part, None]
            same, negative = same.scatter_(1, own, False), negative.scatter_(1, own, False)
        return Pairs(same, negative)

    def shares(self, part: slice, like: Tensor) -> Shares:
        """The same as numbers of the type of ``like``.

        On a CPU labels are compared as numbers of that type, which takes a tenth of the time of
        making masks and turning them into numbers.
        """
        if like.device.type != "cpu":
            pairs = self.rows(part)
            return Shares(pairs.positive.to(like.dtype), pairs.negative.to(like.dtype))
        query, reference = self._numbers(like.dtype)
        query = query[part, None]
        positive = torch.eq(query, reference, out=like.new_empty(len(query), len(reference)))
        negative = torch.rsub(positive, 1.0)
        if (self.query[part] == DISTRACTOR).any():
            negative *= ~query.isnan()
        if self.own is not None:
            own = self.own[part, None]
            positive.scatter_(1, own, 0.0)
            negative.scatter_(1, own, 0.0)
        return Shares(positive, negative)

    def _numbers(self, kind: torch.dtype) -> tuple[Tensor, Tensor]:
        """Small numbers in place of the labels; NaN, which equals nothing, for a distractor."""
        if kind not in self._kept:
            both = torch.cat([self.query, self.reference])
            numbers = both.unique(return_inverse=True)[1].to(kind)
            numbers[both == DISTRACTOR] = torch.nan
            self._kept[kind] = numbers.split([len(self.query), len(self.reference)])
        return self._kept[kind]


@dataclass(frozen=True)
class Mined:
    """Pairs as index vectors, in which one pair may stand more than once.

    Attributes:
        indices: anchors, positives, anchors, negatives.
        triplets: whether the two halves go together, entry by entry.
    """

    indices: tuple[Tensor, Tensor, Tensor, Tensor]
    triplets: bool

    def repeats(self, references: int) -> bool:
        """Whether a pair is listed more than once."""
        a1, p, a2, n = self.indices
        codes = a1 * references + p, a2 * references + n
        return any(len(code.unique()) < len(code) for code in codes)


@dataclass(frozen=True)
class OwnCopies:
    """Which references are the queries themselves; our losses take it as ``indices_tuple``.

    For a pair loss it stands for all pairs but those of a query with its copy.

    Attributes:
        columns: ``(B,)`` the reference that is a copy of each query, with its labels.
    """

    columns: Tensor

    def pairs(self, query: Tensor, reference: Tensor) -> Every:
        """The pairs of labels ``(B,)`` and ``(M,)``."""
        return Every(query, reference, self.columns)

    def indices(self, query: Tensor, reference: Tensor) -> tuple[Tensor, ...]:
        """The same pairs as PML writes them: anchors, positives, anchors, negatives."""
        pairs = self.pairs(query, reference).rows()
        return (*pairs.positive.nonzero(as_tuple=True), *pairs.negative.nonzero(as_tuple=True))


def all_pairs(batch: Pairing, level: int) -> Every:
    """Every pair of a batch at one level; a query and itself are none."""
    query, reference = batch.level(level)
    return Every(
        query, reference, torch.arange(len(query), device=query.device) if batch.is_self else None
    )


def chosen(loss: str, batch: Pairing, level: int, indices_tuple: Any) -> Every | Mined:
    """The pairs a call asks for: all, all but own copies, or PML's tuple of pairs or triplets."""
    if indices_tuple is None:
        return all_pairs(batch, level)
    if isinstance(indices_tuple, OwnCopies):
        return indices_tuple.pairs(*batch.level(level))
    return _mined(loss, batch, indices_tuple)


def among(loss: str, batch: Pairing, indices_tuple: Any) -> Pairing:
    """A pairing whose queries are ranked among the references an ``indices_tuple`` names.

    PML's tuple lists pairs, and a rank loss ranks a query among the references that it is paired
    with, as positive or negative alike: a pair that is not listed does not exist. Who matches whom
    is a matter of the labels. So inside PML's ``CrossBatchMemory``, whose tuple leaves out each
    query's own copy, the query is no longer its own first positive.

    Args:
        loss: its name, for messages.
        batch: queries with a reference set.
        indices_tuple: as :func:`chosen` takes it, ``OwnCopies`` included: then nothing is left out
            but the copies are known, for ``include_self`` to decide.
    """
    if isinstance(indices_tuple, OwnCopies):
        return replace(batch, own=indices_tuple.columns)
    shape = torch.Size((len(batch.query), len(batch.reference)))
    pairs = as_masks(_mined(loss, batch, indices_tuple), shape)
    return replace(batch, candidates=pairs.positive | pairs.negative)


def _mined(loss: str, batch: Pairing, indices_tuple: Any) -> Mined:
    return listed(loss, indices_tuple, len(batch.query), len(batch.reference), batch.query.device)


def listed(
    loss: str, indices_tuple: Any, queries: int, references: int, device: torch.device
) -> Mined:
    """PML's tuple of pairs or triplets, its numbers checked."""
    if not isinstance(indices_tuple, (tuple, list)) or len(indices_tuple) not in (3, 4):
        raise LookalikeError(
            f"{loss}: indices_tuple must be (anchors, positives, negatives) or (anchors, "
            f"positives, anchors, negatives), not {type(indices_tuple).__name__}."
        )
    parts = [torch.as_tensor(part, device=device, dtype=torch.long) for part in indices_tuple]
    if len(parts) == 3:
        parts = [parts[0], parts[1], parts[0], parts[2]]
    a1, p, a2, n = parts
    for name, part, size in (
        ("anchor", a1, queries),
        ("positive", p, references),
        ("anchor", a2, queries),
        ("negative", n, references),
    ):
        if part.numel() and not 0 <= int(part.min()) <= int(part.max()) < size:
            raise LookalikeError(
                f"{loss}: indices_tuple names {name} {int(part.min())} to {int(part.max())}, but "
                f"there are {size}, numbered from 0. Mine in the embeddings the loss is given."
            )
    if len(a1) != len(p) or len(a2) != len(n):
        raise LookalikeError(
            f"{loss}: indices_tuple has {counted(len(a1), 'anchor')} for"
            f" {counted(len(p), 'positive')} and {len(a2)} "
            f"for {counted(len(n), 'negative')}; they go in pairs."
        )
    return Mined((a1, p, a2, n), triplets=len(indices_tuple) == 3)


def triplets_of(indices: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Anchors, positives and negatives: of pairs every positive with every negative of its anchor.

    A pair that is listed twice gives every triplet of it twice, as it counts with the peer.
    """
    if len(indices) == 3:
        return indices[0], indices[1], indices[2]
    a1, p, a2, n = indices
    order = torch.argsort(a2, stable=True)
    start, stop = (torch.searchsorted(a2[order], a1, right=side) for side in (False, True))
    count = stop - start
    first = torch.repeat_interleave(torch.arange(len(a1), device=a1.device), count)
    offset = torch.arange(len(first), device=a1.device) - (count.cumsum(0) - count)[first]
    return a1[first], p[first], n[order[start[first] + offset]]


def joined(one: Sequence[Tensor], other: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Two tuples of indices as one, in the form of the first."""
    if len(one) == 3:
        other = triplets_of(other)
    elif len(other) == 3:
        other = other[0], other[1], other[0], other[2]
    return tuple(torch.cat([a, b.to(a)]) for a, b in zip(one, other, strict=True))


def without_copies(indices: Sequence[Tensor], own: Tensor) -> tuple[Tensor, ...]:
    """Indices without the pairs of a query and the reference that is itself.

    Args:
        indices: three or four vectors.
        own: ``(B,)`` the reference that is each query's copy.
    """
    kept = indices[1] != own[indices[0]]
    if len(indices) == 3:
        return tuple(part[kept] for part in indices)
    return indices[0][kept], indices[1][kept], indices[2], indices[3]


def in_bank(loss: str, indices: Any, own: Tensor) -> tuple[Tensor, ...]:
    """Indices of a batch against itself as indices of the batch against the bank that holds it.

    Args:
        loss: its name, for messages.
        indices: three or four vectors.
        own: ``(B,)`` the bank's row of each image of the batch.
    """
    mined = listed(loss, indices, len(own), len(own), own.device)
    a1, p, a2, n = mined.indices
    return (a1, own[p], own[n]) if mined.triplets else (a1, own[p], a2, own[n])


def as_masks(pairs: Every | Mined, shape: torch.Size) -> Pairs:
    """The pairs as masks; a pair that was listed twice counts once."""
    if isinstance(pairs, Every):
        return pairs.rows()
    a1, p, a2, n = pairs.indices
    positive = torch.zeros(shape, dtype=torch.bool, device=a1.device)
    negative = torch.zeros_like(positive)
    positive[a1, p] = True
    negative[a2, n] = True
    return Pairs(positive, negative)


def as_shares(pairs: Every | Mined, like: Tensor) -> Shares:
    """How often each pair of a matrix counts; a pair that was listed twice counts twice."""
    if isinstance(pairs, Every):
        return pairs.shares(slice(None), like)
    a1, p, a2, n = pairs.indices
    positive, negative = torch.zeros_like(like), torch.zeros_like(like)
    for matrix, at in ((positive, (a1, p)), (negative, (a2, n))):
        matrix.index_put_(at, matrix.new_ones(()), accumulate=True)
    return Shares(positive, negative)
