"""Search: an index of embedded pictures, and the nearest of them to a query."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"Hits": "hits", "Index": "index"}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"lookalike.search.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lookalike.search' has no attribute '{name}'")
