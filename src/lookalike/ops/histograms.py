"""Soft histograms of rows of scores: each score shares itself between its two nearest bins.

Bin centres run from ``high`` down to ``low``; scores beyond them count wholly in the end bins. A
score touches two bins, so a row of ``M`` costs ``M``, whatever the number of bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from lookalike.ops import native_kernels, paths


@dataclass(frozen=True)
class Bins:
    """``number`` bin centres from ``high`` down to ``low``, evenly spaced."""

    number: int
    low: float
    high: float

    @property
    def density(self) -> float:
        """Bins per unit of score."""
        return (self.number - 1) / (self.high - self.low)


def histogram(scores: Tensor, bins: Bins, keep: Tensor | None = None) -> Tensor:
    """Shares of each row's scores in every bin.

    Args:
        scores: ``(c, M)``.
        bins: where the bins lie.
        keep: ``(c, M)`` False for scores that do not count; None keeps all.

    Returns:
        ``(c, bins)``; each row sums to the number of its scores that count.

    >>> import torch
    >>> histogram(torch.tensor([[0.9, 0.0, -1.0]]), Bins(3, -1, 1))
    tensor([[0.9000, 1.1000, 1.0000]])
    """
    if keep is None and bins.number <= native_kernels.MOST_BINS and native_kernels.suits(scores):
        return native_kernels.histogram(scores, bins)
    if keep is None and paths.triton_suits(scores):
        return _triton().histogram(scores, bins)
    bucket, below = _place(scores, bins)
    shares = scores.new_zeros(len(scores), bins.number + 2)
    above = 1 - below
    if keep is not None:
        above, below = above * keep, below * keep
    shares.scatter_add_(1, bucket, above)
    shares.scatter_add_(1, bucket + 1, below)
    # Bucket 0 lies beyond the first bin and gives all to it.
    shares[:, 1] += shares[:, 0]
    return shares[:, 1:-1]


def histogram_slopes_(scores: Tensor, bins: Bins, by_bin: Tensor) -> Tensor:
    """Replace each score by the derivative of ``sum_q by_bin[b, q] * histogram[b, q]``.

    Args:
        scores: ``(c, M)``, overwritten.
        bins: where the bins lie.
        by_bin: ``(c, bins)``.
    """
    table = scores.new_zeros(len(scores), bins.number + 1)
    table[:, 1:-1] = (by_bin[:, :-1] - by_bin[:, 1:]) * bins.density
    if native_kernels.suits(scores):
        return native_kernels.histogram_slopes_(scores, bins, table)
    if paths.triton_suits(scores):
        return _triton().histogram_slopes_(scores, bins, table)
    bucket, _ = _place(scores, bins)
    return torch.gather(table, 1, bucket, out=scores)


def _triton() -> ModuleType:
    return import_module("lookalike.ops.triton_bins")


def _place(scores: Tensor, bins: Bins) -> tuple[Tensor, Tensor]:
    """The bucket of each score and the share that falls to the bucket's lower bin.

    Bucket ``k`` lies between bins ``k - 1`` and ``k``; 0 and ``bins`` are beyond the ends.
    """
    depth = (bins.high - scores) * bins.density
    floor = depth.floor().clamp_(-1, bins.number - 1)
    below = (depth - floor).clamp_(0, 1)
    below = torch.where((floor < 0) | (floor >= bins.number - 1), 0.0, below)
    return floor.long() + 1, below
