"""Which references match each query, as padded column lists made from labels, not from masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

# Entries of the P × P tables of one group of rows: 16 MB in float32.
TABLE = 1 << 22

SelfRole = Literal["positive", "competitor", "absent"]


@dataclass(frozen=True)
class RowPositives:
    """The positives of some queries.

    Attributes:
        index: ``(c, P)`` columns, rows padded by their first entry; P is the largest count.
        mask: ``(c, P)``, False on the padding.
        level: ``(c, P)`` int64, how many label columns agree (1 .. L), 0 on the padding.
    """

    index: Tensor
    mask: Tensor
    level: Tensor

    @property
    def count(self) -> Tensor:
        """``(c,)`` positives of each query."""
        return self.mask.sum(dim=1)

    def groups(self) -> Iterator[tuple[Tensor | None, RowPositives]]:
        """Rows of similar numbers of positives, with little padding.

        Yields:
            Row numbers and their positives; None, once, when one group holds all rows. Rows without
            positives come as a group of width 0.
        """
        ordered, order = torch.sort(self.count, stable=True)
        sizes = ordered.tolist()
        if sizes[0] and sizes[-1] <= sizes[0] + 8 and len(sizes) * sizes[-1] ** 2 <= TABLE:
            yield None, self
            return
        start = 0
        while start < len(sizes):
            limit = 0 if sizes[start] == 0 else max(2 * sizes[start], sizes[start] + 8)
            stop = int(torch.searchsorted(ordered, limit, right=True))
            if limit:
                stop = min(stop, start + max(1, TABLE // sizes[stop - 1] ** 2))
            rows, width = order[start:stop], sizes[stop - 1]
            parts = (t[rows, :width] for t in (self.index, self.mask, self.level))
            yield rows, RowPositives(*parts)
            start = stop


class Positives:
    """The positives of every query: references that share at least one label column.

    Args:
        query_labels: ``(B, L)`` int64, column 0 the finest level.
        reference_labels: ``(M, L)``.
        self_role: what column i is to query i: an ordinary ``"positive"``, a mere
            ``"competitor"``, or ``"absent"`` from the ranking. Only for a batch ranked against
            itself; otherwise leave ``"positive"``, which treats column i as any other.

    The lists of one label column come from one sort of the labels, ``O(M log M)``; of several,
    which need not be nested, from comparing ``c × M`` labels a chunk.

    >>> import torch
    >>> positives = Positives(torch.tensor([[7], [8]]), torch.tensor([[8], [7], [8]]))
    >>> positives.rows(0, 2).index.tolist()
    [[1, 1], [0, 2]]
    """

    def __init__(
        self, query_labels: Tensor, reference_labels: Tensor, self_role: SelfRole = "positive"
    ) -> None:
        self.query_labels = query_labels
        self.reference_labels = reference_labels
        self.self_role: SelfRole = self_role
        groups = [_group(q, r) for q, r in zip(query_labels.T, reference_labels.T, strict=True)]
        own = 0 if self_role == "positive" else 1
        counts = torch.stack([count for _, _, count in groups]) - own
        self.order, self.first, _ = groups[0]
        self.exists = (counts > 0).any(dim=0)
        """``(B,)``, whether the query has a positive at all."""
        self.largest = int(counts.max()) if counts.numel() else 0
        """The most positives at any one level: 0 means that no query has any."""
        self.counts = counts[0]

    @property
    def levels(self) -> int:
        """L, the number of label columns."""
        return self.query_labels.shape[1]

    def rows(self, start: int, stop: int) -> RowPositives:
        """The positives of queries ``start .. stop - 1``."""
        if self.levels == 1:
            return self._rows_of_one_level(start, stop)
        return self._rows_of_all_levels(start, stop)

    def _rows_of_one_level(self, start: int, stop: int) -> RowPositives:
        count = self.counts[start:stop]
        width = int(count.max())
        slot = torch.arange(width, device=count.device).expand(stop - start, width)
        mask = slot < count[:, None]
        place = torch.where(mask, slot, 0) + self.first[start:stop, None]
        if self.self_role != "positive":
            own = torch.empty_like(self.order)
            own[self.order] = torch.arange(len(self.order), device=own.device)
            place = place + (place >= own[start:stop, None])
        # A row without positives may sit at the very end of the sorted labels.
        index = self.order[place.clamp(max=len(self.order) - 1)]
        return RowPositives(index, mask, mask.long())

    def _rows_of_all_levels(self, start: int, stop: int) -> RowPositives:
        query = self.query_labels[start:stop]
        level = torch.zeros(
            stop - start, len(self.reference_labels), dtype=torch.uint8, device=query.device
        )
        for column in range(self.levels):
            level += query[:, column, None] == self.reference_labels[None, :, column]
        if self.self_role != "positive":
            own = torch.arange(stop - start, device=query.device)
            level[own, own + start] = 0
        row, column = level.nonzero(as_tuple=True)
        count = torch.bincount(row, minlength=stop - start)
        slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        width = int(count.max()) if len(count) else 0
        index = row.new_zeros(stop - start, width)
        index[row, slot] = column
        mask = torch.arange(width, device=row.device) < count[:, None]
        index = torch.where(mask, index, index[:, :1])
        return RowPositives(index, mask, level.gather(1, index).long() * mask)


def _group(query: Tensor, reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The references sorted by label, and each query's first place and count among them."""
    ordered, order = torch.sort(reference, stable=True)
    query = query.contiguous()
    first = torch.searchsorted(ordered, query)
    return order, first, torch.searchsorted(ordered, query, right=True) - first
