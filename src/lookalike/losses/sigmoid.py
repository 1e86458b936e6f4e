"""The pairwise sigmoid loss: every pair is a question of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.losses.arguments import number, positive
from lookalike.losses.inputs import Pairing
from lookalike.losses.pair_loss import PairLoss
from lookalike.losses.pairs import Every, Mined, as_shares
from lookalike.ops.row_terms import row_terms


class PairwiseSigmoid(PairLoss):
    """Pairwise sigmoid loss (SigLIP): each pair is a yes or no of its own.

    ::

        L = 1/B · sum over pairs (i, j) of ln(1 + exp(-z_ij · (t · s_ij + b)))

    z is 1 for positive and -1 for negative pairs; t and b are learned, t as ln t. Zhai et al.,
    *Sigmoid loss for language image pre-training*, ICCV 2023, algorithm 1 (arXiv 2303.15343),
    there with one positive each.

    Args:
        scale: t at the start; 10 as published.
        bias: b at the start; -10 as published, for negatives are many.
        level: the label column that says who is a positive.
        normalize: divide embeddings by their norm first.

    Attributes:
        log_scale: ln t, a parameter.
        bias: b, a parameter.

    Relations:
        :class:`NTXent` needs the sum over all negatives; here no pair knows of another.

    >>> import torch
    >>> x, y = torch.eye(4)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1])
    >>> PairwiseSigmoid()(x, y).shape
    torch.Size([])
    """

    def __init__(
        self, scale: float = 10.0, bias: float = -10.0, level: int = 0, *, normalize: bool = True
    ) -> None:
        super().__init__(level=level, normalize=normalize)
        start = math.log(positive("PairwiseSigmoid", "scale", scale))
        self.log_scale = nn.Parameter(torch.tensor(start))
        self.bias = nn.Parameter(torch.tensor(float(number("PairwiseSigmoid", "bias", bias))))

    def value(self, batch: Pairing, pairs: Every | Mined) -> Tensor:
        """See the class."""
        scale, bias = (p.to(batch.query.dtype) for p in (self.log_scale.exp(), self.bias))

        def terms(scores: Tensor, part: slice, *sides: Tensor) -> Tensor:
            bias, scale = sides
            share = (
                as_shares(pairs, scores) if isinstance(pairs, Mined) else pairs.shares(part, scores)
            )
            logits = scale * scores + bias[:, None]
            # ln(1 + e^z) = z + ln(1 + e^-z): one soft step for both kinds.
            found = (
                F.softplus(-logits) * (share.positive + share.negative) + logits * share.negative
            )
            return found.sum(dim=1, keepdim=True)

        count, width = len(batch.query), len(batch.reference)
        reference = None if batch.reference is batch.query else batch.reference
        chunk = max(1, count) if isinstance(pairs, Mined) else None
        sides = bias.expand(count), scale.expand(width)
        return row_terms(batch.query, reference, terms, sides, chunk).sum() / max(1, count)
