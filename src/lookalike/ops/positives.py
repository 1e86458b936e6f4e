"""Which references match each query, as padded column lists made from labels, not from masks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lookalike.ops import native_kernels
from lookalike.ops.labels import DISTRACTOR

# Entries of the P × P tables of one group of rows: 16 MB in float32. Where there are so many
# positives that no such table is made, some dozen arrays with one for each.
TABLE = 1 << 22
ARRAYS = 32

SelfRole = Literal["positive", "competitor", "absent"]


@dataclass(frozen=True)
class RowPositives:
    """The positives of some queries.

    Attributes:
        index: ``(c, P)`` columns, rows padded by their first entry; P is the largest count.
        mask: ``(c, P)``, False on the padding.
        level: ``(c, P)`` uint8, how many label columns agree (1 .. L), 0 on the padding.
    """

    index: Tensor
    mask: Tensor
    level: Tensor

    @property
    def count(self) -> Tensor:
        """``(c,)`` positives of each query."""
        return self.mask.sum(dim=1)

    def take_falling_(self, scores: Tensor) -> tuple[Tensor, RowPositives]:
        """Take the scores of the positives out of their rows, where -inf replaces them.

        Args:
            scores: ``(c, M)``, overwritten, as may be these positives.

        Returns:
            ``(c, P)`` the scores in falling order, finite on the padding, which may come anywhere;
            and the positives in that order.
        """
        parts = (self.index, self.mask, self.level)
        if native_kernels.suits(scores):
            own, *parts = native_kernels.take_falling_(scores, *parts)
            return own, RowPositives(*parts)
        own, order = scores.gather(1, self.index).sort(dim=1, descending=True)
        scores.scatter_(1, self.index, -math.inf)
        return own, RowPositives(*(part.gather(1, order) for part in parts))

    def groups(self, many: float = math.inf) -> Iterator[tuple[Tensor | None, RowPositives]]:
        """Rows of similar numbers of positives, with little padding.

        Args:
            many: from so many positives on, no table of their pairs is made.

        Yields:
            Row numbers and their positives; None, once, when one group holds all rows. Rows without
            positives come as a group of width 0.
        """
        ordered, order = torch.sort(self.count, stable=True)
        sizes = ordered.tolist()
        if (
            sizes[0]
            and sizes[-1] <= sizes[0] + 8
            and len(sizes) * _entries(sizes[-1], many) <= TABLE
        ):
            yield None, self
            return
        start = 0
        while start < len(sizes):
            limit = 0 if sizes[start] == 0 else max(2 * sizes[start], sizes[start] + 8)
            stop = int(torch.searchsorted(ordered, limit, right=True))
            if limit:
                stop = min(stop, start + max(1, TABLE // _entries(sizes[stop - 1], many)))
            rows, width = order[start:stop], sizes[stop - 1]
            parts = (t[rows, :width] for t in (self.index, self.mask, self.level))
            yield rows, RowPositives(*parts)
            start = stop


def _entries(positives: int, many: float) -> int:
    return positives * (positives if positives < many else ARRAYS)


class Positives:
    """The positives of every query: references that share at least one label column.

    A label -1 is shared with nobody, as in the metrics: such a query has no positive, not even
    itself.

    Args:
        query_labels: ``(B, L)`` int64, column 0 the finest level.
        reference_labels: ``(M, L)``.
        self_role: what the query's own column is to it: an ordinary ``"positive"``, a mere
            ``"competitor"``, or ``"absent"`` from the ranking.
        own: ``(B,)`` the column of each query itself, which has its labels; -1 for none. None is
            column i for query i, a batch ranked against itself. Unused for ``"positive"``, which
            treats the own column as any other.
        candidates: ``(B, M)`` bool, False for references that are absent from a query's ranking;
            None is all. Not together with another ``self_role`` than ``"positive"``.

    The lists of one label column come from one sort of the labels, ``O(M log M)``; of several,
    which need not be nested, or with candidates, from comparing ``c × M`` labels a chunk.

    >>> import torch
    >>> positives = Positives(torch.tensor([[7], [8]]), torch.tensor([[8], [7], [8]]))
    >>> positives.rows(0, 2).index.tolist()
    [[1, 1], [0, 2]]
    """

    def __init__(
        self,
        query_labels: Tensor,
        reference_labels: Tensor,
        self_role: SelfRole = "positive",
        own: Tensor | None = None,
        candidates: Tensor | None = None,
    ) -> None:
        self.query_labels = query_labels
        self.reference_labels = reference_labels
        self.self_role: SelfRole = self_role
        self.candidates = candidates
        if own is None:
            own = torch.arange(len(query_labels), device=query_labels.device)
        self.own = own
        groups = [_group(q, r) for q, r in zip(query_labels.T, reference_labels.T, strict=True)]
        self.order, self.first = groups[0].order, groups[0].first
        self.query_codes = torch.stack([group.query for group in groups], dim=1)
        self.reference_codes = torch.stack([group.reference for group in groups])
        if candidates is None:
            counts = torch.stack([group.counts for group in groups])
        else:
            counts = torch.stack(
                [
                    ((query[:, None] == reference) & candidates).sum(dim=1)
                    for query, reference in zip(
                        self.query_codes.T, self.reference_codes, strict=True
                    )
                ]
            )
        # Where each query is left out of the sorted references; beyond them where it is not.
        self.own_place = torch.full_like(own, len(self.order))
        if self_role != "positive":
            counts = counts - (own >= 0).long()
            rank = torch.empty_like(self.order)
            rank[self.order] = torch.arange(len(self.order), device=rank.device)
            row, column = self._own_places(0, len(own))
            self.own_place[row] = rank[column]
        counts = counts * (query_labels.T != DISTRACTOR)
        self.exists = (counts > 0).any(dim=0)
        """``(B,)``, whether the query has a positive at all."""
        self.largest = int(counts.max()) if counts.numel() else 0
        """The most positives at any one level: 0 means that no query has any."""
        self.counts = counts[0]
        """``(B,)`` positives of each query at the first level."""

    @property
    def levels(self) -> int:
        """L, the number of label columns."""
        return self.query_labels.shape[1]

    def rows(self, start: int, stop: int) -> RowPositives:
        """The positives of queries ``start .. stop - 1``."""
        if self.levels == 1 and self.candidates is None:
            return self._rows_by_sort(start, stop)
        return self._rows_by_comparison(start, stop)

    def leave_out_(self, scores: Tensor, start: int) -> Tensor:
        """Write ``-inf`` over the references that are absent, in rows of scores from ``start`` on.

        Returns:
            ``(c, 1)``, of the scores' type: how many references remain in each row.
        """
        stop = start + len(scores)
        left = scores.new_full((len(scores), 1), scores.shape[1])
        if self.candidates is not None:
            part = self.candidates[start:stop]
            scores.masked_fill_(~part, -math.inf)
            left = part.sum(dim=1, keepdim=True).to(scores.dtype)
        elif self.self_role == "absent":
            row, column = self._own_places(start, stop)
            scores[row, column] = -math.inf
            left[row] -= 1
        return left

    def _own_places(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Row and column of the queries ``start .. stop - 1`` that have a column of their own."""
        own = self.own[start:stop]
        row = (own >= 0).nonzero().flatten()
        return row, own[row]

    def _rows_by_sort(self, start: int, stop: int) -> RowPositives:
        count = self.counts[start:stop]
        width = int(count.max())
        first, own_place = self.first[start:stop], self.own_place[start:stop]
        mask = torch.arange(width, device=count.device) < count[:, None]
        if native_kernels.suits(self.order, dtype=torch.long):
            index = native_kernels.sorted_columns(self.order, first, count, own_place, width)
            return RowPositives(index, mask, mask.to(torch.uint8))
        place = torch.arange(width, device=count.device) * mask + first[:, None]
        place += place >= own_place[:, None]
        # A row without positives may sit at the very end of the sorted labels.
        index = self.order[place.clamp(max=len(self.order) - 1)]
        return RowPositives(index, mask, mask.to(torch.uint8))

    def _rows_by_comparison(self, start: int, stop: int) -> RowPositives:
        level = shared_levels(self.query_codes[start:stop], self.reference_codes)
        if self.self_role != "positive":
            level[self._own_places(start, stop)] = 0
        if self.candidates is not None:
            level *= self.candidates[start:stop]
        count = torch.count_nonzero(level, dim=1)
        width = int(count.max()) if len(count) else 0
        mask = torch.arange(width, device=count.device) < count[:, None]
        if native_kernels.suits(level, dtype=torch.uint8):
            index, own = native_kernels.matching_columns(level, width)
            return RowPositives(index, mask, own)
        row, column = level.nonzero(as_tuple=True)
        slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        index = row.new_zeros(stop - start, width)
        index[row, slot] = column
        index = torch.where(mask, index, index[:, :1])
        return RowPositives(index, mask, level.gather(1, index) * mask)


