"""What the rank losses share: from a call to positives, steps, and one pass over the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lookalike.calls import NamedArguments
from lookalike.errors import LookalikeError
from lookalike.losses.arguments import between, one_of
from lookalike.losses.inputs import Pairing, pair
from lookalike.losses.pairs import among
from lookalike.ops import paths
from lookalike.ops.positives import Positives, SelfRole
from lookalike.ops.ranked_rows import RankedRows
from lookalike.ops.ranks import Ranked, Steps
from lookalike.ops.row_losses import RowFunction, row_losses

Reduction = Literal["mean", "sum", "none"]


class RowLoss(NamedArguments, nn.Module, ABC):
    """A loss that is a mean over queries of a function of their row of scores.

    After a call, ``skipped`` counts the queries that had no positive and contributed nothing.

    Args:
        level: label column to use; None for all of them.
        include_self: whether the query is its own first positive, as published.
        normalize: divide every embedding by its norm first.
        reduction: ``"mean"`` or ``"sum"`` over the queries that have a positive, or ``"none"``:
            ``(B,)``, 0 for the others.
        chunk_size: queries ranked at a time, to bound memory; None chooses.
    """

    def __init__(
        self,
        *,
        level: int | None = 0,
        include_self: bool = True,
        normalize: bool = True,
        reduction: Reduction = "mean",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        one_of(name, "reduction", reduction, ("mean", "sum", "none"))
        if chunk_size is not None:
            between(name, "chunk_size", chunk_size, 1)
        self.level = level
        self.include_self = include_self
        self.normalize = normalize
        self.reduction: Reduction = reduction
        self.chunk_size = chunk_size
        self.skipped: int = 0

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss of ``(B, D)`` embeddings; see :mod:`lookalike.losses` for the call.

        An ``indices_tuple`` is refused for a batch against itself, and with a reference set says
        which references each query is ranked among (:func:`lookalike.losses.pairs.among`).
        """
        call = embeddings, labels, indices_tuple, ref_emb, ref_labels
        if torch.compiler.is_compiling():
            # Sorting labels and walking over rows is no graph. Its kernels are, and they are
            # compiled once for all losses and sizes.
            return torch.compiler.disable(self._compiled)(*call)  # pyright: ignore[reportCallIssue]
        return self._eager(*call)

    def _compiled(self, *call: Any) -> Tensor:
        with paths.compiling(asked=True):
            return self._eager(*call)

    def _eager(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any,
        ref_emb: Tensor | None,
        ref_labels: Tensor | None,
    ) -> Tensor:
        name = type(self).__name__
        pairing = pair(
            name,
            embeddings,
            labels,
            indices_tuple,
            ref_emb,
            ref_labels,
            normalize=self.normalize,
        )
        if indices_tuple is not None:
            pairing = among(name, pairing, indices_tuple)
        return self.of_pairing(pairing)

    def of_pairing(self, pairing: Pairing) -> Tensor:
        """The loss of inputs already checked."""
        positives = self.positives(pairing)
        exists = positives.exists
        self.skipped = len(exists) - positives.existing
        if positives.largest == 0:
            nothing = (pairing.query[:, :0].sum() + pairing.reference[:, :0].sum()) * 0
            return nothing.expand(len(exists)) if self.reduction == "none" else nothing
        rows = self.rows(positives, pairing)
        reference = None if pairing.is_self else pairing.reference
        if self.reduction == "none":
            return row_losses(pairing.query, reference, rows, chunk=self.chunk_size)
        dtype = pairing.query.dtype
        is_mean = self.reduction == "mean"
        weights = self.mean_weights(positives, dtype) if is_mean else exists.to(dtype)
        return row_losses(pairing.query, reference, rows, weights, self.chunk_size)

    def mean_weights(self, positives: Positives, dtype: torch.dtype) -> Tensor:
        """``(B,)``: the same for every query that has a positive, together 1."""
        return positives.exists.to(dtype) / (len(positives.exists) - self.skipped)

    def positives(self, pairing: Pairing) -> Positives:
        """Who matches whom at this loss's level."""
        query, reference = pairing.query_labels, pairing.reference_labels
        if self.level is not None:
            query, reference = (labels[:, None] for labels in pairing.level(self.level))
        role = self.self_role(pairing)
        return Positives(query, reference, role, pairing.own, pairing.candidates)

    def self_role(self, pairing: Pairing) -> SelfRole:
        """What the query is to its own ranking."""
        return "absent" if pairing.knows_self and not self.include_self else "positive"

    @abstractmethod
    def rows(self, positives: Positives, pairing: Pairing) -> RowFunction:
        """The row function of this loss."""


class RankLoss(RowLoss):
    """A :class:`RowLoss` that needs only the soft ranks of the positives."""

    def rows(self, positives: Positives, pairing: Pairing) -> RowFunction:
        """The row function of :meth:`steps` and :meth:`score`."""
        return RankedRows(positives, self.steps(), self.score)

    @abstractmethod
    def steps(self) -> Steps:
        """Which step which item takes."""

    @abstractmethod
    def score(self, ranked: Ranked) -> Tensor:
        """``(c,)``, 1 when the ranking is perfect."""


def check_upper_bound(loss: str, delta: float | None, offset: float | None) -> None:
    """A line that begins at 0 has no sigmoid to join, so it needs its height."""
    if delta is None and offset is None:
        raise LookalikeError(f"{loss}: delta=None needs a number for offset.")
