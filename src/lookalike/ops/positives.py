"""Which references match each query, as padded column lists made from labels, not from masks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lookalike.ops import native_kernels
from lookalike.ops.labels import DISTRACTOR
from lookalike.ops.sizes import Sizes, sizes

SelfRole = Literal["positive", "competitor", "absent"]


@dataclass(frozen=True)
class RowPositives:
    """The positives of some queries.

    Attributes:
        index: ``(c, P)`` columns, rows padded by their first entry; P is the largest count.
        mask: ``(c, P)``, False on the padding.
        level: ``(c, P)`` uint8, how many label columns agree (1 .. L), 0 on the padding.
        count: ``(c,)`` positives of each query.
        sizes: the same in the machine's memory, for what depends on them without asking a device.
    """

    index: Tensor
    mask: Tensor
    level: Tensor
    count: Tensor
    sizes: np.ndarray

    @property
    def is_full(self) -> bool:
        """Whether there is no padding."""
        return bool((self.sizes == self.index.shape[1]).all())

    def take_falling_(self, scores: Tensor) -> tuple[Tensor, RowPositives]:
        """Take the scores of the positives out of their rows, where -inf replaces them.

        Args:
            scores: ``(c, M)``, overwritten, as may be these positives.

        Returns:
            ``(c, P)`` the scores in falling order, finite on the padding, which may come anywhere;
            and the positives in that order.
        """
        parts = self.index, self.mask, self.level
        if native_kernels.suits(scores):
            own, index, mask, level = native_kernels.take_falling_(scores, *parts)
            return own, RowPositives(index, mask, level, self.count, self.sizes)
        own, order = scores.gather(1, self.index).sort(dim=1, descending=True)
        scores.scatter_(1, self.index, -math.inf)
        index, mask, level = (part.gather(1, order) for part in parts)
        return own, RowPositives(index, mask, level, self.count, self.sizes)

    def groups(self, many: float = math.inf) -> Iterator[tuple[Tensor | None, RowPositives]]:
        """Rows of similar numbers of positives, with little padding.

        Args:
            many: from so many positives on, no table of their pairs is made.

        Yields:
            Row numbers and their positives; None, once, when one group holds all rows. Rows without
            positives come as a group of width 0.
        """
        room = sizes(self.index.device)
        ordered = np.sort(self.sizes)
        least, most = int(ordered[0]), int(ordered[-1])
        is_even = most <= least + 8 or ordered.mean() >= (1 - room.padding) * most
        if least and is_even and len(ordered) <= _rows(most, many, room):
            yield None, self
            return
        order = torch.argsort(self.count, stable=True)
        start = 0
        while start < len(ordered):
            least = int(ordered[start])
            limit = 0 if least == 0 else max(2 * least, least + 8)
            stop = int(np.searchsorted(ordered, limit, side="right"))
            if limit:
                stop = min(stop, start + _rows(int(ordered[stop - 1]), many, room))
            rows, width = order[start:stop], int(ordered[stop - 1])
            index, mask, level = (t[rows, :width] for t in (self.index, self.mask, self.level))
            few = RowPositives(index, mask, level, self.count[rows], ordered[start:stop])
            yield rows, few
            start = stop


def _rows(positives: int, many: float, room: Sizes) -> int:
    """How many rows of so many positives make a group."""
    if positives < many:
        return max(1, room.table // positives**2)
    return max(1, room.entries // positives)


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
        if own is None and self_role != "positive":
            own = torch.arange(len(query_labels), device=query_labels.device)
        self.own = own
        pairs = zip(query_labels.T, reference_labels.T, strict=True)
        self._groups = [_Group(*pair) for pair in pairs]
        counts = self._groups[0].counts[None]
        if len(self._groups) > 1:
            counts = torch.stack([group.counts for group in self._groups])
        if candidates is not None:
            found = zip(self.query_codes.T, self.reference_codes, strict=True)
            counts = torch.stack([((q[:, None] == r) & candidates).sum(dim=1) for q, r in found])
        if own is not None and self_role != "positive":
            counts = counts - (own >= 0).long()
        counts = counts * (query_labels.T != DISTRACTOR)
        # All that is asked of the labels' device, at once.
        self._sizes = counts.numpy(force=True)
        self.exists = (counts > 0).any(dim=0)
        """``(B,)``, whether the query has a positive at all."""
        self.existing = int((self._sizes > 0).any(axis=0).sum())
        """How many have."""
        self.largest = int(self._sizes.max(initial=0))
        """The most positives at any one level: 0 means that no query has any."""
        self.counts = counts[0]
        """``(B,)`` positives of each query at the first level."""

    @cached_property
    def query_codes(self) -> Tensor:
        """``(B, L)`` int32, the labels numbered; -1 where a query has no references."""
        return torch.stack([group.query for group in self._groups], dim=1)

    @cached_property
    def reference_codes(self) -> Tensor:
        """``(L, M)`` int32, the same numbers."""
        return torch.stack([group.reference for group in self._groups])

    @cached_property
    def own_place(self) -> Tensor | None:
        """``(B,)`` where each query is left out of the sorted references; beyond them if it isn't.

        None where no query is left out.
        """
        if self.own is None or self.self_role == "positive":
            return None
        order = self._groups[0].order
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=rank.device)
        return torch.where(self.own >= 0, rank[self.own.clamp(min=0)], len(order))

    @property
    def levels(self) -> int:
        """L, the number of label columns."""
        return self.query_labels.shape[1]

    def rows(self, start: int, stop: int) -> RowPositives:
        """The positives of queries ``start .. stop - 1``."""
        if self.levels == 1 and self.candidates is None:
            return self._rows_by_sort(start, stop)
        return self._rows_by_comparison(start, stop)

    def leave_out_(self, scores: Tensor, start: int) -> None:
        """Write ``-inf`` over the references that are absent, in the rows from ``start`` on."""
        if self.candidates is not None:
            scores.masked_fill_(~self.candidates[start : start + len(scores)], -math.inf)
        elif self.self_role == "absent":
            self._write_own_(scores, start, -math.inf)

    def left(self, scores: Tensor, start: int) -> Tensor:
        """``(c, 1)``, of the scores' type: how many references remain in rows from ``start`` on."""
        part = slice(start, start + len(scores))
        if self.candidates is not None:
            return self.candidates[part].sum(dim=1, keepdim=True).to(scores.dtype)
        left = scores.new_full((len(scores), 1), scores.shape[1])
        if self.self_role == "absent" and self.own is not None:
            left -= (self.own[part, None] >= 0).to(left.dtype)
        return left

    def _write_own_(self, matrix: Tensor, start: int, value: float) -> None:
        """A value in the own column of each query from ``start`` on that has one."""
        if self.own is None:
            return
        own = self.own[start : start + len(matrix), None]
        column = own.clamp(min=0)
        matrix.scatter_(1, column, matrix.gather(1, column).masked_fill_(own >= 0, value))

    def _rows_by_sort(self, start: int, stop: int) -> RowPositives:
        group, place = self._groups[0], self.own_place
        count, sizes = self.counts[start:stop], self._sizes[0, start:stop]
        width = int(sizes.max())
        first, own_place = group.first[start:stop], None if place is None else place[start:stop]
        slot = torch.arange(width, device=count.device)
        mask = slot < count[:, None]
        level = mask.view(torch.uint8)
        if native_kernels.suits(group.order, dtype=torch.long):
            index = native_kernels.sorted_columns(group.order, first, count, own_place, width)
            return RowPositives(index, mask, level, count, sizes)
        at = slot * mask + first[:, None]
        if own_place is not None:
            at += at >= own_place[:, None]
        if not sizes.all():
            # A row without positives may sit at the very end of the sorted labels.
            at.clamp_(max=len(group.order) - 1)
        index = group.order[at]
        return RowPositives(index, mask, level, count, sizes)

    def _rows_by_comparison(self, start: int, stop: int) -> RowPositives:
        level = shared_levels(self.query_codes[start:stop], self.reference_codes)
        if self.self_role != "positive":
            self._write_own_(level, start, 0)
        if self.candidates is not None:
            level *= self.candidates[start:stop]
        count = torch.count_nonzero(level, dim=1)
        sizes = count.numpy(force=True)
        width = int(sizes.max(initial=0))
        mask = torch.arange(width, device=count.device) < count[:, None]
        if native_kernels.suits(level, dtype=torch.uint8):
            index, own = native_kernels.matching_columns(level, width)
            return RowPositives(index, mask, own, count, sizes)
        row, column = _places(level, int(sizes.sum()))
        slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        index = row.new_zeros(stop - start, width)
        index[row, slot] = column
        index = torch.where(mask, index, index[:, :1])
        return RowPositives(index, mask, level.gather(1, index) * mask, count, sizes)


def _places(matrix: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Row and column of each of so many entries that are not 0."""
    row, column = torch.nonzero_static(matrix, size=number).unbind(1)
    return row, column


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


class _Group:
    """The references of one label column, and where each query's are among them.

    Attributes:
        order: ``(M,)`` the references sorted by label.
        first, counts: ``(B,)`` each query's first place there, and how many it has.
    """

    def __init__(self, query: Tensor, reference: Tensor) -> None:
        self._query, self._reference = query.contiguous(), reference.contiguous()
        self._ordered, self.order = torch.sort(self._reference, stable=True)
        self.first = torch.searchsorted(self._ordered, self._query)
        self.counts = torch.searchsorted(self._ordered, self._query, right=True) - self.first

    @property
    def query(self) -> Tensor:
        """``(B,)`` int32 codes, equal to a reference's where the labels are; -1 for no class."""
        is_found = (self.counts > 0) & (self._query != DISTRACTOR)
        return torch.where(is_found, self.first, -1).int()

    @property
    def reference(self) -> Tensor:
        """``(M,)`` int32 codes."""
        return torch.searchsorted(self._ordered, self._reference).int()
