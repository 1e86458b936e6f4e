"""The feature and cluster pickles of PSS, to go on with their files or hand them ours.

Both are a list of five. Features: ``[path → row, features, target labels, true labels, masks]``;
clusters: ``[path → row, features, predicted labels (−1: not selected), true labels, masks]``. A
mask is 0 in the training set, 1 selected now, 2 not used.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lookalike.data import unpickle
from lookalike.data.embedding_file import Embeddings
from lookalike.errors import DataError, counted
from lookalike.files import write_with

TRAINING, SELECTED, UNUSED = 0, 1, 2


@dataclass(frozen=True, eq=False)
class PSSFile:
    """What such a pickle holds, its rows in order.

    Attributes:
        paths: N texts, an image each.
        features: float32 ``(N, D)``.
        labels: int64 ``(N,)``, target or predicted labels.
        truth: int64 ``(N,)``; from the second round on, files of the original repeat the pseudo
            labels here.
        masks: int64, 0, 1 or 2; some files mask other rows than they hold, so the length is free.
    """

    paths: list[str]
    features: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    masks: np.ndarray

    def save(self, file: str | Path) -> None:
        """Write the pickle, whole or not at all."""
        places = {path: row for row, path in enumerate(self.paths)}
        if len(places) < len(self.paths):
            raise DataError("an image stands there twice; PSS's files know a path once")
        held = [
            places,
            self.features.astype(np.float32),
            self.labels.astype(np.int64),
            self.truth.astype(np.int64),
            self.masks.astype(np.float64),
        ]
        write_with(Path(file), lambda part: part.write_bytes(pickle.dumps(held, protocol=4)))

    @classmethod
    def load(cls, file: str | Path) -> PSSFile:
        """Read such a pickle without running any of it.

        Raises:
            DataError: no such file, one that asks for code, or another content.
        """
        held = unpickle.load(file)
        if not isinstance(held, list | tuple) or len(held) != 5 or not isinstance(held[0], dict):
            raise DataError(f"{file}: no list of five with paths first, as PSS writes it")
        places, features, labels, truth, masks = held
        features = np.asarray(features, np.float32)
        paths = [""] * len(features)
        for path, row in places.items():
            if not 0 <= int(row) < len(paths):
                raise DataError(f"{file}: {path} has row {row} of {len(paths)}")
            paths[int(row)] = str(path)
        labels, truth, masks = (
            np.asarray(part).astype(np.int64) for part in (labels, truth, masks)
        )
        if features.ndim != 2 or len(labels) != len(features) or len(truth) != len(features):
            raise DataError(
                f"{file}: {features.shape} features, {len(labels)} and"
                f" {counted(len(truth), 'label')}"
            )
        return cls(paths, features, labels, truth, masks)


def selected_labels(
    labels: np.ndarray, masks: np.ndarray, cluster: np.ndarray, selected: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The label and mask of every row after a round, numbered as PSS numbers them.

    Rows of the training set (mask 0) get 0 … n − 1, the rank of their label; a selected row gets n
    plus its cluster, so that ids have gaps where no member of a cluster was selected.

    Args:
        labels: int ``(N,)``, target labels; only those of mask 0 count.
        masks: ``(N,)``.
        cluster: ``(M,)``, of the rows with another mask, in order.
        selected: bool ``(M,)``.
    """
    training = masks == TRAINING
    known, code = np.unique(labels[training], return_inverse=True)
    new_labels = np.full(len(labels), -1)
    new_labels[training] = code
    new_labels[~training] = np.where(selected, cluster + len(known), -1)
    new_masks = np.full(len(labels), TRAINING)
    new_masks[~training] = np.where(selected, SELECTED, UNUSED)
    return new_labels, new_masks


def features_of(found: Embeddings, level: str) -> PSSFile:
    """A feature file of PSS: classes numbered by name, the ``train`` split masked as training."""
    label = pd.factorize(found.rows[level].astype(str), sort=True)[0]
    masks = np.where(found.rows["split"] == "train", TRAINING, UNUSED)
    return PSSFile(found.rows["path"].tolist(), found.vectors, label, label, masks)
