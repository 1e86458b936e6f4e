"""What is wrong with an index's files, or with its rows in a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lookalike.files import sha256
from lookalike.search import generations
from lookalike.search.remote.vectors import IDS, Remote
from lookalike.search.storage import Vectors
from lookalike.search.writing import MODELS, identity


def faults(folder: Path, manifest: dict[str, Any], vectors: Vectors, ids: np.ndarray) -> list[str]:
    """A sentence for each fault; none where all is as it was written.

    Args:
        folder: the index.
        manifest: what it says.
        vectors: as opened.
        ids: as opened.
    """
    place = folder / generations.GENERATIONS / manifest["generation"]
    wrong = generations.check_files(folder, manifest, sums=True)
    if isinstance(vectors, Remote):
        wrong += vectors.verify()
    elif not wrong and not all(np.isfinite(part).all() for _, part in vectors.chunks()):
        wrong.append(f"{place}: vectors hold NaN or infinity")
    if (np.diff(ids) <= 0).any():
        wrong.append(f"{place / IDS}: ids do not rise")
    bound = manifest.get("model") or {}
    if (name := bound.get("folder")) is not None:
        weights = identity(folder / MODELS / name)
        if not weights.is_file() or sha256(weights) != bound["sha256"]:
            wrong.append(f"{folder / MODELS / name}: not the model that made the vectors")
    return wrong
