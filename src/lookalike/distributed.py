"""Rank, world and a gather that carries gradient; every function is the identity when alone.

The law this file serves: k processes with b images each train exactly as one process with k·b.
Each rank gathers all embeddings, computes the whole loss, and lets gradients flow back; averaging
the parameter gradients over ranks (what DistributedDataParallel does) then gives the gradient of
one process. A loss therefore never knows how many processes there are.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]


def is_active() -> bool:
    """Whether a process group of more than one process is running; without torch there is none."""
    if "torch" not in sys.modules:
        return False
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank() -> int:
    """This process's number, 0 when alone."""
    if not is_active():
        return 0
    import torch.distributed as dist

    return dist.get_rank()


def world_size() -> int:
    """How many processes work together, 1 when alone."""
    if not is_active():
        return 1
    import torch.distributed as dist

    return dist.get_world_size()


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
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
            dist.init_process_group(backend)
            return
        store, number, count = next(dist.rendezvous("env://"))  # pyright: ignore[reportPrivateImportUsage]
        attempt = agree(store, number, count)
        shared = dist.PrefixStore(attempt, store)  # pyright: ignore[reportPrivateImportUsage]
        dist.init_process_group(backend, store=shared, rank=number, world_size=count)


def agree(store: Store, number: int, count: int) -> str:
    """A name for this attempt that all its processes share and no earlier one had.

    ``torchrun`` starts a broken group anew over the store of the old one, where the addresses of
    the dead still stand; whoever reads one before its new owner has written dials nobody. Counts
    of restarts differ between machines, so rank 0 invents a name, and gives it to each process
    under a word that only this process, in this attempt, has said.

    Args:
        store: that all processes see, and that may hold what earlier attempts wrote.
        number: this process's rank.
        count: how many processes there are.
    """
    mine = uuid.uuid4().hex
    if number > 0:
        store.set(f"lookalike/word/{number}", mine)
        attempt = store.get(f"lookalike/name/{mine}").decode()
        store.set(f"lookalike/heard/{attempt}/{number}", "yes")
        return attempt
    silent = set(range(1, count))
    while silent:
        for other in sorted(silent):
            if store.check([f"lookalike/heard/{mine}/{other}"]):
                silent.remove(other)
            elif store.check([f"lookalike/word/{other}"]):
                word = store.get(f"lookalike/word/{other}").decode()
                store.set(f"lookalike/name/{word}", mine)
        time.sleep(0.01)
    return mine


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
    if not is_active():
        return value
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather_objects(value: Any) -> list[Any]:
    """Every rank's value, rank 0's first (any picklable object, between trusted processes)."""
    if not is_active():
        return [value]
    import torch.distributed as dist

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
