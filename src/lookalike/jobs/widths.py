"""Measuring an embedding at the prefixes it was trained to work at."""

from __future__ import annotations

import numpy as np

from lookalike.config import EvaluationConfig
from lookalike.jobs.measuring import Measured, measure_vectors
from lookalike.models.embedder import Embedder


def narrower(one: Measured, model: Embedder, c: EvaluationConfig) -> list[Measured]:
    """The same rows by the first numbers of their embeddings, a `Measured` a width.

    Args:
        one: the whole embeddings, measured.
        model: what made them; its spec says which widths.
        c: what to measure.

    Returns:
        Splits named ``64d-test``, widest last; none where the model has one width.
    """
    found = []
    for width in sorted(model.spec.widths):
        cut = one.embeddings[:, :width]
        unit = cut / np.maximum(np.linalg.norm(cut, axis=1, keepdims=True), 1e-12)
        found.append(measure_vectors(f"{width}d-{one.split}", one.table, unit, c))
    return found
