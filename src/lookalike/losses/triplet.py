"""The triplet loss without triplets: all of them are summed by counting, in B × B memory."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lookalike.losses.arguments import between, one_of
from lookalike.losses.inputs import Pairing
from lookalike.losses.pair_loss import RowPairLoss, is_above
from lookalike.losses.pairs import Every, Mined, Pairs, Shares, as_masks, triplets_of
from lookalike.ops.distances import Distance, similarities

Mining = Literal["all", "semihard", "distance"]
Reduction = Literal["active", "mean", "anchors", "anchor_mean", "sum"]


_FEW = 24  # positives a query that are compared with each negative; more are searched
_FAR = 1e9  # beyond every score, and finite: 0 times it is 0


class Anchors(NamedTuple):
    """What the triplets of each anchor come to, three vectors ``(B,)``."""

    total: Tensor  # sum of hinges, with gradient
    active: Tensor  # how many hinges are above 0
    triplets: Tensor  # how many there are


class Triplet(RowPairLoss):
    """Triplet margin loss.

    ::

        max(0, d_ap - d_an + margin)        d = -cosine, or the squared distance

    over anchors a, positives p and negatives n. Schroff et al., *FaceNet*, CVPR 2015
    (arXiv 1503.03832). All B · P · N triplets cost B · M · log P work and B × M memory.

    Args:
        margin: in cosines, or in squared distances, which are twice as large.
        mining: which triplets. ``"all"``; ``"semihard"``, one an anchor: its nearest positive and
            the nearest negative beyond it; ``"distance"``, one negative for every positive pair,
            drawn by the inverse density of its distance on the unit sphere (Wu et al. 2017).
        level: the label column that says who is a positive.
        distance: ``"cosine"``, ``"squared"`` Euclidean, ``"euclidean"``, ``"dot"`` or a function;
            see :class:`~lookalike.losses.pair_loss.PairLoss`.
        swap: where the positive is nearer to the negative than the anchor is, that distance counts
            (Balntas et al., BMVC 2016, eq. 4).
        smooth: ln(1 + exp) in place of the hinge. Either of the two lists all triplets one by one:
            memory grows with their number.
        reduction: ``"active"``, mean over triplets above 0; ``"mean"``, over all; ``"anchors"``,
            sum over anchors of the mean over their triplets (RAML), and ``"anchor_mean"`` its mean
            over the anchors that have one; ``"sum"`` (cirtorch).
        seed: of the draws of ``mining="distance"``. The number of draws made is saved with the
            loss, so that a resumed run draws what it would have drawn.
        normalize: divide embeddings by their norm first.

    A mined ``indices_tuple`` of triplets is used as it is; one of pairs is joined at its anchors.

    Relations:
        :class:`MultiSimilarity` weighs pairs smoothly; :class:`SmoothAP` counts what a triplet
        hinges.

    >>> Triplet(margin=0.2)(torch.eye(4), torch.tensor([0, 0, 1, 1]))
    tensor(0.2000)
    """

    draws: Tensor

    def __init__(
        self,
        margin: float = 0.05,
        mining: Mining = "all",
        level: int = 0,
        *,
        distance: Distance = "cosine",
        swap: bool = False,
        smooth: bool = False,
        reduction: Reduction = "active",
        seed: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize, distance=distance)
        one_of("Triplet", "mining", mining, get_args(Mining))
        one_of("Triplet", "reduction", reduction, get_args(Reduction))
        self.margin = between("Triplet", "margin", margin, 0)
        self.mining = mining
        self.swap = swap
        self.smooth = smooth
        self.reduction = reduction
        self.seed = seed
        if mining == "distance":
            self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def value(self, batch: Pairing, pairs: Every | Mined) -> Tensor:
        """See the class."""
        if isinstance(pairs, Every) and self.mining == "all" and not (self.swap or self.smooth):
            return super().value(batch, pairs)
        scores = self.similarities(batch)
        listed = self._listed(scores, pairs, batch.query.shape[1])
        if listed is None:
            return super().value(batch, pairs)
        others = None
        if self.swap:
            others = (
                scores
                if batch.is_self
                else similarities(self.distance, batch.reference, batch.reference)
            )
        found = listed_triplets(scores, *listed, self.margin, smooth=self.smooth, others=others)
        return reduce(found, self.reduction)

    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """Of each anchor, what all its triplets come to; see `Anchors`."""
        shares = is_above(pairs.positive), is_above(pairs.negative)
        return torch.stack(all_triplets(matrix, *shares, self.margin), dim=1)

    def total(self, terms: Tensor) -> Tensor:
        """See the class."""
        return reduce(Anchors(*terms.T), self.reduction)

    def _listed(
        self, scores: Tensor, pairs: Every | Mined, width: int
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """The triplets one by one; None: all there are, which need no list."""
        if isinstance(pairs, Mined) and (pairs.triplets or self.mining == "all"):
            a1, p, a2, n = pairs.indices
            if pairs.triplets:
                return a1, p, n
            if self.swap or self.smooth or pairs.repeats(scores.shape[1]):
                return triplets_of((a1, p, a2, n))
            return None
        masks = as_masks(pairs, scores.shape)
        if self.mining == "semihard":
            return semihard_triplets(scores, masks)
        if self.mining == "distance":
            return self._drawn(scores, masks, width)
        if self.swap or self.smooth:
            positive, negative = (
                m.nonzero(as_tuple=True) for m in (masks.positive, masks.negative)
            )
            return triplets_of((*positive, *negative))
        return None

    def _drawn(self, scores: Tensor, masks: Pairs, width: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator(scores.device)
        generator.manual_seed((self.seed << 32) + int(self.draws))
        if self.training:
            self.draws += 1
        fixed = scores.detach()
        if self.distance == "squared":
            far = (-fixed).clamp_min(0).sqrt()
        elif self.distance == "cosine":
            far = (2 - 2 * fixed).clamp_min(0).sqrt()
        else:
            far = -fixed
        weights = distance_weights(far, masks.negative, width)
        return draw_negatives(masks.positive, weights, generator)


def reduce(found: Anchors, reduction: str) -> Tensor:
    """One number from the sums of all anchors."""
    if reduction == "sum":
        return found.total.sum()
    if reduction in ("anchors", "anchor_mean"):
        means = (found.total / found.triplets.clamp_min(1)).sum()
        return means if reduction == "anchors" else means / (found.triplets > 0).sum().clamp_min(1)
    if reduction == "mean":
        return found.total.sum() / found.triplets.sum().clamp_min(1)
    return found.total.sum() / found.active.sum().clamp_min(1)


def listed_triplets(
    scores: Tensor,
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor,
    margin: float,
    *,
    smooth: bool = False,
    others: Tensor | None = None,
) -> Anchors:
    """The triplets of a list.

    Args:
        scores: ``(B, M)``, larger for nearer.
        anchors: ``(T,)``, rows.
        positives: ``(T,)``, columns.
        negatives: ``(T,)``, columns.
        margin: added to every negative's score.
        smooth: ln(1 + exp) in place of the hinge.
        others: ``(M, M)`` scores of the references among themselves: the nearer of anchor and
            positive counts for a negative.
    """
    away = scores[anchors, negatives]
    if others is not None:
        away = torch.maximum(away, others[positives, negatives])
    violation = away - scores[anchors, positives] + margin
    hinge = F.softplus(violation) if smooth else violation.relu()
    rows = scores.new_zeros(len(scores))
    return Anchors(
        rows.index_add(0, anchors, hinge),
        rows.index_add(0, anchors, (hinge > 0).to(hinge.dtype)),
        rows.index_add(0, anchors, torch.ones_like(hinge)),
    )


def all_triplets(scores: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Anchors:
    """All triplets of some anchors, in c · M · P work for few positives, c · M · log P for many.

    The slope of the sum in each score is a count: for a negative, the positives it comes within
    the margin of; for a positive, the negatives that do. The sum is then linear in the scores.

    Args:
        scores: ``(c, M)``, larger for nearer.
        positive: ``(c, M)``, 1 or 0, of the type of the scores.
        negative: ``(c, M)``, the same.
        margin: added to every negative's score.
    """
    fixed = scores.detach()
    counts = positive.sum(dim=1)
    most = int(counts.max()) if counts.numel() else 0
    triplets = counts * negative.sum(dim=1)
    if most == 0:
        return Anchors((scores * 0).sum(dim=1), triplets, triplets)
    away = torch.add(fixed, 1 - positive, alpha=_FAR)  # the others come after all positives
    ascending, where = away.topk(most, dim=1, largest=False)
    count = _count_few if most <= _FEW else _count_many
    beaten, beating = count(fixed + margin, ascending, negative)
    active = beaten.sum(dim=1)
    slope = beaten.scatter_add_(1, where, -beating)
    # The slopes of a row add up to 0, so its scores may be shifted: by what keeps them small.
    shift = torch.where(counts > 0, ascending[:, 0], 0.0)[:, None]
    total = ((scores - shift) * slope).sum(dim=1) + margin * active
    return Anchors(total, active, triplets)


def _count_few(reach: Tensor, ascending: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """How many positives each negative beats ``(c, M)``, and how many beat each ``(c, P)``."""
    beaten, beating = torch.zeros_like(reach), torch.empty_like(ascending)
    for rank, bound in enumerate(ascending.T):
        beats = is_above(reach, bound[:, None]).mul_(negative)
        beating[:, rank] = beats.sum(dim=1)
        beaten += beats
    return beaten, beating


def _count_many(reach: Tensor, ascending: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """The same through one search of the positives, in ascending order, for each negative."""
    most = ascending.shape[1]
    beaten = torch.searchsorted(ascending, reach).masked_fill_(negative == 0, 0)
    by_count = beaten.new_zeros(len(beaten), most + 1).scatter_add_(1, beaten, negative.long())
    # Negatives that beat more than r positives are those that beat the r-th in ascending order.
    beating = by_count.sum(dim=1, keepdim=True) - by_count.cumsum(dim=1)[:, :most]
    return beaten.to(reach.dtype), beating.to(reach.dtype)


def semihard_triplets(scores: Tensor, masks: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """One triplet an anchor: its nearest positive, and the nearest negative strictly beyond it."""
    fixed = scores.detach()
    nearest, positive = fixed.masked_fill(~masks.positive, -torch.inf).max(dim=1)
    beyond = masks.negative & (fixed < nearest[:, None])
    negative = fixed.masked_fill(~beyond, -torch.inf).argmax(dim=1)
    anchors = (masks.positive.any(dim=1) & beyond.any(dim=1)).nonzero().flatten()
    return anchors, positive[anchors], negative[anchors]


def distance_weights(
    distances: Tensor, allowed: Tensor, width: int, nearest: float = 0.5, farthest: float = 1.4
) -> Tensor:
    """How likely each reference is drawn: the inverse density of its distance on the sphere.

    ::

        ln w = (2 - D) · ln d - (D - 3)/2 · ln(1 - d²/4)

    up to a factor for each row. Wu et al., *Sampling matters in deep embedding learning*, ICCV
    2017 (arXiv 1706.07567).

    Args:
        distances: ``(B, M)`` Euclidean distances of unit vectors.
        allowed: ``(B, M)`` bool; all others get 0.
        width: D.
        nearest: smaller distances count as this one, lest noise be drawn.
        farthest: references beyond get 0: they have no loss, and antipodes no finite weight.
    """
    allowed = allowed & (distances < farthest)
    d = distances.clamp(nearest, farthest)
    logs = (2 - width) * d.log() - (width - 3) / 2 * (1 - d.square() / 4).log()
    logs = logs.masked_fill(~allowed, -torch.inf)
    highest = logs.amax(dim=1, keepdim=True).nan_to_num(neginf=0.0)
    return (logs - highest).exp()


def draw_negatives(
    positive: Tensor, weights: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """For every positive pair one negative, drawn by weight; none where all weights are 0."""
    anchors, positives = positive.nonzero(as_tuple=True)
    most = int(positive.sum(dim=1).max()) if len(anchors) else 0
    drawable = weights.sum(dim=1) > 0
    if most == 0 or not drawable.any():
        return anchors[:0], anchors[:0], anchors[:0]
    draws = anchors.new_zeros(len(weights), most)
    draws[drawable] = torch.multinomial(
        weights[drawable], most, replacement=True, generator=generator
    )
    nth = positive.cumsum(dim=1)[anchors, positives] - 1
    kept = drawable[anchors]
    anchors, positives, nth = anchors[kept], positives[kept], nth[kept]
    return anchors, positives, draws[anchors, nth]
