"""The kernels of this room on a CPU, in float32, by the C++ library."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lookalike.ops import paths
from lookalike.ops.steps import Heaviside, LowerBound, SoftStep, Step

if TYPE_CHECKING:
    from lookalike.ops.histograms import Bins
    from lookalike.ops.pair_sums import PairSteps

MOST_BINS = 256
# From this many pivots on they are sorted, and a score meets only those within reach of the curve:
# no loss where scores lie close together, five times as fast where they spread.
MANY = 128


def suits(*tensors: Tensor) -> bool:
    """Whether the native kernels can and may take these tensors."""
    return (
        all(
            t.device.type == "cpu" and t.dtype == torch.float32 and t.is_contiguous()
            for t in tensors
        )
        and paths.native() is not None
    )


def step_sums(scores: Tensor, pivots: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_sums`."""
    sums = _like(pivots)
    is_many = pivots.shape[1] >= MANY
    order = None
    if is_many:
        pivots, order = pivots.detach().sort(dim=1)
    _library().step_sums(scores.detach(), _plain(pivots), sums, *_numbers(step), is_many, *_how())
    return sums if order is None else _unsorted(sums, order)


def step_slopes_(scores: Tensor, pivots: Tensor, weights: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_slopes_`."""
    totals = _like(pivots)
    is_many = pivots.shape[1] >= MANY
    order = None
    if is_many:
        pivots, order = pivots.detach().sort(dim=1)
        weights = weights.gather(1, order)
    _library().step_slopes(
        scores.detach(), _plain(pivots), _plain(weights), totals, *_numbers(step), is_many, *_how()
    )
    return totals if order is None else _unsorted(totals, order)


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


def _unsorted(values: Tensor, order: Tensor) -> Tensor:
    return torch.empty_like(values).scatter_(1, order, values)


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
