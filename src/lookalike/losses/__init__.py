"""Losses: tensors in, a scalar out. Every one is called ``loss(embeddings, labels)``.

The names load on first use, so that listing them costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "SmoothAP": "average_precision",
    "SupAP": "average_precision",
    "SmoothHAP": "hierarchical_ap",
    "SupHAP": "hierarchical_ap",
    "SmoothNDCG": "ndcg",
    "SupNDCG": "ndcg",
    "SmoothRecall": "recall",
    "SupRecall": "recall",
    "RecallAtK": "recall_at_k",
    "FastAP": "binned_ap",
    "SoftBinAP": "binned_ap",
    "BlackboxAP": "blackbox",
    "BlackboxRecall": "blackbox",
    "Calibration": "calibration",
    "ROADMAP": "composite",
    "HAPPIER": "composite",
    "WeightedSum": "composite",
    "NormSoftmax": "softmax",
    "ArcFace": "softmax",
    "AdditiveMarginSoftmax": "softmax",
    "CrossEntropy": "softmax",
    "ProxyAnchor": "proxies",
    "PositiveProxy": "proxies",
    "ProxyNCA": "proxies",
    "CrossScale": "cross_scale",
    "Contrastive": "contrastive",
    "PairContrastive": "contrastive",
    "Triplet": "triplet",
    "MultiSimilarity": "multi_similarity",
    "AsymmetricDistillation": "distillation",
    "CrossBatchMemory": "memory",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"lookalike.losses.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lookalike.losses' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
