"""Which path the kernels take on this machine, and why."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor


def face(scores: Tensor) -> ModuleType | None:
    """The module whose kernels suit this tensor, or None for plain torch."""
    return None
