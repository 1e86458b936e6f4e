"""Rank, world and a gather that carries gradient; every function is the identity when alone.

The law this file serves: k processes with b pictures each train exactly as one process with k·b.
Each rank gathers all embeddings, computes the whole loss, and lets gradients flow back; averaging
the parameter gradients over ranks (what DistributedDataParallel does) then gives the gradient of
one process. A loss therefore never knows how many processes there are.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def is_active() -> bool:
    """Whether a process group of more than one process is running."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's number, 0 when alone."""
    import torch.distributed as dist

    return dist.get_rank() if is_active() else 0


def world_size() -> int:
    """How many processes work together, 1 when alone."""
    import torch.distributed as dist

    return dist.get_world_size() if is_active() else 1


def is_main() -> bool:
    """Whether this process is the one that writes files."""
    return rank() == 0


def start() -> None:
    """Join the process group that ``torchrun`` describes in the environment, if it does."""
    import torch
    import torch.distributed as dist

    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def restarts_allowed() -> bool:
    """Whether ``torchrun`` starts all processes anew when one of them dies."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def restarted() -> bool:
    """Whether it has done so."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def stop() -> None:
    """Leave the process group, if there is one."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def barrier() -> None:
    """Wait for the others."""
    import torch.distributed as dist

    if is_active():
        dist.barrier()


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any process; all get the same answer."""
    import torch
    import torch.distributed as dist

    if not is_active():
        return flag
    device = torch.cuda.current_device() if dist.get_backend() == "nccl" else "cpu"
    found = torch.tensor(int(flag), device=device)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return bool(found.item())


def copy_buffers(model: torch.nn.Module) -> None:
    """Give every process the buffers of rank 0, such as batch norm's running statistics."""
    import torch.distributed as dist

    if is_active():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def gather(tensor: torch.Tensor) -> torch.Tensor:
    """The rows of every rank, rank 0 first, with gradient.

    Args:
        tensor: ``(b, ...)``, the same shape on every rank.

    Returns:
        ``(k·b, ...)`` on k ranks. Backward sums the ranks' gradients and hands each rank its own
        rows: with the whole loss computed on every rank and parameter gradients averaged over
        ranks, each parameter gets the gradient of one process holding all rows.
    """
    if not is_active():
        return tensor
    return _gather_with_grad(tensor)


def broadcast_object(value: Any) -> Any:
    """Rank 0's value on every rank (any picklable object, between trusted processes)."""
    import torch.distributed as dist

    if not is_active():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather_objects(value: Any) -> list[Any]:
    """Every rank's value, rank 0's first (any picklable object, between trusted processes)."""
    import torch.distributed as dist

    if not is_active():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _gather_with_grad(tensor: torch.Tensor) -> torch.Tensor:
    import torch
    import torch.distributed as dist

    class AllGather(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            rows = [torch.empty_like(x) for _ in range(dist.get_world_size())]
            dist.all_gather(rows, x.contiguous())
            return torch.cat(rows)

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
            grad = grads[0].contiguous().clone()
            dist.all_reduce(grad)
            n = grad.shape[0] // dist.get_world_size()
            return grad[dist.get_rank() * n :][:n]

    if not tensor.dtype.is_floating_point:
        rows = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(rows, tensor.contiguous())
        return torch.cat(rows)
    result: torch.Tensor = AllGather.apply(tensor)  # pyright: ignore[reportAssignmentType]
    return result