def shared_levels(query: Tensor, reference: Tensor) -> Tensor:
    """How many label columns of each reference agree with each query.

    Args:
        query: ``(c, L)`` int32.
        reference: ``(L, M)`` int32.

    Returns:
        ``(c, M)`` uint8.

    >>> codes = torch.tensor([[1, 2]], dtype=torch.int32)
    >>> shared_levels(codes, torch.tensor([[1, 0, 1], [2, 2, 0]], dtype=torch.int32)).tolist()
    [[2, 1, 1]]
    """
    if native_kernels.suits(query, reference, dtype=torch.int32):
        return native_kernels.shared_levels(query, reference)
    level = torch.zeros(len(query), reference.shape[1], dtype=torch.uint8, device=query.device)
    for own, other in zip(query.T, reference, strict=True):
        level += own[:, None] == other
    return level


class _Group(NamedTuple):
    """The references of one label column, and where each query's are among them.

    Attributes:
        order: ``(M,)`` the references sorted by label.
        first, counts: ``(B,)`` each query's first place there, and how many it has.
        query, reference: ``(B,)`` and ``(M,)`` int32 codes, equal where the labels are the same and
            no distractor's; -1 where a query has no references.
    """

    order: Tensor
    first: Tensor
    counts: Tensor
    query: Tensor
    reference: Tensor


def _group(query: Tensor, reference: Tensor) -> _Group:
    ordered, order = torch.sort(reference, stable=True)
    query, reference = query.contiguous(), reference.contiguous()
    first = torch.searchsorted(ordered, query)
    count = torch.searchsorted(ordered, query, right=True) - first
    is_found = (count > 0) & (query != DISTRACTOR)
    codes = torch.searchsorted(ordered, reference).int()
    return _Group(order, first, count, torch.where(is_found, first, -1).int(), codes)
