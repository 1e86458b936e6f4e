"""Classes nobody labelled: kNN graphs, Hi-LANDER and its rivals, selection, pseudo-labels.

Embeddings in, clusters and pseudo-labels out; pictures and networks that embed them are the jobs'
affair. The names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "ClassCount": "class_count",
    "ClassMeans": "selection",
    "EdgeLander": "edge_lander",
    "Gate": "selection",
    "PSSFile": "pss_pickles",
    "as_partition": "clusterers",
    "auroc": "selection",
    "classes_from_clusters": "class_count",
    "cluster": "clusterers",
    "edge_traits": "traits",
    "estimate_classes": "class_count",
    "far_from_known": "selection",
    "known_gate": "selection",
    "select_by_density": "selection",
    "unit": "neighbours",
    "Clustering": "hierarchy",
    "Graph": "graph",
    "Lander": "lander",
    "Neighbours": "neighbours",
    "TrainingOptions": "lander_training",
    "hilander": "hierarchy",
    "knn_graph": "graph",
    "lander_loss": "lander_loss",
    "load_lander": "lander_files",
    "nearest_neighbours": "neighbours",
    "save_lander": "lander_files",
    "train_lander": "lander_training",
    "training_levels": "levels",
}
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"lookalike.discover.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lookalike.discover' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
