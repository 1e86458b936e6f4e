"""From rows of scores to per-query losses of ranks, with the derivative written over the row."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lookalike.ops import paths
from lookalike.ops.line_sums import many, many_pairs
from lookalike.ops.positives import Positives, RowPositives
from lookalike.ops.ranks import Ranked, Steps
from lookalike.ops.sizes import sizes
from lookalike.ops.step_sums import step_slopes_, step_sums, step_sums_and_slopes


class RankedRows:
    """The row function (see :mod:`lookalike.ops.row_losses`) of a score of soft ranks.

    Args:
        positives: the matches of every query.
        steps: which step which item takes.
        score: from the ranks of ``c`` queries to ``(c,)`` scores, 1 being perfect; plain torch,
            differentiated by autograd on ``c × P`` entries.
        mixup: ``(B, n(n-1)/2)`` shares in [0, 1] of virtual positives for the largest ``n``, or
            None (see :func:`mix_positives`).

    Work is ``B·P·M`` for a few positives, ``B·(P + M)`` for many. Rows of very different ``P`` are
    handled in groups of similar ``P``.
    """

    def __init__(
        self,
        positives: Positives,
        steps: Steps,
        score: Callable[[Ranked], Tensor],
        mixup: Tensor | None = None,
    ) -> None:
        self.positives = positives
        self.steps = steps
        self.score = score
        self.mixup = mixup

    def __call__(self, scores: Tensor, start: int, weights: Tensor | None) -> Tensor:
        """``1 - score`` of each row, 0 where there is no positive."""
        step = max(1, sizes(scores.device).entries // self.positives.largest)
        losses = [
            self._few(part, start + first, None if weights is None else weights[first:][:step])
            for first, part in zip(range(0, len(scores), step), scores.split(step), strict=True)
        ]
        return losses[0] if len(losses) == 1 else torch.cat(losses)

    def _few(self, scores: Tensor, start: int, weights: Tensor | None) -> Tensor:
        stop = start + len(scores)
        self.positives.leave_out_(scores, start)
        positives = self.positives.rows(start, stop)
        mixup = None if self.mixup is None else self.mixup[start:stop]
        losses = None
        # Triton makes no table of pairs.
        tables = 0 if paths.triton_suits(scores) else many_pairs(scores)
        for rows, group in positives.groups(tables):
            width = group.index.shape[1]
            pairs = width * (width - 1) // 2
            if rows is None:
                return self._group(
                    scores, group, weights, None if mixup is None else mixup[:, :pairs]
                )
            if losses is None:
                losses = scores.new_zeros(len(scores))
            part = scores[rows]
            if width:
                losses[rows] = self._group(
                    part,
                    group,
                    None if weights is None else weights[rows],
                    None if mixup is None else mixup[rows, :pairs],
                )
            else:
                part.zero_()
            if weights is not None:
                scores[rows] = part
        return scores.new_zeros(0) if losses is None else losses

    def _group(
        self, scores: Tensor, positives: RowPositives, weights: Tensor | None, mixup: Tensor | None
    ) -> Tensor:
        if positives.index.shape[1] >= many(scores):
            # All sums over many positives begin with their order: it is found once.
            own, positives = positives.take_falling_(scores)
        else:
            own = scores.gather(1, positives.index)
            scores.scatter_(1, positives.index, -math.inf)
        own.requires_grad_(weights is not None)
        with torch.set_grad_enabled(weights is not None):
            pivots, mask = own, positives.mask
            if mixup is not None:
                pivots, mask = mix_positives(own, mask, mixup)
            # A padded pivot is finite among the positives, but must gain nothing from the rest.
            is_full = positives.is_full
            reach = pivots.detach() if is_full else pivots.detach().masked_fill(~mask, math.inf)
            below, known = (
                (step_sums(scores, reach, self.steps.lower), None)
                if weights is None
                else step_sums_and_slopes(scores, reach, self.steps.lower)
            )
            below.requires_grad_(weights is not None)
            levels = self.positives.levels
            level = None if levels == 1 else positives.level
            losses = 1 - self.score(Ranked(pivots, below, mask, level, self.steps, levels))
            if weights is None:
                return losses
            # Of a scalar: handed `grad_outputs`, torch imports seconds of symbolic algebra.
            by_pivot, by_below = torch.autograd.grad(
                losses @ weights, (pivots, below), retain_graph=True, materialize_grads=True
            )
            slopes = step_slopes_(scores, reach, by_below, self.steps.lower, known)
            by_pivot = torch.addcmul(by_pivot, by_below, slopes, value=-1)
            if mixup is not None:
                (by_pivot,) = torch.autograd.grad((pivots * by_pivot).sum(), own)
        scores.scatter_add_(1, positives.index, by_pivot if is_full else by_pivot * positives.mask)
        return losses.detach()


def mix_positives(own: Tensor, mask: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Append the virtual positives ``a·s_i + (1-a)·s_j`` of all pairs ``i < j`` (SupRank).

    Args:
        own: ``(c, n)`` scores of the positives, in the order of their columns.
        mask: ``(c, n)`` False on padding.
        share: ``(c, n(n-1)/2)``, ``a`` of each pair in lexicographic order.
    """
    first, second = torch.triu_indices(own.shape[1], own.shape[1], 1, device=own.device)
    virtual = share * own[:, first] + (1 - share) * own[:, second]
    return torch.cat([own, virtual], dim=1), torch.cat([mask, mask[:, first] & mask[:, second]], 1)
