"""Weights, gradients and optimiser state divided over processes (FSDP2)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from lookalike.training.optimizers import Optimizers

_WHOLE = StateDictOptions(full_state_dict=True)
LOSS = "loss"  # its proxies are small, and whole on every process


class Sharded:
    """A model whose weights are divided over all processes, block by block.

    Zhao et al., *PyTorch FSDP* (VLDB 2023), in torch's second form, ``fully_shard``. Each process
    keeps 1/k of every weight, its gradient and its optimiser state; a block's weights are
    gathered when the block computes. The numbers are those of :class:`DistributedDataParallel`
    up to rounding.

    Args:
        model: is sharded in place. Make optimisers after this.
        device: where it is.

    Attributes:
        whole: a copy with whole weights, for evaluations and for the file; see :meth:`gather`.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        self.whole = copy.deepcopy(model)
        self.whole.requires_grad_(False)
        self.model = model.to(memory_format=torch.contiguous_format)  # shards are cut from rows
        mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
        for block in blocks(model.backbone):
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)

    def gather(self) -> Any:
        """The copy with the present weights. All processes must call this together."""
        self.whole.load_state_dict(self.state_dict())
        return self.whole

    def state_dict(self) -> dict[str, Any]:
        """Whole weights, on every process; all must call this together."""
        return get_model_state_dict(self.model, options=_WHOLE)

    def parts(self, optimizers: Optimizers) -> dict[str, Any]:
        """What a checkpoint keeps of a sharded model, in the place of model and optimisers."""
        return {"model": self, "optimizer": ShardedOptimizers(optimizers, self.model)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Divide whole weights again."""
        set_model_state_dict(self.model, state, options=_WHOLE)


class ShardedOptimizers:
    """The state of optimisers of a sharded model, gathered for a checkpoint.

    Args:
        optimizers: those of the model and of its loss.
        model: sharded.
    """

    def __init__(self, optimizers: Optimizers, model: nn.Module) -> None:
        self.optimizers, self.model = optimizers, model

    @property
    def _network(self) -> list[torch.optim.Optimizer]:
        return [one for name, one in self.optimizers.members.items() if name != LOSS]

    @property
    def _loss(self) -> dict[str, torch.optim.Optimizer]:
        return {name: one for name, one in self.optimizers.members.items() if name == LOSS}

    def state_dict(self) -> dict[str, Any]:
        """Whole, on every process; all must call this together."""
        network = get_optimizer_state_dict(self.model, self._network, options=_WHOLE)
        return {"network": network, **{name: one.state_dict() for name, one in self._loss.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Divide it again."""
        set_optimizer_state_dict(self.model, self._network, state["network"], options=_WHOLE)
        for name, one in self._loss.items():
            one.load_state_dict(state[name])


def blocks(backbone: nn.Module) -> list[nn.Module]:
    """The members of a backbone's outermost sequences: residual blocks, transformer layers.

    >>> network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Sequential(nn.Conv2d(8, 8, 1)))
    >>> [type(block).__name__ for block in blocks(network)]
    ['Conv2d', 'Sequential']
    """
    if isinstance(backbone, nn.Sequential | nn.ModuleList):
        return [part for part in backbone if any(True for _ in part.parameters())]
    return [block for part in backbone.children() for block in blocks(part)]
