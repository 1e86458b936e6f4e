"""ln(1 + Σ exp) over a mask, the soft maximum of multi-similarity and proxy anchor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Below every exponent, and finite: exp of it is 0, and so is its slope where nothing else stands.
FLOOR = -1e9
_LEAST = -87.0  # exp of it is the smallest normal float32


def log_one_plus(exponents: Tensor, mask: Tensor, dim: int) -> Tensor:
    """ln(1 + Σ exp) along ``dim`` over a mask: 0, with no gradient, where the mask is empty.

    Args:
        exponents: floating point.
        mask: of the same shape, bool; or 1 and 0 of the same type, which cost a CPU a tenth.
        dim: see above.

    >>> log_one_plus(torch.zeros(2, 3), torch.tensor([[True] * 3, [False] * 3]), dim=1)
    tensor([1.3863, 0.0000])
    """
    return one_plus(log_sum(exponents, mask, dim))


def log_sum(exponents: Tensor, mask: Tensor, dim: int) -> Tensor:
    """ln Σ exp along ``dim`` over a mask: `FLOOR`, with no gradient, where the mask is empty.

    Differentiable once; the arguments of `log_one_plus`.
    """
    share = mask if mask.is_floating_point() else mask.to(exponents.dtype)
    return _LogSum.apply(exponents, share, dim)  # pyright: ignore[reportReturnType]


class _LogSum(torch.autograd.Function):
    """ln Σ share · exp, `FLOOR` where there is nothing to add up."""

    @staticmethod
    def forward(ctx: Any, exponents: Tensor, share: Tensor, dim: int) -> Tensor:
        highest = torch.add(exponents, 1 - share, alpha=FLOOR).amax(dim, keepdim=True)
        # Exponents that do not count may lie above; and a processor is slow where exp comes to 0.
        powers = (exponents - highest).clamp_(_LEAST, 0.0).exp_().mul_(share)
        total = powers.sum(dim, keepdim=True)
        ctx.save_for_backward(powers, total)
        logs = (highest + total.log()).clamp_min_(FLOOR)
        ctx.dim = dim
        return logs.squeeze(dim)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        powers, total = ctx.saved_tensors
        scale = grad_output[0].unsqueeze(ctx.dim) / total.clamp_min(torch.finfo(total.dtype).tiny)
        return powers * scale, None, None


def one_plus(log: Tensor) -> Tensor:
    """ln(1 + e^x), to the last bit also where ``softplus`` cuts to x."""
    return torch.logaddexp(log, torch.zeros_like(log))
