"""How many scores of a row lie above a pivot, a tie counting one half."""

from __future__ import annotations

from importlib import import_module

import torch
from torch import Tensor

from lookalike.ops import paths
from lookalike.ops.differences import difference_tiles


def count_above(scores: Tensor, pivots: Tensor, mask: Tensor | None = None) -> Tensor:
    """``sum_j [s_j > p] + 1/2 [s_j = p]``.

    Args:
        scores: ``(c, M)``; ``-inf`` never counts.
        pivots: ``(c, P)``.
        mask: ``(c, M)`` False for scores that do not count.

    Returns:
        ``(c, P)``.

    >>> import torch
    >>> count_above(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[2.0, 0.0]]))
    tensor([[1.5000, 3.0000]])
    """
    if mask is not None:
        scores = torch.where(mask, scores, -torch.inf)
    if paths.triton_suits(scores):
        return import_module("lookalike.ops.triton_bins").count_above(scores, pivots)
    counts = torch.empty_like(pivots)
    for rows, x, _ in difference_tiles(scores, pivots):
        # The sign is 1, 0 or -1: half of it, plus a half, is what each score counts.
        torch.sum(x.sign_(), dim=2, out=counts[rows])
    return counts.add_(scores.shape[1]).mul_(0.5)


def mix_above_(scores: Tensor, pivots: Tensor, weights: Tensor) -> Tensor:
    """Replace each score by ``sum_i weights[b, i] * ([s_j > p_i] + 1/2 [s_j = p_i])``.

    Args:
        scores: ``(c, M)``, overwritten.
        pivots: ``(c, P)``.
        weights: ``(c, P)``.
    """
    if paths.triton_suits(scores):
        return import_module("lookalike.ops.triton_bins").mix_above_(scores, pivots, weights)
    half = weights * 0.5
    for rows, x, _ in difference_tiles(scores, pivots):
        torch.bmm(half[rows, None, :], x.sign_(), out=scores[rows, None, :])
    return scores.add_(half.sum(dim=1, keepdim=True))
