"""BlackboxAP and BlackboxRecall: exact ranks, differentiated by interpolation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lookalike.losses.arguments import between, one_of, positive
from lookalike.losses.inputs import Pairing
from lookalike.losses.rank_loss import Reduction, RowLoss
from lookalike.ops.blackbox_rows import BlackboxRows
from lookalike.ops.positives import Positives
from lookalike.ops.row_losses import RowFunction

WEIGHTS = {
    "log1p": torch.log1p,
    "loglog": lambda x: torch.log1p(torch.log1p(x)),
    "identity": lambda x: x,
}


class BlackboxAP(RowLoss):
    """1 - average precision of exact ranks, with a blackbox gradient.

    ::

        AP_b = sum over i in P_b of rank⁺(i) / rank(i)  /  (|P_b| + 1e-5)

    The gradient compares the ranks with those of scores moved along it by ``lambda_``. Rolínek et
    al., *Optimizing rank-based metrics with blackbox differentiation*, CVPR 2020
    (arXiv 1912.03500).
    Items of equal score share their mean rank.

    Args:
        lambda_: how far the scores are moved; larger means smoother.
        margin: positives are lowered and the others raised by ``margin/2 · |noise|`` with normal
            noise drawn at every call, so that the loss is random unless ``margin=0``.
        level: label column that says who matches.
        include_self: whether the query ranks itself among its positives.
        normalize: divide embeddings by their norm first.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        chunk_size: queries at a time; None chooses.

    The gradient is that of this loss alone: a factor put on it afterwards scales the gradient and
    does not move the scores further, as it would in the original.

    Raises:
        LookalikeError: arguments or shapes that do not fit.
        NumericsError: NaN or infinity among the embeddings.

    >>> import torch
    >>> loss = BlackboxAP(margin=0)
    >>> round(float(loss(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([5, 5, 9, 9]))), 4)
    0.0
    """

    def __init__(
        self,
        lambda_: float = 4.0,
        margin: float = 0.02,
        level: int = 0,
        include_self: bool = True,
        normalize: bool = True,
        *,
        reduction: Reduction = "mean",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(
            level=level,
            include_self=include_self,
            normalize=normalize,
            reduction=reduction,
            chunk_size=chunk_size,
        )
        self.lambda_ = positive(type(self).__name__, "lambda_", lambda_)
        self.margin = between(type(self).__name__, "margin", margin, 0)

    def rows(self, positives: Positives, pairing: Pairing) -> RowFunction:
        """The row function, with fresh noise if there is a margin."""
        noise = None
        if self.margin:
            noise = self.noise(len(pairing.query), len(pairing.reference), pairing.query)
        return BlackboxRows(positives, self.lambda_, self.margin, noise, self._loss)

    def noise(self, queries: int, references: int, like: Tensor) -> Tensor:
        """``(B, M)`` absolute values of normal numbers."""
        return torch.randn(queries, references, device=like.device, dtype=like.dtype).abs_()

    @staticmethod
    def _loss(rank: Tensor, among: Tensor, mask: Tensor, items: Tensor) -> Tensor:
        count = mask.sum(dim=1).to(rank.dtype)
        return 1 - (among / rank * mask).sum(dim=1) / (count + 1e-5)


class BlackboxRecall(RowLoss):
    """A function of how many wrong items stand before each positive, with a blackbox gradient.

    ::

        loss = sum_b sum over i in P_b of weight(v_i)  /  sum_b |P_b|

    where ``v_i`` is the number of non-matching items ahead of i, times ``B / M`` as published (1
    for a batch against itself). Rolínek et al., CVPR 2020; the value is not 1 - recall.

    Args:
        lambda_: how far the scores are moved; larger means smoother. The paper gives no default.
        margin: positives are lowered and the others raised by half of it.
        weight: ``"log1p"``: log(1 + v); ``"loglog"``: log(1 + log(1 + v)); ``"identity"``: v.
        scale: ``"queries"``, the published ``B / M``, or ``"references"``: plain counts.
        level: label column that says who matches.
        include_self: whether the query ranks itself among its positives.
        normalize: divide embeddings by their norm first.
        reduction: ``"mean"`` over all positives, ``"sum"``, or ``"none"``: the sum of each query.
        chunk_size: queries at a time; None chooses.

    Raises:
        LookalikeError: arguments or shapes that do not fit.
        NumericsError: NaN or infinity among the embeddings.

    >>> import torch
    >>> loss = BlackboxRecall(lambda_=4.0, margin=0.02)
    >>> float(loss(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([5, 5, 9, 9])))
    0.0
    """

    def __init__(
        self,
        lambda_: float,
        margin: float,
        weight: Literal["log1p", "loglog", "identity"] = "log1p",
        scale: Literal["queries", "references"] = "queries",
        level: int = 0,
        include_self: bool = True,
        normalize: bool = True,
        *,
        reduction: Reduction = "mean",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(
            level=level,
            include_self=include_self,
            normalize=normalize,
            reduction=reduction,
            chunk_size=chunk_size,
        )
        one_of("BlackboxRecall", "weight", weight, WEIGHTS)
        one_of("BlackboxRecall", "scale", scale, ("queries", "references"))
        self.lambda_ = positive(type(self).__name__, "lambda_", lambda_)
        self.margin = between(type(self).__name__, "margin", margin, 0)
        self.weight = weight
        self.scale = scale

    def rows(self, positives: Positives, pairing: Pairing) -> RowFunction:
        """The row function of the published scale, or of plain counts."""
        return self.rows_of(positives, len(pairing.query))

    def rows_of(self, positives: Positives, queries: int) -> RowFunction:
        """The row function for so many queries."""
        is_published = self.scale == "queries"

        def loss(rank: Tensor, among: Tensor, mask: Tensor, items: Tensor) -> Tensor:
            ahead = (rank - among) * (queries / items if is_published else 1)
            return (WEIGHTS[self.weight](ahead) * mask).sum(dim=1)

        return BlackboxRows(positives, self.lambda_, self.margin, None, loss)

    def mean_weights(self, positives: Positives, dtype: torch.dtype) -> Tensor:
        """One over the number of all positives, for every query."""
        counts = positives.counts.to(dtype)
        return (1 / counts.sum()).expand(len(counts))
