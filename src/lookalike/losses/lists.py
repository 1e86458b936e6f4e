"""Losses of a query's whole list on Euclidean distances: lifted structure and ranked list."""

from __future__ import annotations

import torch
from torch import Tensor

from lookalike.losses.arguments import between, positive
from lookalike.losses.inputs import Pairing
from lookalike.losses.log_sums import log_sum
from lookalike.losses.pair_loss import PairLoss, RowPairLoss, is_above
from lookalike.losses.pairs import Every, Mined, Shares, as_shares
from lookalike.ops.distances import Distance
from lookalike.ops.row_terms import row_terms


class LiftedStructure(PairLoss):
    """Lifted structured loss: a positive pair against all negatives of both of its images.

    ::

        L = mean over positive pairs (i, j) of 1/2 · [J_ij]₊²
        J_ij = ln( sum over negatives k of i of exp(neg_margin - d_ik)
                 + sum over negatives l of j of exp(neg_margin - d_jl) ) + d_ij - pos_margin

    with Euclidean distances d. Oh Song et al., *Deep metric learning via lifted structured feature
    embedding*, CVPR 2016, eq. 4 (arXiv 1511.06452). Against a reference set the negatives are those
    of the query alone, for a reference is not compared with others.

    Args:
        neg_margin: what negatives should be apart.
        pos_margin: what positives may be apart.
        level: the label column that says who is a positive.
        distance: see :class:`~lookalike.losses.pair_loss.PairLoss`.
        normalize: divide embeddings by their norm first.

    Relations:
        :class:`NTXent` is a softmax of one query's cosines.

    >>> import torch
    >>> x = torch.eye(4)[[0, 0, 1, 1]] * 4
    >>> float(LiftedStructure(neg_margin=0.5, normalize=False)(x, torch.tensor([0, 0, 1, 1])))
    0.0
    """

    def __init__(
        self,
        neg_margin: float = 1.0,
        pos_margin: float = 0.0,
        level: int = 0,
        *,
        distance: Distance = "euclidean",
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        self.neg_margin = between("LiftedStructure", "neg_margin", neg_margin, 0)
        self.pos_margin = between("LiftedStructure", "pos_margin", pos_margin, 0)

    def value(self, batch: Pairing, pairs: Every | Mined) -> Tensor:
        """In two sweeps: a positive pair needs the negatives of both of its images."""
        if isinstance(pairs, Mined) or not isinstance(self.distance, str):
            distances = -self.similarities(batch)
            share = as_shares(pairs, distances)
            away = self._away(distances, share)
            return _mean(self._terms(distances, share, away, away if batch.is_self else None))
        reference = None if batch.reference is batch.query else batch.reference
        sides = self.sides(batch)

        def of_negatives(scores: Tensor, part: slice, *sides: Tensor) -> Tensor:
            distances = -self.of_products(batch, scores, *sides)
            return self._away(distances, pairs.shares(part, scores))[:, None]

        def of_positives(scores: Tensor, part: slice, *sides: Tensor) -> Tensor:
            *others, near, far = sides
            distances = -self.of_products(batch, scores, *others)
            far = far if batch.is_self else None
            return self._terms(distances, pairs.shares(part, scores), near, far)

        away = row_terms(batch.query, reference, of_negatives, sides)[:, 0]
        theirs = away if batch.is_self else away.new_zeros(len(batch.reference))
        return _mean(row_terms(batch.query, reference, of_positives, (*sides, away, theirs)))

    def _away(self, distances: Tensor, share: Shares) -> Tensor:
        """``(c,)``, how near the negatives of each query are."""
        return log_sum(self.neg_margin - distances, is_above(share.negative), 1)

    def _terms(self, distances: Tensor, share: Shares, near: Tensor, far: Tensor | None) -> Tensor:
        """Of each query, its positives' sum and their number; a pair listed twice counts twice."""
        both = near[:, None] if far is None else torch.logaddexp(near[:, None], far[None, :])
        terms = (both + distances - self.pos_margin).relu().square() / 2 * share.positive
        return torch.stack([terms.sum(dim=1), share.positive.sum(dim=1)], dim=1)


class RankedList(RowPairLoss):
    """Ranked list loss: positives into a ball, negatives out of a larger one.

    ::

        L_i = (1 - imbalance) · weighted mean of v_p  +  imbalance · weighted mean of v_n
        v_p = d_ip - alpha + margin,  v_n = alpha - d_in,  only those above 0
        weights  exp(T_p · v_p),  exp(T_n · v_n),  without gradient

    averaged over all queries, with Euclidean distances d. Wang et al., *Ranked list loss*, CVPR
    2019, eqs. 4 to 8 (arXiv 1903.03238).

    Args:
        margin: between the two balls.
        alpha: radius of the outer one; 1.2 as published.
        T_n: how much nearer negatives weigh more; 10 as published.
        T_p: how much farther positives weigh more; 0 (all alike) as published.
        imbalance: share of the negatives in the loss.
        level: the label column that says who is a positive.
        distance: see :class:`~lookalike.losses.pair_loss.PairLoss`.
        normalize: divide embeddings by their norm first.

    Relations:
        :class:`Contrastive` with two margins and weights.

    >>> import torch
    >>> x, y = torch.eye(4)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1])
    >>> float(RankedList()(x, y))
    0.0
    """

    def __init__(
        self,
        margin: float = 0.4,
        alpha: float = 1.2,
        T_n: float = 10.0,
        T_p: float = 0.0,
        imbalance: float = 0.5,
        level: int = 0,
        *,
        distance: Distance = "euclidean",
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        self.margin = between("RankedList", "margin", margin, 0)
        self.alpha = positive("RankedList", "alpha", alpha)
        self.T_n = between("RankedList", "T_n", T_n, 0)
        self.T_p = between("RankedList", "T_p", T_p, 0)
        self.imbalance = between("RankedList", "imbalance", imbalance, 0, 1)

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each query, its loss."""
        outside = _weighted_mean(self.margin - self.alpha - matrix, pairs.positive, self.T_p)
        inside = _weighted_mean(self.alpha + matrix, pairs.negative, self.T_n)
        return ((1 - self.imbalance) * outside + self.imbalance * inside)[:, None]

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        return terms.sum() / max(1, len(terms))


def _mean(terms: Tensor) -> Tensor:
    """Of sums and counts ``(B, 2)``, 0 where nothing was counted."""
    return terms[:, 0].sum() / terms[:, 1].sum().clamp_min(1)


def _weighted_mean(violations: Tensor, share: Tensor, sharpness: float) -> Tensor:
    """Of each row, over the pairs above 0; 0 where there is none."""
    fixed = violations.detach()
    active = is_above(share) * is_above(fixed)
    logits = sharpness * (fixed - (fixed * active).amax(dim=1, keepdim=True))
    weights = logits.clamp_max(0.0).exp() * active
    least = torch.finfo(weights.dtype).tiny
    return (weights * violations).sum(dim=1) / weights.sum(dim=1).clamp_min(least)
