"""Tiles of differences between the scores of a row and its pivots, small enough for a cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lookalike.ops.sizes import sizes


def difference_tiles(
    scores: Tensor, pivots: Tensor, unit: float = 1.0
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """``(scores[b, j] - pivots[b, i]) / unit``, a few rows at a time.

    Args:
        scores: ``(c, M)``.
        pivots: ``(c, P)``.
        unit: what the differences are measured in.

    Yields:
        The rows, their ``(rows, P, M)`` differences, and a buffer of the same shape; both may be
        written to, and are used again for the next tile.
    """
    rows, width = scores.shape
    depth = pivots.shape[1]
    row_bytes = max(1, depth * width * scores.element_size())
    step = max(1, min(rows, sizes(scores.device).tile // row_bytes))
    buffer, work = (scores.new_empty(step, depth, width) for _ in range(2))
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        size = part.stop - start
        s, p = scores[part], pivots[part]
        if unit != 1.0:
            s, p = s / unit, p / unit
        x = torch.sub(s[:, None, :], p[:, :, None], out=buffer[:size])
        yield part, x, work[:size]
