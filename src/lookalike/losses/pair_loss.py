"""What pair losses share: the call, the matrix they look at, and sums of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from lookalike.calls import NamedArguments
from lookalike.losses.inputs import Pairing, pair
from lookalike.losses.pairs import Every, Mined, Shares, as_shares, chosen
from lookalike.ops.distances import Distance, lengths, of_products, similarities
from lookalike.ops.distances import check as check_distance
from lookalike.ops.row_terms import Sides, row_terms


def sum_and_active(values: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row, the sum of its pairs' values and how many of them are above 0, ``(c,)`` each."""
    above = is_above(values) * share
    return (values * share).sum(dim=1), above.sum(dim=1)


def is_above(values: Tensor, bound: Tensor | float = 0.0) -> Tensor:
    """1 where a value is above a bound, else 0, of the type of the values and without gradient."""
    return torch.gt(values.detach(), bound, out=torch.empty_like(values))


def mean_active(sums: Tensor, active: Tensor) -> Tensor:
    """The mean over the terms above 0 from what `sum_and_active` gave, 0 if there is none."""
    return sums.sum() / active.sum().clamp_min(1)


class PairLoss(NamedArguments, nn.Module, ABC):
    """What pair losses share: the call, the choice of pairs, float32 under autocast.

    Args:
        level: the label column that says who is a positive.
        normalize: divide embeddings by their norm first.
        distance: ``"cosine"``; ``"dot"``, of embeddings as they are, never normalised;
            ``"euclidean"`` or ``"squared"``, counted as similarities less than zero; or a function
            of ``(B, D)`` and ``(M, D)`` that gives distances, or similarities where it has
            ``is_inverted = True``, as those of pytorch-metric-learning.
    """

    takes_pairs = True

    def __init__(self, *, level: int, normalize: bool, distance: Distance = "cosine") -> None:
        super().__init__()
        check_distance(type(self).__name__, distance, ("cosine", "euclidean", "squared", "dot"))
        self.level = level
        self.normalize = normalize and distance != "dot"
        self.distance = distance

    def similarities(self, batch: Pairing) -> Tensor:
        """``(B, M)``, larger for nearer."""
        if isinstance(self.distance, str):
            products = batch.query @ batch.reference.T
            return self.of_products(batch, products, *self.sides(batch))
        return similarities(self.distance, batch.query, batch.reference)

    def sides(self, batch: Pairing) -> Sides:
        """What the matrix needs beside products: of the queries, and of the references."""
        assert isinstance(self.distance, str)
        return lengths(self.distance, batch.query, batch.reference)

    def of_products(self, batch: Pairing, products: Tensor, *sides: Tensor) -> Tensor:
        """The entries of the matrix from the products of some rows."""
        assert isinstance(self.distance, str)
        return of_products(self.distance, products, *sides)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch, or of a batch against a reference set.

        Args:
            embeddings: ``(B, D)``.
            labels: ``(B,)`` or ``(B, L)`` int64, column 0 the finest level.
            indices_tuple: mined pairs or triplets, as PML's miners return them.
            ref_emb: ``(M, D)``; without it the batch is its own reference, self excluded.
            ref_labels: ``(M,)`` or ``(M, L)``.
        """
        name = type(self).__name__
        batch = pair(name, embeddings, labels, None, ref_emb, ref_labels, normalize=self.normalize)
        with torch.autocast(batch.query.device.type, enabled=False):
            return self.value(batch, chosen(name, batch, self.level, indices_tuple))

    @abstractmethod
    def value(self, batch: Pairing, pairs: Every | Mined) -> Tensor:
        """The loss itself; every pair loss writes its own."""


class RowPairLoss(PairLoss):
    """A pair loss that needs of each query a few numbers, and then joins those of all queries.

    Rows pass a few at a time, so that no matrix but the scores is made
    (:mod:`lookalike.ops.row_terms`); with mined pairs, or a distance that is a function, all at
    once.
    """

    def value(self, batch: Pairing, pairs: Every | Mined) -> Tensor:
        """See the class."""
        distance = self.distance
        if isinstance(pairs, Mined) or not isinstance(distance, str):
            matrix = self.similarities(batch)
            return self.total(self.terms(matrix, as_shares(pairs, matrix)))

        def terms(scores: Tensor, part: slice, *sides: Tensor) -> Tensor:
            matrix = self.of_products(batch, scores, *sides)
            return self.terms(matrix, pairs.shares(part, scores))

        reference = None if batch.reference is batch.query else batch.reference
        return self.total(row_terms(batch.query, reference, terms, self.sides(batch)))

    @abstractmethod
    def terms(self, matrix: Tensor, pairs: Shares) -> Tensor:
        """``(c, K)`` numbers of some rows ``(c, M)``, differentiable in them."""

    @abstractmethod
    def total(self, terms: Tensor) -> Tensor:
        """The loss from the numbers of all rows, ``(B, K)``."""
