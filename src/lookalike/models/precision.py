"""In which floating type a network computes, and in which its vectors leave it."""

from __future__ import annotations

import torch
from torch import Tensor

_MIXED = (torch.bfloat16, torch.float16)


def autocast(device: torch.device, precision: torch.dtype | None) -> torch.autocast:
    """The context a network runs in: autocast for bfloat16 and float16, else none.

    Args:
        device: where the network is.
        precision: autocast's type; None is float32 and float64 is float64, both by the type of the
            network's own weights.
    """
    mixed = precision in _MIXED
    return torch.autocast(device.type, dtype=precision if mixed else None, enabled=mixed)


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in float32; float64 stays.

    >>> [at_least_float32(torch.zeros(1, dtype=t)).dtype for t in (torch.float16, torch.float64)]
    [torch.float32, torch.float64]
    """
    return x if x.dtype == torch.float64 else x.float()
