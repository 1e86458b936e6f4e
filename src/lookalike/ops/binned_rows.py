"""From rows of scores to per-query losses of their soft histograms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lookalike.ops.histograms import Bins, histogram, histogram_slopes_
from lookalike.ops.positives import Positives


class BinnedRows:
    """The row function (see :mod:`lookalike.ops.row_losses`) of a score of two histograms.

    Args:
        positives: the matches of every query.
        bins: where the bins lie.
        score: from the histograms of the positives and of all items, ``(c, bins)`` each and the
            best bin first, to ``(c,)`` scores; differentiated by autograd.
        distance: replace every score ``s`` by ``1 - sqrt(2.001 - 2 s)`` first.

    Work is ``B·M``, whatever the number of bins.
    """

    def __init__(
        self,
        positives: Positives,
        bins: Bins,
        score: Callable[[Tensor, Tensor], Tensor],
        distance: bool = False,
    ) -> None:
        self.positives = positives
        self.bins = bins
        self.score = score
        self.distance = distance

    def __call__(self, scores: Tensor, start: int, weights: Tensor | None) -> Tensor:
        """``1 - score`` of each row, 0 where there is no positive."""
        slope = None
        if self.distance:
            root = (2.001 - 2 * scores).sqrt_()
            slope = root.reciprocal()
            torch.sub(1, root, out=scores)
        stop = start + len(scores)
        positives = self.positives.rows(start, stop)
        self.positives.leave_out_(scores, start)
        left = self.positives.left(scores, start)
        own = scores.gather(1, positives.index)
        every = histogram(scores, self.bins)
        # What is absent lies beyond the last bin and was counted there.
        every[:, -1:] -= scores.shape[1] - left
        matching = histogram(own, self.bins, positives.mask)
        exists = positives.mask.any(dim=1)
        with torch.set_grad_enabled(weights is not None):
            every.requires_grad_(weights is not None)
            matching.requires_grad_(weights is not None)
            losses = torch.where(exists, 1 - self.score(matching, every), 0.0)
            if weights is None:
                return losses
            by_matching, by_every = torch.autograd.grad(losses @ weights, (matching, every))
        histogram_slopes_(scores, self.bins, by_every)
        histogram_slopes_(own, self.bins, by_matching)
        scores.scatter_add_(1, positives.index, own * positives.mask)
        if slope is not None:
            scores.mul_(slope)
        return losses.detach()
