"""Embedders: backbone, pooling and head; weights in safetensors."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Embedder": "embedder",
    "create_model": "embedder",
    "load": "weights",
    "save": "weights",
    "pca_whitening": "whitening",
    "learned_whitening": "whitening",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"lookalike.models.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lookalike.models' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
