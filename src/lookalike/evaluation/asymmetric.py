"""The models of an evaluation: image size, whitening, and who searches whose gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lookalike.config import Config
from lookalike.data.build import broken_policy
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError
from lookalike.evaluation.evaluator import SplitResult, embedded, measure_vectors, with_roles
from lookalike.evaluation.progress import EvaluationProgress
from lookalike.evaluation.widths import prefix
from lookalike.models import ready
from lookalike.models.build import pick_precision
from lookalike.models.embedder import Embedder
from lookalike.models.whitening import (
    add_whitening,
    class_pairs,
    learned_whitening,
    pca_whitening,
)

WHITENINGS = ("pca", "learned")


@dataclass(frozen=True)
class Pair:
    """Two models, one for the queries and one for the gallery.

    Attributes:
        query: embeds the queries.
        gallery: embeds the gallery.
        names: what results call them.
        symmetric: also let each search its own gallery.
    """

    query: Embedder
    gallery: Embedder
    names: tuple[str, str]
    symmetric: bool

    def measure(
        self, table: Table, split: str, config: Config, progress: EvaluationProgress
    ) -> list[SplitResult]:
        """Both directions, and with ``symmetric`` each model alone; titles in ``split``.

        A query model of several widths is also measured at each, in the same prefix of the
        gallery.
        """
        rows = with_roles(table.split(split))
        vectors = []
        for model in (self.query, self.gallery):
            found, kept = _embed(model, rows, config, progress, f"{table.name} {split}")
            vectors.append(found)
        directions = [(0, 1), (1, 0), *([(0, 0), (1, 1)] if self.symmetric else [])]
        results = []
        for width in (None, *sorted(self.query.spec.widths)):
            cut = vectors if width is None else [prefix(x, width) for x in vectors]
            name = split if width is None else f"{width}d-{split}"
            for q, g in directions:
                one = measure_vectors(
                    name, kept, cut[q], config.evaluation, cut[g], progress=progress
                )
                title = f"{name}: {self.names[q]} → {self.names[g]}"
                results.append(replace(one, split=title))
        return results


def load_model(
    folder: str | Path, size: int | None, option: str, words: Sequence[str] = ()
) -> Embedder:
    """A model, its images prepared at another size where one is given.

    A side fixed in pixels that its transform resizes to first grows and shrinks with it.

    Args:
        folder: a run or model folder, or a backbone's name, see `lookalike.models.ready`.
        size: side of the images in pixels; None: as it was trained for.
        option: what the person wrote, for messages.
        words: options of a backbone.

    Raises:
        ConfigError: a size below 1.
        ModelError: no model there.
    """
    model = ready.open_model(folder, words)
    if size is None:
        return model
    if size < 1:
        raise ConfigError(f"{option} {size}: give a side in pixels, such as 224")
    options = dict(model.spec.evaluation)
    if isinstance(resize := options.get("resize"), int):
        options["resize"] = round(resize * size / model.spec.size)
    elif resize is not None:
        raise ConfigError(f"{option}: {folder} resizes to {resize}; a height and width stay fixed")
    model.spec = replace(model.spec, size=size, evaluation=options)
    return model


def pair(query: Embedder, gallery: Embedder, folders: Sequence[Path], *, symmetric: bool) -> Pair:
    """Two models whose vectors can be compared.

    Raises:
        ConfigError: their embeddings have different widths.
    """
    if query.width != gallery.width:
        raise ConfigError(
            f"--gallery {folders[1]}: its embeddings are {gallery.width} wide, those of "
            f"{folders[0]} {query.width}; vectors of different widths cannot be compared"
        )
    a, b = (folder.resolve().name for folder in folders)
    if a == b:
        a, b = f"{a} at {query.spec.size}", f"{b} at {gallery.spec.size}"
    names = (a, b) if a != b else ("query model", "gallery model")
    return Pair(query, gallery, names, symmetric)


def whitened(
    model: Embedder,
    kind: str,
    size: int | None,
    training: Table,
    config: Config,
    progress: EvaluationProgress,
) -> Embedder:
    """A model with a whitening behind it, learned on training images.

    Args:
        model: the model.
        kind: "pca", or "learned" from pairs of one class.
        size: how many dimensions to keep; None for all.
        training: the rows to learn on.
        config: how to read and embed them.
        progress: who hears of it, and where the vectors are kept.

    Raises:
        DataError: no class has two images.
    """
    vectors, rows = _embed(model, training, config, progress, f"{training.name} train")
    if kind == "pca":
        return add_whitening(model, *pca_whitening(vectors), size)
    query, positive = class_pairs(rows.labels[:, 0])
    if not len(query):
        raise DataError(f"--whitening learned: no class of {rows.name}'s train split has a pair")
    return add_whitening(model, *learned_whitening(vectors, query, positive), size)


def _embed(
    model: Embedder, rows: Table, config: Config, progress: EvaluationProgress, what: str
) -> tuple[np.ndarray, Table]:
    with progress.embedding(what, len(rows)) as advance:
        return embedded(
            model,
            rows,
            config.evaluation,
            workers=config.workers,
            broken=broken_policy(config),
            precision=pick_precision(config.precision, model.device),
            on_batch=advance,
            store=progress.store,
        )
