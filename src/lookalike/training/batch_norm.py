"""Batch norm over the images of all processes, on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lookalike import distributed
from lookalike.errors import ConfigError


def synchronize(model: nn.Module, device: torch.device) -> None:
    """Let every batch norm of a model use the statistics of the batch of all processes.

    On CUDA that is torch's ``SyncBatchNorm``; elsewhere torch has none, and :class:`SyncBatchNorm`
    here takes its place. Weights, statistics and their names stay; alone, nothing changes.

    Raises:
        ConfigError: a batch norm that is more than that, such as one fused with an activation.
    """
    for owner in list(model.modules()):
        for name, module in list(owner.named_children()):
            if isinstance(module, _BatchNorm):
                setattr(owner, name, _synchronized(module, device))


def _synchronized(module: _BatchNorm, device: torch.device) -> nn.Module:
    if type(module) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
        raise ConfigError(
            f"sync_batch_norm: the model has a {type(module).__name__}, which is no plain batch "
            "norm. Set model.freeze_batch_norm=true instead, which needs no synchronising."
        )
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    module.__class__ = SyncBatchNorm
    return module


class SyncBatchNorm(_BatchNorm):
    """Batch norm whose mean and variance are those of the images of all processes.

    ::

        μ = Σ x / n;   σ² = Σ (x − μ)² / n;   y = (x − μ)/√(σ² + eps)·weight + bias

    with sums over batch, places and processes; the running variance takes σ²·n/(n − 1). Ioffe and
    Szegedy (ICML 2015). Two sums travel a layer forward and back.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        return

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(B, C, …)``."""
        if not self.training or not distributed.is_active():
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        dims = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        own = torch.tensor([x.numel() / x.shape[1]], device=x.device)
        sums = _all_sum(torch.cat([x.sum(dims), own]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x - mean.view(shape)
        variance = _all_sum(centred.square().sum(dims)) / count
        self._remember(mean.detach(), variance.detach() * (count / (count - 1)))
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


class _AllSum(torch.autograd.Function):
    """A sum over processes; the gradient of each process's part is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total


def _all_sum(x: Tensor) -> Tensor:
    found: Tensor = _AllSum.apply(x)  # pyright: ignore[reportAssignmentType]
    return found
