"""The multi-similarity loss: a soft worst positive and a soft worst negative for every query."""

from __future__ import annotations

import torch
from torch import Tensor

from lookalike.losses.arguments import between, number, positive
from lookalike.losses.log_sums import log_one_plus
from lookalike.losses.pair_loss import RowPairLoss, is_above
from lookalike.losses.pairs import Pairs, Shares
from lookalike.ops.distances import Distance


class MultiSimilarity(RowPairLoss):
    """Multi-similarity loss: a soft worst positive and a soft worst negative for every query.

    ::

        L_i = 1/alpha · ln(1 + sum over positives of exp(-alpha · (s_ij - base)))
            + 1/beta  · ln(1 + sum over negatives of exp( beta  · (s_ij - base)))

    averaged over queries. Wang et al., *Multi-similarity loss with general pair weighting*, CVPR
    2019, eq. 15 (arXiv 1904.06627). With ``epsilon`` only the pairs of its eqs. 11 and 12 take
    part: negatives above the worst positive less ε, positives below the worst negative plus ε.

    Args:
        alpha: sharpness for positives.
        beta: sharpness for negatives.
        base: the cosine both sides are measured from.
        epsilon: the paper's mining margin (0.1 there); None takes all pairs, as PML's loss does.
        level: the label column that says who is a positive.
        distance: see :class:`~lookalike.losses.pair_loss.PairLoss`; of distances ``base`` is one
            less than zero.
        normalize: divide embeddings by their norm first.

    Relations:
        The usual strong pair loss; :class:`SupAP` when the ranking itself is what counts.

    >>> import torch
    >>> MultiSimilarity()(torch.eye(4), torch.tensor([0, 0, 1, 1]))
    tensor(0.6566)
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        epsilon: float | None = None,
        level: int = 0,
        *,
        distance: Distance = "cosine",
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        self.alpha = positive("MultiSimilarity", "alpha", alpha)
        self.beta = positive("MultiSimilarity", "beta", beta)
        self.base = number("MultiSimilarity", "base", base)
        self.epsilon = epsilon
        if epsilon is not None:
            between("MultiSimilarity", "epsilon", epsilon, 0)

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each query, its two soft maxima; a pair that is listed twice counts once."""
        positive, negative = (is_above(share) for share in (pairs.positive, pairs.negative))
        if self.epsilon is not None:
            kept = informative(matrix.detach(), Pairs(positive > 0, negative > 0), self.epsilon)
            positive, negative = kept.positive, kept.negative
        moved = matrix - self.base
        near = log_one_plus(-self.alpha * moved, positive, 1) / self.alpha
        far = log_one_plus(self.beta * moved, negative, 1) / self.beta
        return (near + far)[:, None]

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        return terms.sum() / max(1, len(terms))


def informative(scores: Tensor, masks: Pairs, epsilon: float) -> Pairs:
    """The pairs that a query's worst pair of the other kind makes worth learning from."""
    worst_positive = scores.masked_fill(~masks.positive, torch.inf).amin(dim=1, keepdim=True)
    worst_negative = scores.masked_fill(~masks.negative, -torch.inf).amax(dim=1, keepdim=True)
    return Pairs(
        masks.positive & (scores - epsilon < worst_negative),
        masks.negative & (scores + epsilon > worst_positive),
    )
