"""A teacher's embeddings of the training images: computed once, and kept for other runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lookalike import distributed
from lookalike.config import Config
from lookalike.data.build import broken_policy
from lookalike.data.table import Table
from lookalike.errors import RunError, counted
from lookalike.files import replacing
from lookalike.models.embedding import embed_table
from lookalike.search.source import stamps
from lookalike.training.distill import Stored
from lookalike.training.teacher import Tutor


def store(
    config: Config, tutor: Tutor, training: Table, precision: torch.dtype | None
) -> tuple[Stored, str]:
    """The teacher's embedding of every training image, seen once as evaluation sees it.

    With ``distillation.cache=FOLDER`` they are read from there, or left there for the next run,
    under a name made of all that they depend on: the teacher's weights, the rows, size and time of
    every image's file, the transform, the precision.

    Returns:
        The embeddings, and how they were come by, in words.

    Raises:
        DataError: an image that cannot be read, where those are refused.
        RunError: a cached file that is damaged.
    """
    file = _file(config, tutor, training, precision)
    there = distributed.broadcast_object(file is not None and file.is_file())
    if there and file is not None:
        embeddings, rows = _read(file)
        words = f"its embeddings are those of {file}"
    else:
        embeddings, rows, _ = embed_table(
            tutor.model,
            training,
            batch_size=config.evaluation.batch_size,
            workers=config.workers,
            broken=broken_policy(config),
            precision=precision,
        )
        words = f"it has embedded {counted(len(rows), 'image')}"
        if file is not None:
            words += f", kept in {file}"
            if distributed.is_main():
                _write(file, embeddings, rows)
    whole = np.zeros((len(training), tutor.model.width), np.float32)
    whole[rows] = embeddings
    # A row that cannot be read is never trained on either: another of its class stands in.
    known = np.zeros(len(training), bool)
    known[rows] = True
    labels = torch.from_numpy(training.labels)
    return Stored(torch.from_numpy(whole), labels, torch.from_numpy(known)), words


def _file(
    config: Config, tutor: Tutor, training: Table, precision: torch.dtype | None
) -> Path | None:
    if config.distillation.cache is None:
        return None
    about = {
        "teacher": tutor.sha256,
        "rows": training.fingerprint,
        "files": int(pd.util.hash_pandas_object(stamps(training.paths), index=False).sum() >> 1),
        "transform": repr(tutor.model.transform()),
        "precision": str(precision),
    }
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return Path(config.distillation.cache).expanduser() / f"{name}.safetensors"


def _write(file: Path, embeddings: np.ndarray, rows: np.ndarray) -> None:
    from safetensors.numpy import save_file

    with replacing(file) as part:
        save_file({"embeddings": embeddings, "rows": rows}, part)


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(file)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{file} is not a whole safetensors file ({error}). Delete it.") from error
    return found["embeddings"], found["rows"]
