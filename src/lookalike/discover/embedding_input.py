"""Embeddings that somebody clusters, and the true labels among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lookalike.data.embedding_file import Embeddings
from lookalike.discover.pss_pickles import TRAINING, PSSFile
from lookalike.errors import DataError

SCORES = ("pairwise_f", "b_cubed_f", "nmi", "ami")


def labelled_embeddings(file: Path, label: str) -> tuple[np.ndarray, list[str]]:
    """The vectors of a file that have a label, and their labels."""
    held = read_embeddings(file)
    names = truth_of(held.rows, label)
    known = [row for row, name in enumerate(names) if name is not None]
    if not known:
        raise DataError(f"{file}: no labels in column '{label}' to learn from; see --label")
    return held.vectors[known], [str(names[row]) for row in known]


def read_embeddings(file: Path) -> Embeddings:
    """Embeddings, ours or a feature pickle of PSS."""
    if file.suffix not in (".pkl", ".pickle"):
        return Embeddings.load(file)
    held = PSSFile.load(file)
    rows = pd.DataFrame({"path": held.paths, "label": held.truth.astype(str)})
    if len(held.masks) == len(rows):
        rows["split"] = np.where(held.masks == TRAINING, "train", "unlabelled")
    return Embeddings(held.features, rows)


def truth_of(rows: pd.DataFrame, label: str) -> list[str | None]:
    """The true label of every row, None where nobody knows (empty, or −1)."""
    if label not in rows:
        return [None] * len(rows)
    unknown = rows[label].isna() | (rows[label].astype(str) == "-1")
    return [None if missing else str(v) for v, missing in zip(rows[label], unknown, strict=True)]
