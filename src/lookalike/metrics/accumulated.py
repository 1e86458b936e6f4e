"""`evaluate` in the form of torchmetrics: batch after batch, then the figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lookalike import distributed
from lookalike.calls import NamedArguments
from lookalike.errors import DataError
from lookalike.metrics.report import RetrievalReport
from lookalike.metrics.retrieval import evaluate


class RetrievalMetrics(NamedArguments):
    """Collects embeddings and labels, and measures them when asked: ``update``, ``compute``.

    The protocol of torchmetrics, for one's own loop. Under ``torchrun`` every process collects its
    batches, and ``compute`` measures those of all: as one process with all of them would, but for
    the order of equal scores.

    Args:
        options: of `evaluate`: ``metrics``, ``k``, ``distance``, ….

    >>> metric = RetrievalMetrics(metrics=["map_at_r"], distance="cosine")
    >>> metric.update(torch.eye(4)[[0, 0]], torch.tensor([7, 7]))
    >>> metric.update(torch.eye(4)[[1, 1]], torch.tensor([8, 8]))
    >>> metric.compute()
    {'mean_average_precision_at_r': 1.0}
    """

    def __init__(self, **options: Any) -> None:
        self.options = options
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def update(self, embeddings: Any, labels: Any, is_gallery: Any = None) -> None:
        """Add a batch.

        Args:
            embeddings: ``(B, D)``.
            labels: ``(B,)`` or ``(B, L)``.
            is_gallery: ``(B,)`` bool: the item is of the gallery alone, or a query alone; None for
                both.
        """
        x, y = (_array(part) for part in (embeddings, labels))
        role = np.full(len(x), -1) if is_gallery is None else _array(is_gallery).astype(np.int64)
        if not len(x) == len(y) == len(role):
            raise DataError(
                f"RetrievalMetrics: embeddings, labels and is_gallery have lengths {len(x)},"
                f" {len(y)} and {len(role)}; give one of each for an item."
            )
        self._parts.append((x, y, role))

    def report(self) -> RetrievalReport:
        """The whole report of what has been collected.

        Raises:
            DataError: nothing was collected, or queries and gallery that are neither apart nor one.
        """
        parts = self._parts
        if distributed.is_active():
            gathered: list[Any] = [None] * distributed.world_size()
            torch.distributed.all_gather_object(gathered, parts)
            parts = [part for process in gathered for part in process]
        if not parts:
            raise DataError(
                "RetrievalMetrics: nothing to measure; call update(embeddings, labels)."
            )
        x, y, role = (np.concatenate(column) for column in zip(*parts, strict=True))
        if (role == -1).all():
            return evaluate(x, y, **self.options)
        if (role == -1).any():
            raise DataError("RetrievalMetrics: give is_gallery with every batch, or with none.")
        asked, kept = role == 0, role == 1
        return evaluate(x[asked], y[asked], x[kept], y[kept], **self.options)

    def compute(self) -> dict[str, float]:
        """The figures, name → value."""
        return dict(self.report().values)

    def reset(self) -> None:
        """Forget what was collected."""
        self._parts.clear()


def _array(values: Any) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach()
        values = values.float() if values.dtype == torch.bfloat16 else values
        return values.cpu().numpy()
    return np.asarray(values)
