"""The kernels of this room on a CPU, in float32, by the C++ library."""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lookalike.ops import paths
from lookalike.ops.line_plans import SINGLE, TERMS, plan
from lookalike.ops.steps import Heaviside, LowerBound, SoftStep, Step

if TYPE_CHECKING:
    from lookalike.ops.histograms import Bins
    from lookalike.ops.pair_sums import PairSteps

MOST_BINS = 256


def suits(*tensors: Tensor, dtype: torch.dtype = torch.float32) -> bool:
    """Whether the native kernels can and may take these tensors."""
    return (
        all(t.device.type == "cpu" and t.dtype == dtype and t.is_contiguous() for t in tensors)
        and paths.native() is not None
    )


def step_sums(scores: Tensor, pivots: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_sums`."""
    sums = _like(pivots)
    _library().step_sums(scores.detach(), _plain(pivots), sums, *_numbers(step), *_how())
    return sums


def step_slopes_(scores: Tensor, pivots: Tensor, weights: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_slopes_`."""
    totals = _like(pivots)
    _library().step_slopes(
        scores.detach(), _plain(pivots), _plain(weights), totals, *_numbers(step), *_how()
    )
    return totals


def line_sums(scores: Tensor, pivots: Tensor, step: SoftStep) -> Tensor:
    """As :func:`step_sums`, for many pivots."""
    sums, plans = _like(pivots), (_plan(step, False), _plan(step, True))
    _library().line_sums(scores.detach(), _plain(pivots), sums, None, None, *plans, *_how())
    return sums


def line_sums_and_slopes(
    scores: Tensor, pivots: Tensor, step: SoftStep
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`line_sums`, the sums of the slopes, and the order of the scores for the shares."""
    sums, slopes, plans = _like(pivots), _like(pivots), (_plan(step, False), _plan(step, True))
    order = torch.empty(scores.shape, dtype=torch.int32)
    _library().line_sums(scores.detach(), _plain(pivots), sums, slopes, order, *plans, *_how())
    return sums, slopes, order


def line_slopes_(
    scores: Tensor, pivots: Tensor, weights: Tensor, order: Tensor, step: SoftStep
) -> None:
    """As :func:`step_slopes_`, for many pivots whose slopes and scores' order are known."""
    _library().line_slopes(
        scores.detach(), _plain(pivots), _plain(weights), order, _plan(step, True), *_how()
    )


def shared_levels(query: Tensor, reference: Tensor) -> Tensor:
    """As :func:`lookalike.ops.positives.shared_levels`."""
    levels = torch.empty(len(query), reference.shape[1], dtype=torch.uint8)
    _library().shared_levels(query, reference, levels, torch.get_num_threads())
    return levels


def matching_columns(levels: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """``(c, width)`` int64 and uint8: the columns that share a level, and which; padding last."""
    index = torch.empty(len(levels), width, dtype=torch.long)
    found = torch.empty(len(levels), width, dtype=torch.uint8)
    _library().matching_columns(levels, index, found, torch.get_num_threads())
    return index, found


def take_falling_(
    scores: Tensor, index: Tensor, mask: Tensor, level: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As :meth:`lookalike.ops.positives.RowPositives.take_falling_`; overwrites where it can."""
    own = scores.new_empty(index.shape)
    index, mask, level = index.contiguous(), mask.contiguous(), level.contiguous()
    _library().take_falling(scores, index, mask, level, own, torch.get_num_threads())
    return own, index, mask, level


def sorted_columns(
    order: Tensor, first: Tensor, count: Tensor, own_place: Tensor | None, width: int
) -> Tensor:
    """``(c, width)`` int64: ``count`` entries of ``order`` from ``first`` on, without one place."""
    if own_place is None:
        own_place = torch.full_like(first, len(order))
    index = torch.empty(len(first), width, dtype=torch.long)
    _library().sorted_columns(order, first, count, own_place, index, torch.get_num_threads())
    return index


def pair_sums(pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps) -> Tensor:
    """As :func:`lookalike.ops.pair_sums.torch_pair_sums`."""
    sums = _like(pivots)
    _library().pair_sums(
        _plain(pivots),
        _plain(weight),
        None if level is None else _plain(level),
        sums,
        *(_kind_and_numbers(step) for step in (steps.lower, steps.peer, steps.better)),
        *_how(),
    )
    return sums


def pair_slopes(
    pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps, by_sum: Tensor
) -> Tensor:
    """As :func:`lookalike.ops.pair_sums.torch_pair_slopes`."""
    slopes = _like(pivots)
    _library().pair_slopes(
        _plain(pivots),
        _plain(weight),
        None if level is None else _plain(level),
        _plain(by_sum),
        slopes,
        *(_kind_and_numbers(step) for step in (steps.lower, steps.peer, steps.better)),
        *_how(),
    )
    return slopes


def line_pair_sums(
    pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps
) -> Tensor | None:
    """As :func:`lookalike.ops.line_pairs.line_pair_sums`."""
    sums = _like(pivots)
    itself = float(steps.peer(torch.zeros((), dtype=torch.float64)))
    good = _library().line_pair_sums(
        _plain(pivots),
        _plain(weight),
        None if level is None else _plain(level),
        sums,
        *_plans(steps, False),
        itself,
        *_how(),
    )
    return sums if good else None


def line_pair_slopes(
    pivots: Tensor, weight: Tensor, level: Tensor | None, steps: PairSteps, by_sum: Tensor
) -> Tensor | None:
    """As :func:`lookalike.ops.line_pairs.line_pair_slopes`."""
    slopes = _like(pivots)
    good = _library().line_pair_slopes(
        _plain(pivots),
        _plain(weight),
        None if level is None else _plain(level),
        _plain(by_sum),
        slopes,
        *_plans(steps, True),
        *_how(),
    )
    return slopes if good else None


def histogram(scores: Tensor, bins: Bins) -> Tensor:
    """As :func:`lookalike.ops.histograms.histogram`, of at most ``MOST_BINS`` bins."""
    shares = scores.new_empty(len(scores), bins.number)
    _library().histogram(scores.detach(), shares, bins.high, bins.density, *_how())
    return shares


def histogram_slopes_(scores: Tensor, bins: Bins, table: Tensor) -> Tensor:
    """Replace each score by the entry of its bucket in its row of ``(c, bins + 1)``."""
    _library().histogram_slopes(scores.detach(), table, bins.high, bins.density, *_how())
    return scores


def add_transpose_(square: Tensor) -> Tensor:
    """``square += square.T`` in place."""
    _library().add_transpose(square.detach(), *_how())
    return square


def _library() -> ModuleType:
    library = paths.native()
    if library is None:
        raise RuntimeError("native kernels were called where suits() is False")
    return library


def _how() -> tuple[str | None, int]:
    return paths.instruction_set(), torch.get_num_threads()


def _like(pivots: Tensor) -> Tensor:
    return torch.empty_like(pivots, memory_format=torch.contiguous_format, requires_grad=False)


def _plain(x: Tensor) -> Tensor:
    return x.detach().contiguous()


def _numbers(step: SoftStep) -> tuple[float, ...]:
    return step.tau, step.start, step.delta, step.rho, step.offset


def _kind_and_numbers(step: Step) -> tuple[float, ...]:
    if isinstance(step, SoftStep):
        return 0, *_numbers(step)
    if isinstance(step, Heaviside):
        return 1, 0, 0, 0, 0, 0
    if isinstance(step, LowerBound):
        return 2, step.beta, step.gamma, step.leak, 0, 0
    raise TypeError(f"no native form of {step}")


def _plans(steps: PairSteps, is_slope: bool) -> tuple[list[Any], list[int]]:
    """The different plans, and which of them lower items, peers and better items take."""
    relations = (steps.lower, steps.peer, steps.better)
    distinct = list(dict.fromkeys(relations))
    return [_plan(step, is_slope) for step in distinct], [distinct.index(s) for s in relations]


@lru_cache(maxsize=64)
def _plan(step: Step, is_slope: bool) -> tuple[Any, ...]:
    """A plan in the numbers and the order of native/line_rows.hpp."""
    found = plan(step, is_slope, SINGLE)
    cuts = [
        (cut.at, float(cut.is_strict), cut.constant, cut.slope, cut.scale, cut.add)
        for cut in found.cuts
    ]
    curve = found.curve
    if curve is None:
        return cuts, None, (0.0,) * 7, [(0.0,) * (SINGLE + 1)] * TERMS
    first, table = curve.near()
    numbers = (first, curve.width, curve.shift, curve.beyond, curve.is_cut, curve.tau, is_slope)
    return (
        cuts,
        np.ascontiguousarray(table, dtype=np.float32),
        tuple(map(float, numbers)),
        curve.tails(is_slope).tolist(),
    )
