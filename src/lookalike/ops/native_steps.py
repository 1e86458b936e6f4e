"""The kernels of :mod:`lookalike.ops.step_sums` on a CPU, in float32, by the C++ library."""

from __future__ import annotations

import torch
from torch import Tensor

from lookalike.ops import paths
from lookalike.ops.steps import SoftStep


def suits(scores: Tensor) -> bool:
    """Whether the native kernels can and may take these scores."""
    return (
        scores.device.type == "cpu"
        and scores.dtype == torch.float32
        and scores.is_contiguous()
        and paths.native() is not None
    )


def step_sums(scores: Tensor, pivots: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_sums`."""
    sums = torch.empty_like(pivots, memory_format=torch.contiguous_format)
    native = paths.native()
    assert native is not None
    native.step_sums(scores.detach(), pivots.detach().contiguous(), sums, *_numbers(step), *_how())
    return sums


def step_slopes_(scores: Tensor, pivots: Tensor, weights: Tensor, step: SoftStep) -> Tensor:
    """As :func:`lookalike.ops.step_sums.step_slopes_`."""
    totals = torch.empty_like(pivots, memory_format=torch.contiguous_format)
    native = paths.native()
    assert native is not None
    native.step_slopes(
        scores.detach(),
        pivots.detach().contiguous(),
        weights.detach().contiguous(),
        totals,
        *_numbers(step),
        *_how(),
    )
    return totals


def _numbers(step: SoftStep) -> tuple[float, ...]:
    return step.tau, step.start, step.delta, step.rho, step.offset


def _how() -> tuple[str | None, int]:
    return paths.instruction_set(), torch.get_num_threads()
