"""Metrics: exact retrieval numbers on arrays, each with its definition.

The names load on first use, so that explaining a metric does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "evaluate": "retrieval",
    "Outlook": "outlook",
    "RetrievalReport": "report",
    "compare_reports": "compare",
    "revisited": "landmarks",
    "evaluate_landmarks": "landmark_report",
    "clustering": "partitions",
    "kmeans": "clusters",
    "Definition": "definitions",
    "explain": "definitions",
    "names": "definitions",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"lookalike.metrics.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lookalike.metrics' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
