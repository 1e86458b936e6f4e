"""Circle loss: every similarity is pulled as hard as it is far from its optimum."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lookalike.losses.arguments import between, positive
from lookalike.losses.log_sums import log_sum
from lookalike.losses.pair_loss import RowPairLoss, is_above
from lookalike.losses.pairs import Shares


class Circle(RowPairLoss):
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

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each query, its loss and whether it has a positive and a negative."""
        fixed = matrix.detach()
        pull = -self.gamma * (1 + self.m - fixed).relu() * (matrix - 1 + self.m)
        push = self.gamma * (fixed + self.m).relu() * (matrix - self.m)
        positive, negative = is_above(pairs.positive), is_above(pairs.negative)
        both = is_above(positive.sum(dim=1)) * is_above(negative.sum(dim=1))
        logits = log_sum(pull, positive, 1) + log_sum(push, negative, 1)
        return torch.stack([F.softplus(logits) * both, both], dim=1)

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        return terms[:, 0].sum() / terms[:, 1].sum().clamp_min(1)
