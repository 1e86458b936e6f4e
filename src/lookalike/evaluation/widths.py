"""Measuring an embedding at the prefixes it was trained to work at."""

from __future__ import annotations

import numpy as np

from lookalike.config import EvaluationConfig
from lookalike.evaluation.evaluator import SplitResult, measure_vectors
from lookalike.evaluation.progress import EvaluationProgress
from lookalike.models.embedder import Embedder


def prefix(x: np.ndarray, width: int) -> np.ndarray:
    """The first numbers of each embedding, brought to unit length again.

    >>> prefix(np.array([[0.6, 0.0, 0.8]]), 2)
    array([[1., 0.]])
    """
    cut = x[:, :width]
    return cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)


def narrower(
    one: SplitResult,
    model: Embedder,
    c: EvaluationConfig,
    progress: EvaluationProgress | None = None,
) -> list[SplitResult]:
    """The same rows by the first numbers of their embeddings, a `SplitResult` a width.

    Args:
        one: the whole embeddings, measured.
        model: what made them; its spec says which widths.
        c: what to measure.
        progress: who hears of a long ranking, and where its queries are kept.

    Returns:
        Splits named ``64d-test``, widest last; none where the model has one width.
    """
    found = []
    for width in sorted(model.spec.widths):
        unit = prefix(one.embeddings, width)
        title = f"{width}d-{one.split}"
        found.append(measure_vectors(title, one.table, unit, c, progress=progress))
    return found
