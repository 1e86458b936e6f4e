"""From rows of scores to losses of exact ranks, differentiated by blackbox interpolation.

Vlastelica et al., *Differentiation of blackbox combinatorial solvers*, ICLR 2020; Rolínek et al.,
*Optimizing rank-based metrics with blackbox differentiation*, CVPR 2020 (arXiv 1912.03500). With
``R`` the rank divided by the number of items and ``g = d loss / d R``,
``d loss / d s = -(R(s) - R(s + lambda g)) / (lambda + 1e-8)``. Only positives have a ``g``, so no
sort is needed: an item's rank changes by the positives that overtake it. Ties share their mean
rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lookalike.ops.positives import Positives, RowPositives
from lookalike.ops.tie_counts import count_above, mix_above_


class BlackboxRows:
    """The row function (see :mod:`lookalike.ops.row_losses`) of a loss of exact ranks.

    Args:
        positives: the matches of every query.
        lambda_: how far the scores are moved along the gradient of the ranks.
        margin: positives are lowered and the others raised by half of it times the noise.
        noise: ``(B, M)`` non-negative, or None for 1 everywhere.
        loss: from ranks ``(c, P)``, ranks among the positives, the mask and the number of items
            ``(c, 1)`` to ``(c,)`` losses; differentiated by autograd in the first.
    """

    def __init__(
        self,
        positives: Positives,
        lambda_: float,
        margin: float,
        noise: Tensor | None,
        loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    ) -> None:
        self.positives = positives
        self.lambda_ = lambda_
        self.margin = margin
        self.noise = noise
        self.loss = loss

    def __call__(self, scores: Tensor, start: int, weights: Tensor | None) -> Tensor:
        """The loss of each row, 0 where there is no positive."""
        stop = start + len(scores)
        self.positives.leave_out_(scores, start)
        items = self.positives.left(scores, start)
        noise = None if self.noise is None else self.noise[start:stop]
        losses = scores.new_zeros(len(scores))
        for rows, group in self.positives.rows(start, stop).groups():
            if rows is None:
                return self._group(scores, group, items, weights, noise)
            part = scores[rows]
            if group.index.shape[1]:
                losses[rows] = self._group(
                    part,
                    group,
                    items[rows],
                    None if weights is None else weights[rows],
                    None if noise is None else noise[rows],
                )
            else:
                part.zero_()
            if weights is not None:
                scores[rows] = part
        return losses

    def _group(
        self,
        scores: Tensor,
        positives: RowPositives,
        items: Tensor,
        weights: Tensor | None,
        noise: Tensor | None,
    ) -> Tensor:
        index, mask = positives.index, positives.mask
        own = self._spread(scores, index, noise).masked_fill_(~mask, math.inf)
        scores.scatter_(1, index, -math.inf)
        among = count_above(own, own, mask) + 0.5
        rank = (among + count_above(scores, own)).requires_grad_(weights is not None)
        with torch.set_grad_enabled(weights is not None):
            losses = self.loss(rank, among, mask, items)
            if weights is None:
                return losses
            (by_rank,) = torch.autograd.grad(losses @ weights, rank)
        # The gradient by the normalised rank, R = rank / items, is `items` times as large.
        moved = own + self.lambda_ * items * by_rank
        new_rank = count_above(moved, moved, mask) + 0.5 + count_above(scores, moved)
        sign = mask.to(own.dtype)
        mix_above_(scores, torch.cat([own, moved], 1), torch.cat([sign, -sign], 1))
        scores.scatter_add_(1, index, (new_rank - rank.detach()) * sign)
        scores.div_(items * (self.lambda_ + 1e-8))
        return losses.detach()

    def _spread(self, scores: Tensor, index: Tensor, noise: Tensor | None) -> Tensor:
        """Raise all scores by half a margin, and give those of the positives lowered by it."""
        if self.margin == 0:
            return scores.gather(1, index)
        if noise is None:
            scores += self.margin / 2
            return scores.gather(1, index) - self.margin
        scores.add_(noise, alpha=self.margin / 2)
        return scores.gather(1, index) - self.margin * noise.gather(1, index)
