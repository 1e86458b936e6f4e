"""The k largest dot products of each query with a gallery, for vectors that lie on a device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lookalike.ops.tiles import full_precision

_GROUP = 64  # columns whose largest score stands for them
_COLUMNS = 1 << 17  # gallery rows at a time
_BYTES = 1 << 30  # of a tile of scores on CUDA; a CPU's is smaller


def nearest(query: Tensor, gallery: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k gallery rows of the highest dot product with each query.

    A tile of scores is read once: of each group of 64 columns the maximum is kept, and the k
    groups with the largest maxima hold the k largest scores. Work is the product and one pass;
    memory one tile.

    Args:
        query: ``(B, D)`` floating point.
        gallery: ``(N, D)`` on the same device.
        k: how many, 1 … N.

    Returns:
        ``(B, k)`` scores in falling order, equal ones by rising row, and their int64 rows. Which of
        several rows with the score of the last come in is not fixed.

    >>> import torch
    >>> scores, rows = nearest(torch.eye(3)[:1], torch.eye(3), 1)
    >>> scores.tolist(), rows.tolist()
    ([[1.0]], [[0]])
    """
    if not 1 <= k <= len(gallery):
        raise ValueError(f"k must be 1 … {len(gallery)}, got {k}")
    columns = min(_COLUMNS, len(gallery))
    tile = _BYTES if query.is_cuda else _BYTES >> 5
    height = max(1, tile // (columns * query.element_size()))
    with full_precision():
        found = [_of_rows(part, gallery, k, columns) for part in query.split(height)]
    return torch.cat([scores for scores, _ in found]), torch.cat([rows for _, rows in found])


def _of_rows(query: Tensor, gallery: Tensor, k: int, columns: int) -> tuple[Tensor, Tensor]:
    """The same for queries whose scores with some columns are one tile."""
    best = query.new_empty(len(query), 0)
    rows = torch.empty(len(query), 0, dtype=torch.int64, device=query.device)
    for start in range(0, len(gallery), columns):
        scores = query @ gallery[start : start + columns].T
        values, places = _largest(scores, min(k, scores.shape[1]))
        best, rows = torch.cat([best, values], dim=1), torch.cat([rows, places + start], dim=1)
        if best.shape[1] > k:
            best, chosen = best.topk(k, dim=1)
            rows = rows.gather(1, chosen)
    rows, order = rows.sort(dim=1)
    best, last = best.gather(1, order).sort(dim=1, descending=True, stable=True)
    return best, rows.gather(1, last)


def _largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, in any order, and their columns."""
    groups = -(-scores.shape[1] // _GROUP)
    if groups <= 2 * k:
        return scores.topk(k, dim=1)
    padding = groups * _GROUP - scores.shape[1]
    padded = F.pad(scores, (0, padding), value=-torch.inf) if padding else scores
    grouped = padded.view(len(scores), groups, _GROUP)
    leading = grouped.amax(dim=2).topk(k, dim=1).indices
    members = grouped.gather(1, leading[:, :, None].expand(-1, -1, _GROUP)).flatten(1)
    values, chosen = members.topk(k, dim=1)
    return values, leading.gather(1, chosen // _GROUP) * _GROUP + chosen % _GROUP
