"""FastAP and SoftBinAP: average precision over soft histograms of the scores."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from lookalike.errors import LookalikeError, counted
from lookalike.losses.arguments import one_of
from lookalike.losses.inputs import Pairing
from lookalike.losses.rank_loss import Reduction, RowLoss
from lookalike.ops.binned_rows import BinnedRows
from lookalike.ops.histograms import Bins
from lookalike.ops.positives import Positives
from lookalike.ops.row_losses import RowFunction

Ties = Literal["ignore", "aware", "simplified"]


class FastAP(RowLoss):
    """1 - average precision over a histogram of distances.

    ::

        FastAP_b = 1/|P_b| · sum_q h⁺_q · H⁺_q / H_q

    with ``h`` the histogram of the squared distances ``2 - 2 s`` over ``num_bins + 1`` centres from
    0 to 4 (``h⁺`` of the positives), and ``H`` its running sum. Cakir et al., *Deep metric learning
    to rank*, CVPR 2019. The query is never among its own items.

    Args:
        num_bins: steps between the centres.
        level: label column that says who matches.
        normalize: divide embeddings by their norm first; the distances suppose unit vectors.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        chunk_size: queries at a time; None chooses.

    Time is that of two products of the embeddings, whatever the number of bins.

    Raises:
        LookalikeError: arguments or shapes that do not fit.
        NumericsError: NaN or infinity among the embeddings.

    Relations:
        The gradient published with the paper is ``(queries with a positive) / 2`` times this one.

    >>> import torch
    >>> round(float(FastAP()(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([5, 5, 9, 9]))), 4)
    0.0
    """

    def __init__(
        self,
        num_bins: int = 10,
        level: int = 0,
        normalize: bool = True,
        *,
        reduction: Reduction = "mean",
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(
            level=level,
            include_self=False,
            normalize=normalize,
            reduction=reduction,
            chunk_size=chunk_size,
        )
        if num_bins < 1:
            raise LookalikeError(f"FastAP: num_bins={num_bins}, must be >= 1.")
        self.num_bins = num_bins

    def rows(self, positives: Positives, pairing: Pairing) -> RowFunction:
        """The row function of the histogram."""
        return BinnedRows(positives, Bins(self.num_bins + 1, -1.0, 1.0), binned_ap)


class SoftBinAP(RowLoss):
    """1 - average precision of quantised scores.

    ::

        AP_b = sum_q  C⁺_q / C_q · c⁺_q / |P_b|

    with ``c`` the histogram of the scores over ``nq`` centres from ``high`` down to ``low``, its
    ends saturated, ``c⁺`` that of the positives and ``C`` their running sums. Revaud et al.,
    *Learning with average precision*, ICCV 2019 (there nq = 25, low = 0).

    Args:
        nq: number of bins.
        low, high: scores of the last and the first centre.
        ties: ``"ignore"``; ``"aware"`` takes the expected AP over all orders of the items of a bin
            (He et al., CVPR 2018), ``"simplified"`` its short form.
        distance: quantise ``1 - sqrt(2.001 - 2 s)`` instead of ``s``.
        level: label column that says who matches.
        include_self: whether the query ranks itself among its positives.
        normalize: divide embeddings by their norm first.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        chunk_size: queries at a time; None chooses.

    Raises:
        LookalikeError: arguments or shapes that do not fit.
        NumericsError: NaN or infinity among the embeddings.

    >>> import torch
    >>> round(float(SoftBinAP()(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([5, 5, 9, 9]))), 4)
    0.0
    """

    def __init__(
        self,
        nq: int = 20,
        low: float = -1.0,
        high: float = 1.0,
        ties: Ties = "ignore",
        distance: bool = False,
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
        if nq < 2 or low >= high:
            raise LookalikeError(
                f"SoftBinAP: nq={counted(nq, 'bin')} from {low} to {high} cannot be."
            )
        scores = {
            "ignore": binned_ap,
            "aware": tie_aware_ap,
            "simplified": partial(tie_aware_ap, simplified=True),
        }
        one_of("SoftBinAP", "ties", ties, scores)
        self.nq = nq
        self.low = low
        self.high = high
        self.ties: Ties = ties
        self.distance = distance
        self._score = scores[ties]

    def rows(self, positives: Positives, pairing: Pairing) -> RowFunction:
        """The row function of the histogram."""
        bins = Bins(self.nq, self.low, self.high)
        return BinnedRows(positives, bins, self._score, self.distance)


def binned_ap(matching: Tensor, every: Tensor) -> Tensor:
    """``(c,)`` average precision from the histograms of positives and of all items."""
    precision = matching.cumsum(dim=1) / (every.cumsum(dim=1) + 1e-16)
    # A row without positives must divide by something; its score is not used.
    return (precision * matching).sum(dim=1) / matching.sum(dim=1).clamp(min=1e-16)


def tie_aware_ap(matching: Tensor, every: Tensor, simplified: bool = False) -> Tensor:
    """``(c,)`` expected average precision when the items of a bin come in any order."""
    found, seen = matching.cumsum(dim=1), every.cumsum(dim=1)
    before, seen_before = found - matching, seen - every
    count = matching.sum(dim=1).clamp(min=1e-16)
    if simplified:
        share = (before + found + 1) / (seen_before + seen + 1)
        return (matching * share).sum(dim=1) / count
    density = (matching - 1).clamp(min=0) / ((every - 1).clamp(min=0) + 1e-8)
    spread = torch.log((seen + 1) / (seen_before + 1))
    share = every * density + (before + 1 - density * (seen_before + 1)) * spread
    return (matching / (every + 1e-8) * share).sum(dim=1) / count
