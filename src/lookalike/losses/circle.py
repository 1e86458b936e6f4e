"""Circle loss: every similarity is pulled as hard as it is far from its optimum."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lookalike.losses.arguments import between, positive
from lookalike.losses.inputs import Pairing
from lookalike.losses.log_sums import FLOOR
from lookalike.losses.pairs import Every, Mined, PairLoss, as_masks


class Circle(PairLoss):
    """Circle loss: every cosine is weighted by how far it is from where it should be.

    ::

        L_i = softplus( lse over p of -gamma · [1 + m - s_ip]₊ · (s_ip - 1 + m)
                      + lse over n of  gamma · [s_in + m]₊     · (s_in - m) )

    averaged over the queries that have a positive and a negative; the weights [·]₊ carry no
    gradient. Sun et al., *Circle loss*, CVPR 2020, eqs. 6 and 8 (arXiv 2002.10857).

    Args:
        m: relaxation; 0.4 for fine-grained retrieval, 0.25 for faces and persons.
        gamma: scale; 80 for fine-grained retrieval, 128 for persons, 256 for faces.
        level: the label column that says who is a positive.
        normalize: divide embeddings by their norm first.

    Relations:
        :class:`MultiSimilarity` weighs pairs by their neighbours, this one each by itself.

    >>> import torch
    >>> x, y = torch.eye(4)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1])
    >>> round(float(Circle()(x, y)), 6)  # positives at 1, negatives at 0
    0.0
    """

    def __init__(
        self, m: float = 0.4, gamma: float = 80.0, level: int = 0, *, normalize: bool = True
    ) -> None:
        super().__init__(level=level, normalize=normalize)
        self.m = between("Circle", "m", m, -1, 1)
        self.gamma = positive("Circle", "gamma", gamma)

    def value(self, batch: Pairing, pairs: Every | Mined) -> Tensor:
        """See the class."""
        scores = self.similarities(batch)
        masks, fixed = as_masks(pairs, scores.shape), scores.detach()
        pull = -self.gamma * (1 + self.m - fixed).relu() * (scores - 1 + self.m)
        push = self.gamma * (fixed + self.m).relu() * (scores - self.m)
        sides = [
            logits.masked_fill(~mask, FLOOR).logsumexp(dim=1)
            for logits, mask in ((pull, masks.positive), (push, masks.negative))
        ]
        both = masks.positive.any(dim=1) & masks.negative.any(dim=1)
        terms = torch.where(both, F.softplus(sides[0] + sides[1]), 0.0)
        return terms.sum() / both.sum().clamp_min(1)
