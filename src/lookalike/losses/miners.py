"""Miners: which pairs or triplets of a batch a pair loss looks at. Called as the peers' are.

``miner(embeddings, labels, ref_emb=None, ref_labels=None)`` gives indices: anchors, positives and
negatives of triplets, or anchors, positives, anchors, negatives of pairs. Nothing is mined from
an image and itself, and nothing carries a gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lookalike.calls import NamedArguments
from lookalike.errors import ConfigError
from lookalike.losses.arguments import between, one_of
from lookalike.losses.inputs import pair
from lookalike.losses.multi_similarity import informative
from lookalike.losses.pairs import Pairs, all_pairs
from lookalike.losses.triplet import distance_weights, draw_negatives
from lookalike.ops.distances import Distance, similarities
from lookalike.ops.distances import check as check_distance

__all__ = [
    "BatchEasyHardMiner",
    "DistanceWeightedMiner",
    "HardMiner",
    "MultiSimilarityMiner",
    "SemiHardMiner",
]

Strategy = Literal["easy", "hard", "semihard", "all"]
_DISTANCES = ("cosine", "euclidean", "squared", "dot")


class Miner(NamedArguments, nn.Module, ABC):
    """What miners share: the call, the choice of pairs by label, similarities without gradient.

    Args:
        level: the label column that says who is a positive.
        distance: ``"cosine"``, ``"euclidean"``, ``"squared"``, ``"dot"`` (of embeddings as they
            are), or a function of ``(B, D)`` and ``(M, D)``.
    """

    def __init__(self, level: int = 0, distance: Distance = "cosine") -> None:
        super().__init__()
        check_distance(type(self).__name__, distance, _DISTANCES)
        self.level = level
        self.distance = distance

    @torch.no_grad()
    def forward(
        self, embeddings: Any, labels: Any, ref_emb: Any = None, ref_labels: Any = None
    ) -> tuple[Tensor, ...]:
        """The indices of a batch, or of a batch and a reference set.

        Args:
            embeddings: ``(B, D)``.
            labels: ``(B,)`` or ``(B, L)``.
            ref_emb: ``(M, D)``; None for the batch itself.
            ref_labels: ``(M,)`` or ``(M, L)``.
        """
        name, unit = type(self).__name__, self.distance != "dot"
        batch = pair(name, embeddings, labels, None, ref_emb, ref_labels, normalize=unit)
        with torch.autocast(batch.query.device.type, enabled=False):
            scores = similarities(self.distance, batch.query, batch.reference)
            return self.mine(scores, all_pairs(batch, self.level).rows(), batch.query.shape[1])

    @abstractmethod
    def mine(self, scores: Tensor, pairs: Pairs, width: int) -> tuple[Tensor, ...]:
        """Indices from ``(B, M)`` similarities, the pairs there are, and the width D."""


class BatchEasyHardMiner(Miner):
    """For each anchor one positive and one negative, each the easiest or the hardest there is.

    Xuan et al., *Improved embeddings with easy positive triplet mining*, WACV 2020
    (arXiv 1904.04370), whose choice is the default: the nearest positive, and the nearest negative
    that lies beyond it.

    Args:
        pos_strategy: ``"easy"`` the nearest positive, ``"hard"`` the farthest, ``"semihard"`` the
            farthest within the chosen negative, ``"all"``.
        neg_strategy: ``"hard"`` the nearest negative, ``"easy"`` the farthest, ``"semihard"`` the
            nearest beyond the chosen positive, ``"all"``. Only one side can be semi-hard, and not
            beside ``"all"``.
        level, distance: as for every miner.

    Returns pairs: ``(anchors, positives, anchors, negatives)``.

    >>> import torch
    >>> miner = BatchEasyHardMiner()
    >>> x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]])
    >>> [part.tolist() for part in miner(x, torch.tensor([0, 0, 1, 1]))][1::2]
    [[1, 0, 3], [3, 3, 1]]
    """

    def __init__(
        self,
        pos_strategy: Strategy = "easy",
        neg_strategy: Strategy = "semihard",
        *,
        level: int = 0,
        distance: Distance = "cosine",
    ) -> None:
        super().__init__(level, distance)
        name, known = type(self).__name__, ("easy", "hard", "semihard", "all")
        one_of(name, "pos_strategy", pos_strategy, known)
        one_of(name, "neg_strategy", neg_strategy, known)
        both = {pos_strategy, neg_strategy}
        if both in ({"semihard"}, {"semihard", "all"}):
            raise ConfigError(
                f"{name}: pos_strategy={pos_strategy!r} and neg_strategy={neg_strategy!r}: a side "
                "is semi-hard by what the other side chose. Set the other to easy or hard."
            )
        self.pos_strategy = pos_strategy
        self.neg_strategy = neg_strategy

    def mine(self, scores: Tensor, pairs: Pairs, width: int) -> tuple[Tensor, ...]:
        """See the class."""
        inf = torch.inf
        positive, negative = pairs.positive, pairs.negative
        if self.pos_strategy == "semihard":
            negative = _chosen(scores, negative, nearest=self.neg_strategy == "hard")
            limit = scores.masked_fill(~negative, inf).amin(dim=1, keepdim=True)
            positive = positive & (scores > limit)
        elif self.neg_strategy == "semihard":
            positive = _chosen(scores, positive, nearest=self.pos_strategy == "easy")
            limit = scores.masked_fill(~positive, -inf).amax(dim=1, keepdim=True)
            negative = negative & (scores < limit)
        if self.pos_strategy != "all":
            positive = _chosen(scores, positive, nearest=self.pos_strategy == "easy")
        if self.neg_strategy != "all":
            negative = _chosen(scores, negative, nearest=self.neg_strategy != "easy")
        if "all" not in (self.pos_strategy, self.neg_strategy):
            both = (positive.any(dim=1) & negative.any(dim=1))[:, None]
            positive, negative = positive & both, negative & both
        return (*positive.nonzero(as_tuple=True), *negative.nonzero(as_tuple=True))


class HardMiner(BatchEasyHardMiner):
    """For each anchor the farthest positive and the nearest negative: batch-hard.

    Hermans et al., *In defense of the triplet loss for person re-identification*, 2017
    (arXiv 1703.07737), eq. 5.

    Args:
        level, distance: as for every miner.

    Returns triplets.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]])
    >>> [part.tolist() for part in HardMiner()(x, torch.tensor([0, 0, 1, 1]))]
    [[0, 1, 2, 3], [1, 0, 3, 2], [3, 3, 1, 1]]
    """

    def __init__(self, *, level: int = 0, distance: Distance = "cosine") -> None:
        super().__init__("hard", "hard", level=level, distance=distance)

    def mine(self, scores: Tensor, pairs: Pairs, width: int) -> tuple[Tensor, ...]:
        """See the class."""
        anchors, positives, _, negatives = super().mine(scores, pairs, width)
        return anchors, positives, negatives


class SemiHardMiner(Miner):
    """All triplets whose negative lies beyond the positive, but by less than a margin.

    Schroff et al., *FaceNet*, CVPR 2015 (arXiv 1503.03832), eq. 4.

    Args:
        margin: in the unit of the distance: cosines by default.
        level, distance: as for every miner.

    Returns triplets.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.6]])
    >>> [part.tolist() for part in SemiHardMiner(0.3)(x, torch.tensor([0, 0, 1, 1]))]
    [[0, 1], [1, 0], [3, 3]]
    """

    def __init__(
        self, margin: float = 0.2, *, level: int = 0, distance: Distance = "cosine"
    ) -> None:
        super().__init__(level, distance)
        self.margin = between("SemiHardMiner", "margin", margin, 0)

    def mine(self, scores: Tensor, pairs: Pairs, width: int) -> tuple[Tensor, ...]:
        """See the class."""
        anchors, positives = pairs.positive.nonzero(as_tuple=True)
        gap = scores[anchors, positives][:, None] - scores[anchors]
        rows, negatives = ((gap > 0) & (gap <= self.margin) & pairs.negative[anchors]).nonzero(
            as_tuple=True
        )
        return anchors[rows], positives[rows], negatives


class MultiSimilarityMiner(Miner):
    """Pairs that the anchor's worst pair of the other kind makes worth learning from.

    Negatives above the worst positive less ε, positives below the worst negative plus ε: Wang et
    al., *Multi-similarity loss*, CVPR 2019, eqs. 11 and 12 (arXiv 1904.06627).

    Args:
        epsilon: in cosines.
        level, distance: as for every miner.

    Returns pairs.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.6]])
    >>> [len(part) for part in MultiSimilarityMiner()(x, torch.tensor([0, 0, 1, 1]))]
    [1, 1, 2, 2]
    """

    def __init__(
        self, epsilon: float = 0.1, *, level: int = 0, distance: Distance = "cosine"
    ) -> None:
        super().__init__(level, distance)
        self.epsilon = between("MultiSimilarityMiner", "epsilon", epsilon, 0)

    def mine(self, scores: Tensor, pairs: Pairs, width: int) -> tuple[Tensor, ...]:
        """See the class."""
        kept = informative(scores, pairs, self.epsilon)
        return (*kept.positive.nonzero(as_tuple=True), *kept.negative.nonzero(as_tuple=True))


class DistanceWeightedMiner(Miner):
    """For every positive pair a negative, drawn by the inverse density of its distance.

    Wu et al., *Sampling matters in deep embedding learning*, ICCV 2017 (arXiv 1706.07567), for
    unit vectors; see :func:`~lookalike.losses.triplet.distance_weights`.

    Args:
        nearest: Euclidean distances below count as this one.
        farthest: negatives beyond are never drawn.
        seed: of the draws; the number of draws made is saved with the miner.
        level: as for every miner.

    Returns triplets.
    """

    draws: Tensor

    def __init__(
        self, nearest: float = 0.5, farthest: float = 1.4, *, seed: int = 0, level: int = 0
    ) -> None:
        super().__init__(level)
        self.farthest = between("DistanceWeightedMiner", "farthest", farthest, 0, 2)
        self.nearest = between("DistanceWeightedMiner", "nearest", nearest, 0, farthest)
        self.seed = seed
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))

    def mine(self, scores: Tensor, pairs: Pairs, width: int) -> tuple[Tensor, ...]:
        """See the class."""
        generator = torch.Generator(scores.device)
        generator.manual_seed((self.seed << 32) + int(self.draws))
        if self.training:
            self.draws += 1
        distances = (2 - 2 * scores).clamp_min(0).sqrt()
        weights = distance_weights(distances, pairs.negative, width, self.nearest, self.farthest)
        return draw_negatives(pairs.positive, weights, generator)


def _chosen(scores: Tensor, mask: Tensor, *, nearest: bool) -> Tensor:
    """Of each row's entries in a mask the largest or the smallest one alone."""
    fill = -torch.inf if nearest else torch.inf
    filled = scores.masked_fill(~mask, fill)
    best = filled.argmax(dim=1) if nearest else filled.argmin(dim=1)
    return torch.zeros_like(mask).scatter_(1, best[:, None], True) & mask
