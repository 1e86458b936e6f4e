"""The calibration loss of ROADMAP: positives above one score, negatives below another."""

from __future__ import annotations

from torch import Tensor

from lookalike.losses.inputs import Pairing
from lookalike.losses.pairs import Mined, PairLoss, Pairs, apply, mean_nonzero


class Calibration(PairLoss):
    r"""Calibration loss: the same score means the same thing for every query.

    .. math:: \frac{1}{|A^+|} \sum_{A^+} (m^+ - s_{ij}) + \frac{1}{|A^-|} \sum_{A^-} (s_{ij} - m^-)

    with cosines s and the active pairs :math:`A^+ = \{s_{ij} < m^+\}`, :math:`A^- = \{s_{ij} >
    m^-\}` (ROADMAP, Ramzi et al. 2021, eq. 9). Each side is a mean over its *active* ordered
    pairs, and 0 if there is none.

    Args:
        pos_margin: the cosine positives should reach.
        neg_margin: the cosine negatives should stay under.
        level: the label column that says who is a positive.
        normalize: divide embeddings by their norm first.

    Example:
        >>> import torch
        >>> x, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
        >>> Calibration()(x, y)  # positives at cosine 0 miss the margin by 0.9
        tensor(0.9000)

    Relations: rank losses such as ``SupAP`` order scores but leave their scale free; this loss
    fixes the scale, and ``ROADMAP`` is their sum. It is PML's ``ContrastiveLoss`` on cosines.
    """

    def __init__(
        self,
        pos_margin: float = 0.9,
        neg_margin: float = 0.6,
        level: int = 0,
        *,
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize)
        self.pos_margin = pos_margin
        self.neg_margin = neg_margin

    def value(self, batch: Pairing, pairs: Pairs | Mined) -> Tensor:
        """See the class."""
        positive, negative = apply(
            batch.query @ batch.reference.T,
            pairs,
            lambda s: (self.pos_margin - s).relu(),
            lambda s: (s - self.neg_margin).relu(),
        )
        return mean_nonzero(positive) + mean_nonzero(negative)
