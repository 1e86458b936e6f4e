"""lookalike: train, evaluate and serve models that find look-alike pictures.

Importing this package imports nothing heavy; the public names load when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Embedder": "lookalike.models",
    "create_model": "lookalike.models",
    "load": "lookalike.models",
    "evaluate": "lookalike.metrics",
    "Index": "lookalike.search",
}
__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lookalike' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
