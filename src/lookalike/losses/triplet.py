"""The triplet loss without triplets: all of them are summed by counting, in B × B memory."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lookalike.losses.arguments import between, one_of
from lookalike.losses.inputs import Pairing
from lookalike.losses.pairs import Mined, PairLoss, Pairs, as_masks

Mining = Literal["all", "semihard", "distance"]
Reduction = Literal["active", "anchors", "sum"]
_CHOICES = {
    "mining": ("all", "semihard", "distance"),
    "distance": ("cosine", "squared"),
    "reduction": ("active", "anchors", "sum"),
}


class Anchors(NamedTuple):
    """What the triplets of each anchor come to, three vectors ``(B,)``."""

    total: Tensor  # sum of hinges, with gradient
    active: Tensor  # how many hinges are above 0
    triplets: Tensor  # how many there are


class Triplet(PairLoss):
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
        distance: ``"cosine"`` or ``"squared"`` Euclidean.
        reduction: ``"active"``, mean over triplets above 0; ``"anchors"``, sum over anchors of the
            mean over their triplets (RAML); ``"sum"`` (cirtorch).
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
        distance: Literal["cosine", "squared"] = "cosine",
        reduction: Reduction = "active",
        seed: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(level=level, normalize=normalize)
        given = {"mining": mining, "distance": distance, "reduction": reduction}
        for name, value in given.items():
            one_of("Triplet", name, value, _CHOICES[name])
        self.margin = between("Triplet", "margin", margin, 0)
        self.mining = mining
        self.distance = distance
        self.reduction = reduction
        self.seed = seed
        if mining == "distance":
            self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def value(self, batch: Pairing, pairs: Pairs | Mined) -> Tensor:
        """See the class."""
        scores = self._scores(batch)
        if isinstance(pairs, Mined) and pairs.triplets:
            anchors, positives, _, negatives = pairs.indices
            return reduce(
                listed_triplets(scores, anchors, positives, negatives, self.margin), self.reduction
            )
        masks = as_masks(pairs, scores.shape)
        if self.mining == "all":
            found = all_triplets(scores, masks, self.margin)
        elif self.mining == "semihard":
            found = semihard_triplets(scores, masks, self.margin)
        else:
            found = self._drawn(scores, masks, batch.query.shape[1])
        return reduce(found, self.reduction)

    def _scores(self, batch: Pairing) -> Tensor:
        """``(B, M)``, larger for nearer."""
        products = batch.query @ batch.reference.T
        if self.distance == "cosine":
            return products
        query = batch.query.square().sum(dim=1)
        return 2 * products - query[:, None] - batch.reference.square().sum(dim=1)[None, :]

    def _drawn(self, scores: Tensor, masks: Pairs, width: int) -> Anchors:
        generator = torch.Generator(scores.device)
        generator.manual_seed((self.seed << 32) + int(self.draws))
        if self.training:
            self.draws += 1
        squared = 2 - 2 * scores.detach() if self.distance == "cosine" else -scores.detach()
        weights = distance_weights(squared.clamp_min(0).sqrt(), masks.negative, width)
        return drawn_triplets(scores, masks.positive, weights, self.margin, generator)


def reduce(found: Anchors, reduction: str) -> Tensor:
    """One number from the sums of all anchors."""
    if reduction == "sum":
        return found.total.sum()
    if reduction == "anchors":
        return (found.total / found.triplets.clamp_min(1)).sum()
    return found.total.sum() / found.active.sum().clamp_min(1)


def listed_triplets(
    scores: Tensor, anchors: Tensor, positives: Tensor, negatives: Tensor, margin: float
) -> Anchors:
    """The triplets of a list."""
    hinge = (scores[anchors, negatives] - scores[anchors, positives] + margin).relu()
    rows = scores.new_zeros(len(scores))
    return Anchors(
        rows.index_add(0, anchors, hinge),
        rows.index_add(0, anchors, (hinge > 0).to(hinge.dtype)),
        rows.index_add(0, anchors, torch.ones_like(hinge)),
    )


def all_triplets(scores: Tensor, masks: Pairs, margin: float, budget: int = 2**22) -> Anchors:
    """All triplets, in B · M · log P work and B · M memory.

    The slope of the sum in each score is a count: for a negative, the positives it comes within
    the margin of; for a positive, the negatives that do. Counts come from one search of each
    row's sorted positives, and the sum is then linear in the scores.

    Args:
        scores: ``(B, M)``, larger for nearer.
        masks: the pairs.
        margin: added to every negative's score.
        budget: entries of the matrix looked at in one go.
    """
    rows = max(1, budget // max(1, scores.shape[1]))
    parts = [
        _all_triplets(*part, margin)
        for part in zip(
            scores.split(rows), masks.positive.split(rows), masks.negative.split(rows), strict=True
        )
    ]
    return Anchors(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _all_triplets(scores: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Anchors:
    fixed = scores.detach()
    counts = positive.sum(dim=1)
    most = int(counts.max()) if counts.numel() else 0
    triplets = (counts * negative.sum(dim=1)).to(scores.dtype)
    if most == 0:
        return Anchors((scores * 0).sum(dim=1), triplets, triplets)
    ascending, where = fixed.masked_fill(~positive, torch.inf).topk(most, dim=1, largest=False)
    beaten = torch.searchsorted(ascending, fixed + margin).masked_fill_(~negative, 0)
    active = beaten.sum(dim=1).to(scores.dtype)
    by_count = beaten.new_zeros(len(beaten), most + 1).scatter_add_(1, beaten, negative.long())
    # Negatives that beat more than r positives are those that beat the r-th in ascending order.
    beating = by_count.sum(dim=1, keepdim=True) - by_count.cumsum(dim=1)[:, :most]
    slope = beaten.to(scores.dtype).scatter_add_(1, where, -beating.to(scores.dtype))
    # The slopes of a row add up to 0, so its scores may be shifted: by what keeps them small.
    shift = ascending[:, :1].nan_to_num(posinf=0.0)
    total = ((scores - shift) * slope).sum(dim=1) + margin * active
    return Anchors(total, active, triplets)


def semihard_triplets(scores: Tensor, masks: Pairs, margin: float) -> Anchors:
    """One triplet an anchor: its nearest positive, and the nearest negative strictly beyond it."""
    fixed = scores.detach()
    nearest, positive = fixed.masked_fill(~masks.positive, -torch.inf).max(dim=1)
    beyond = masks.negative & (fixed < nearest[:, None])
    negative = fixed.masked_fill(~beyond, -torch.inf).argmax(dim=1)
    anchors = (masks.positive.any(dim=1) & beyond.any(dim=1)).nonzero().flatten()
    return listed_triplets(scores, anchors, positive[anchors], negative[anchors], margin)


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


def drawn_triplets(
    scores: Tensor, positive: Tensor, weights: Tensor, margin: float, generator: torch.Generator
) -> Anchors:
    """For every positive pair one negative, drawn by weight; none where all weights are 0."""
    anchors, positives = positive.nonzero(as_tuple=True)
    most = int(positive.sum(dim=1).max()) if len(anchors) else 0
    drawable = weights.sum(dim=1) > 0
    if most == 0 or not drawable.any():
        nothing = anchors[:0]
        return listed_triplets(scores, nothing, nothing, nothing, margin)
    draws = anchors.new_zeros(len(scores), most)
    draws[drawable] = torch.multinomial(
        weights[drawable], most, replacement=True, generator=generator
    )
    nth = positive.cumsum(dim=1)[anchors, positives] - 1
    kept = drawable[anchors]
    anchors, positives, nth = anchors[kept], positives[kept], nth[kept]
    return listed_triplets(scores, anchors, positives, draws[anchors, nth], margin)
