"""Which pictures meet in a batch. Every sampler plans a whole epoch from (seed, epoch) alone.

A plan is the same on every process; process r of k takes the r-th slice of each global batch. So
k processes with b pictures each see what one process with k·b sees, and a resumed run sees what
an unbroken one would have seen.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "MPerClassSampler": "m_per_class",
    "HierarchicalSampler": "hierarchical",
    "RandomSampler": "shuffled",
    "GreedyMPerClassSampler": "greedy",
    "GroupedSampler": "grouped",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"lookalike.data.samplers.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lookalike.data.samplers' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
