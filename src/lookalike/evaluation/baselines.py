"""What needs no training: raw pixels, colours, and the network as it was born.

A trained model's figures say little alone; beside these they say what training bought.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from lookalike.config import Config
from lookalike.data import transforms
from lookalike.data.loader import eval_loader
from lookalike.data.table import Table
from lookalike.evaluation import evaluator
from lookalike.models.build import build_model, pick_device
from lookalike.models.encode import embed

_SIDE = 32
_BINS = 8


def measure_baselines(
    config: Config, rows: Table, split: str
) -> list[tuple[str, dict[str, float]]]:
    """The metrics of the simple systems on one split.

    Args:
        config: of the run; says size, network and what to measure.
        rows: the split's rows, all of them readable.
        split: its name.

    Returns:
        ``(name, metric → value)`` of raw pixels (32×32 grey, mean removed), of a colour histogram
        (8×8×8 bins), and of the run's network with random weights.
    """
    small = list(_batches(config, rows, transforms.evaluation(_SIDE, crop=False)))
    vectors = {
        "raw pixels": np.concatenate([_pixels(b["pictures"]) for b in small]),
        "colour histogram": np.concatenate([_colours(b["pictures"]) for b in small]),
        "untrained network": _untrained(config, rows),
    }
    return [
        (name, dict(evaluator.measure_vectors(split, rows, x, config.evaluation).report.values))
        for name, x in vectors.items()
    ]


def _batches(config: Config, rows: Table, transform: Any) -> Iterator[dict[str, Any]]:
    yield from eval_loader(
        rows, transform, batch_size=config.evaluation.batch_size, workers=config.workers
    )


def _pixels(pictures: torch.Tensor) -> np.ndarray:
    grey = pictures.float().mean(dim=1).flatten(1)
    return F.normalize(grey - grey.mean(dim=1, keepdim=True), dim=1).numpy()


def _colours(pictures: torch.Tensor) -> np.ndarray:
    bins = (pictures.long() * _BINS // 256).flatten(2)
    codes = (bins[:, 0] * _BINS + bins[:, 1]) * _BINS + bins[:, 2]
    counts = torch.zeros(len(pictures), _BINS**3).scatter_add_(1, codes, torch.ones(codes.shape))
    # The root makes the dot product of two histograms their Bhattacharyya similarity.
    return F.normalize(counts.sqrt(), dim=1).numpy()


def _untrained(config: Config, rows: Table) -> np.ndarray:
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = build_model(config)
    model.to(pick_device(config.device))
    _settle_batch_norm(model, _batches(config, rows, model.transform()))
    return embed(model, _batches(config, rows, model.transform()))


def _settle_batch_norm(model: torch.nn.Module, batches: Iterator[dict[str, Any]]) -> None:
    """Let batch norm see some pictures: its running statistics start at a meaningless 0 and 1."""
    model.train()
    with torch.no_grad():
        for _, batch in zip(range(8), batches, strict=False):
            model(batch["pictures"].to(model.device))
    model.eval()
