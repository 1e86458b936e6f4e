"""How many images pass a network at a time, found from free memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from lookalike import distributed
from lookalike.training.big_batch import Buffers

SHARE = 0.7  # of free memory; the rest is for the loss, and for what allocators lose
_PROBE = (2, 4)  # images; what the second needs more than the first is due to the images


def find_micro_batch(
    embed: Callable[[Tensor], Tensor], model: nn.Module, picture: Tensor, free: int
) -> int:
    """The most images whose way forward and back fits into free memory, at least 1.

    ::

        n = ⌊(0.7 · free − 3 · weights) / (saved + 3 · largest)⌋

    ``weights`` are the bytes of what trains: its gradient and an optimiser's two moments are still
    to come. ``saved`` are the bytes that an image leaves for the way back, counted as autograd
    saves them; ``largest`` is its part of the largest of these tensors, three of which exist for a
    moment on the way back (what comes in, what goes out, scratch). The count is exact, draws no
    random number that training would miss, and moves no batch norm. The real peak beside what was
    free: ``benchmarks/engine.py``.

    Args:
        embed: images → embeddings, as in training.
        model: the network behind it.
        picture: one, uint8 ``(3, H, W)``, where the model is.
        free: bytes; see :func:`free_memory`.
    """
    devices = [picture.device] if picture.device.type == "cuda" else []
    buffers = Buffers(model)
    with torch.random.fork_rng(devices):
        found = [_saved(embed, picture.expand(n, *picture.shape).contiguous()) for n in _PROBE]
    buffers.put_back()
    more = _PROBE[1] - _PROBE[0]
    grown = [(b - a) / more for a, b in zip(*found, strict=True)]  # 0 for weights
    needed = sum(grown) + 3 * max(grown, default=0)
    weights = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    return max(1, int((SHARE * free - 3 * weights) / max(1.0, needed)))


def agree(count: int, device: torch.device) -> int:
    """The least of what all processes found."""
    if not distributed.is_active():
        return count
    least = torch.tensor(count, device=device)
    torch.distributed.all_reduce(least, op=torch.distributed.ReduceOp.MIN)
    return int(least)


def free_memory(device: torch.device) -> int:
    """Bytes that are free for a process: of the GPU, or its share of the machine's."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + idle
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(_machine(), _container()) // processes


def _saved(embed: Callable[[Tensor], Tensor], pictures: Tensor) -> list[int]:
    """Bytes of each tensor saved for the way back, in the order they are saved."""
    storages: dict[int, int] = {}
    kept: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        kept.append(tensor)  # alive, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        embed(pictures)
    return list(storages.values())


def _machine() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _container() -> int:
    """What the control group leaves, where there is one with a limit."""
    limit, used = (Path("/sys/fs/cgroup") / n for n in ("memory.max", "memory.current"))
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        return max(0, int(text) - int(used.read_text()))
    return 1 << 62
