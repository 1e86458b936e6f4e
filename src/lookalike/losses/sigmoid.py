"""The pairwise sigmoid loss: every pair is a question of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.losses.arguments import number, positive
from lookalike.losses.inputs import Pairing
from lookalike.losses.pairs import Every, Mined, PairLoss, as_shares


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
        scores = self.similarities(batch)
        logits = self.log_scale.to(scores.dtype).exp() * scores + self.bias.to(scores.dtype)
        count = as_shares(pairs, scores)
        terms = F.softplus(-logits) * count.positive + F.softplus(logits) * count.negative
        return terms.sum() / max(1, len(scores))
