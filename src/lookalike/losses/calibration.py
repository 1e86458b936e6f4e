"""The calibration loss of ROADMAP: positives above one score, negatives below another."""

from __future__ import annotations

import torch
from torch import Tensor

from lookalike.losses.arguments import cosine, number
from lookalike.losses.pair_loss import RowPairLoss, mean_active, sum_and_active
from lookalike.losses.pairs import Shares
from lookalike.ops.distances import Distance


class Calibration(RowPairLoss):
    """Calibration loss: the same score means the same thing for every query.

    ::

        L = mean over positive pairs below pos_margin of (pos_margin - s_ij)
          + mean over negative pairs above neg_margin of (s_ij - neg_margin)

    with cosines s. Each side is a mean over its *active* ordered pairs, and 0 if there is none.
    Ramzi et al., *Robust and decomposable average precision*, NeurIPS 2021
    (arXiv 2110.01445).

    Args:
        pos_margin: the cosine positives should reach.
        neg_margin: the cosine negatives should stay under.
        level: the label column that says who is a positive.
        distance: see :class:`~lookalike.losses.pair_loss.PairLoss`; of distances both margins are
            numbers below zero.
        normalize: divide embeddings by their norm first.

    Relations:
        Rank losses such as :class:`SupAP` order scores and leave their scale free; this one fixes
        the scale, and :class:`ROADMAP` is their sum. Alone it can come to rest with all cosines
        alike, at a value of ``pos_margin - neg_margin``. It is PML's ``ContrastiveLoss`` on
        cosines.

    >>> import torch
    >>> x, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
    >>> Calibration()(x, y)  # positives at cosine 0 miss the margin by 0.9
    tensor(0.9000)
    """

    def __init__(
        self,
        pos_margin: float = 0.9,
        neg_margin: float = 0.6,
        level: int = 0,
        *,
        distance: Distance = "cosine",
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        check = cosine if distance == "cosine" else number
        self.pos_margin = check(type(self).__name__, "pos_margin", pos_margin)
        self.neg_margin = check(type(self).__name__, "neg_margin", neg_margin)

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each query, positives' sum and how many are active, and the same of negatives."""
        near = sum_and_active((self.pos_margin - matrix).relu(), pairs.positive)
        far = sum_and_active((matrix - self.neg_margin).relu(), pairs.negative)
        return torch.stack([*near, *far], dim=1)

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        return mean_active(*terms[:, :2].T) + mean_active(*terms[:, 2:].T)
