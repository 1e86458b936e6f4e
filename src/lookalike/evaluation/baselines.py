"""What needs no training: raw pixels, colours, the network untrained, and its backbone as it began.

A trained model's figures say little alone; beside these they say what training bought.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from lookalike.config import Config
from lookalike.data import transforms
from lookalike.data.embedding_file import is_vector
from lookalike.data.loader import eval_loader
from lookalike.data.table import Table
from lookalike.evaluation import evaluator
from lookalike.evaluation.evaluator import SplitResult
from lookalike.metrics import RetrievalReport
from lookalike.models.build import pick_device
from lookalike.models.embedder import Embedder, Spec
from lookalike.models.encode import embed

_SIDE = 32
_BINS = 8
_PATHS = ("folder", "table_file", "cached", "embedding_file")  # data sets that are one's own
FROZEN = "frozen backbone"
VECTORS = "vectors as they are"


@dataclass(frozen=True)
class Baseline:
    """A system that needs no training, measured.

    Attributes:
        name: what reports call it.
        report: its figures on the queries of the split.
    """

    name: str
    report: RetrievalReport

    @property
    def values(self) -> tuple[str, dict[str, float]]:
        """The name and metric → value, as reports take it."""
        return self.name, dict(self.report.values)


def wanted(config: Config) -> bool:
    """Whether baselines are measured: as the options say, else where the data set is a path."""
    asked = config.evaluation.baselines
    return config.dataset.get("name") in _PATHS if asked is None else asked


def measure_baselines(
    config: Config, one: SplitResult, spec: Spec, start: Embedder | None = None
) -> list[Baseline]:
    """The metrics of the simple systems on one split.

    Args:
        config: says what to measure, and on which device.
        one: the split, measured; all its rows are readable.
        spec: of the model measured.
        start: the model as its training found it, where that was pretrained.

    Returns:
        Raw pixels (32×32 grey, mean removed), a colour histogram (8×8×8 bins), the model's network
        with random weights and, with ``start``, its backbone as it began: pooled features without a
        head, compared by cosine. Of an embedding file only the vectors as they are.
    """
    rows = one.table
    if is_vector(rows.paths[0]):
        vectors = {VECTORS: _embedded(config, rows, backbone_alone(Embedder(spec)))}
        return [Baseline(n, _report(one, x, config)) for n, x in vectors.items()]
    small = list(_batches(config, rows, transforms.evaluation(_SIDE, crop=False)))
    vectors = {
        "raw pixels": np.concatenate([_pixels(b["pictures"]) for b in small]),
        "colour histogram": np.concatenate([_colours(b["pictures"]) for b in small]),
        "untrained network": _untrained(config, rows, spec),
    }
    if start is not None:
        vectors[FROZEN] = _embedded(config, rows, backbone_alone(start))
    return [Baseline(name, _report(one, x, config)) for name, x in vectors.items()]


def _report(one: SplitResult, vectors: np.ndarray, config: Config) -> RetrievalReport:
    return evaluator.measure_vectors(one.split, one.table, vectors, config.evaluation).report


def backbone_alone(model: Embedder) -> Embedder:
    """A model's backbone without what comes behind it: the mean, or the class token, is all."""
    bare = replace(
        model.spec,
        pool="auto",
        embedding_size=None,
        head_norm=False,
        dropout=0.0,
        projection=None,
        whitening=None,
        widths=(),
    )
    alone = Embedder(bare)
    alone.backbone.load_state_dict(model.backbone.state_dict())
    return alone.eval()


def _batches(config: Config, rows: Table, transform: Any) -> Iterator[dict[str, Any]]:
    yield from eval_loader(
        rows, transform, batch_size=config.evaluation.batch_size, workers=config.workers
    )


def _pixels(images: torch.Tensor) -> np.ndarray:
    grey = images.float().mean(dim=1).flatten(1)
    return F.normalize(grey - grey.mean(dim=1, keepdim=True), dim=1).numpy()


def _colours(images: torch.Tensor) -> np.ndarray:
    bins = (images.long() * _BINS // 256).flatten(2)
    codes = (bins[:, 0] * _BINS + bins[:, 1]) * _BINS + bins[:, 2]
    counts = torch.zeros(len(images), _BINS**3).scatter_add_(1, codes, torch.ones(codes.shape))
    # The root makes the dot product of two histograms their Bhattacharyya similarity.
    return F.normalize(counts.sqrt(), dim=1).numpy()


def _untrained(config: Config, rows: Table, spec: Spec) -> np.ndarray:
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = Embedder(spec)
        model.to(pick_device(config.device))
        _settle_batch_norm(model, _batches(config, rows, model.transform()))
    return embed(model, _batches(config, rows, model.transform()))


def _embedded(config: Config, rows: Table, model: Embedder) -> np.ndarray:
    model.to(pick_device(config.device))
    return embed(model, _batches(config, rows, model.transform()), scales=config.evaluation.scales)


def _settle_batch_norm(model: torch.nn.Module, batches: Iterator[dict[str, Any]]) -> None:
    """Let random batch norm see some images: its statistics start at a meaningless 0 and 1."""
    model.train()
    with torch.no_grad():
        for _, batch in zip(range(8), batches, strict=False):
            model(batch["pictures"].to(model.device))
    model.eval()
