"""An index folder: vectors, what they stand for, and the model that made them.

index.json       format, counts, width, the model's hash
vectors.npy      float32 (N, D), memory-mapped when read
items.parquet    a row a vector: path and whatever columns the source had
model/           the embedder, so that the folder alone can answer a query
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lookalike import __version__
from lookalike.errors import DataError, NumericsError, RunError

MANIFEST = "index.json"
VECTORS = "vectors.npy"
ITEMS = "items.parquet"
MODEL = "model"
FORMAT = 1


@dataclass(frozen=True)
class Hits:
    """The nearest items of each query, best first.

    Attributes:
        rows: int64 ``(Q, k)``, row numbers of the index.
        scores: float32 ``(Q, k)``, dot products: cosines, since embeddings have unit length.
    """

    rows: np.ndarray
    scores: np.ndarray


class Index:
    """Embedded pictures that can be searched; exact, by dot product.

    Args:
        folder: an index folder, as :meth:`build` writes it.

    Example:
        >>> import tempfile
        >>> items = pd.DataFrame({"path": ["a.jpg", "b.jpg"]})
        >>> index = Index.build(Path(tempfile.mkdtemp()) / "ix", np.eye(2, dtype="f4"), items)
        >>> index.search(np.array([[1.0, 0.0]], dtype="f4"), top=1).rows.tolist()
        [[0]]
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.vectors: np.ndarray = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
        self.items = pd.read_parquet(folder / ITEMS)
        if not len(self.vectors) == len(self.items) == manifest["count"]:
            raise DataError(
                f"{folder}: {len(self.vectors)} vectors, {len(self.items)} items and a manifest "
                f"that says {manifest['count']}. Build the index again."
            )

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def build(
        cls,
        folder: str | Path,
        vectors: np.ndarray,
        items: pd.DataFrame,
        *,
        model: str | Path | None = None,
        about: dict[str, Any] | None = None,
        overwrite: bool = False,
    ) -> Index:
        """Write an index folder, whole or not at all.

        Args:
            folder: where; must not exist unless ``overwrite``.
            vectors: float32 ``(N, D)``, a row an item.
            items: ``path`` and any other columns, in the order of the vectors.
            model: folder of the embedder that made the vectors; copied into the index.
            about: more facts for the manifest.
            overwrite: replace an index that is there.

        Raises:
            RunError: the folder exists, or the disk refuses.
            DataError: vectors and items do not fit.
            NumericsError: NaN or infinity among the vectors.
        """
        folder = Path(folder)
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        _check(vectors, items)
        if folder.exists() and not (overwrite and (folder / MANIFEST).is_file()):
            hint = "Add --overwrite" if (folder / MANIFEST).is_file() else "It is no index"
            raise RunError(f"{folder} exists already. {hint}, or choose another --out.")
        part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        try:
            part.mkdir(parents=True)
            np.save(part / VECTORS, vectors)
            items.reset_index(drop=True).to_parquet(part / ITEMS)
            manifest = {
                "format": FORMAT,
                "lookalike": __version__,
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "count": len(vectors),
                "width": int(vectors.shape[1]),
                **(about or {}),
            }
            if model is not None:
                shutil.copytree(model, part / MODEL)
            (part / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            part.replace(folder)
        except OSError as error:
            raise RunError(f"Cannot write {folder}: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return cls(folder, manifest)

    @classmethod
    def open(cls, folder: str | Path) -> Index:
        """Read an index folder.

        Raises:
            DataError: there is none, or its parts do not fit together.
            NumericsError: the vectors hold NaN.
        """
        folder = Path(folder)
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(
                f"{folder} is no index (it has no {MANIFEST}). Make one: "
                "lookalike index build RUN FOLDER --out INDEX"
            ) from error
        except json.JSONDecodeError as error:
            raise DataError(f"{folder / MANIFEST} is not JSON ({error}).") from error
        if manifest["format"] > FORMAT:
            raise DataError(f"{folder} is of a newer format. Update lookalike.")
        index = cls(folder, manifest)
        if not np.isfinite(index.vectors).all():
            raise NumericsError(f"{folder / VECTORS} holds NaN or infinity. Build the index again.")
        return index

    def search(self, queries: np.ndarray, top: int = 10) -> Hits:
        """The ``top`` nearest items of each query.

        Args:
            queries: float32 ``(Q, D)``.
            top: how many; at most all there are.

        Raises:
            DataError: queries of another width.
            NumericsError: NaN among the queries.
        """
        import faiss

        queries = np.ascontiguousarray(np.atleast_2d(queries), dtype=np.float32)
        if queries.shape[1] != self.vectors.shape[1]:
            raise DataError(
                f"The queries are {queries.shape[1]} wide and this index {self.vectors.shape[1]}."
            )
        if not np.isfinite(queries).all():
            raise NumericsError("The query's embedding holds NaN or infinity.")
        top = min(top, len(self))
        scores, rows = faiss.knn(
            queries, np.asarray(self.vectors), top, metric=faiss.METRIC_INNER_PRODUCT
        )
        return Hits(rows.astype(np.int64), scores)


def _check(vectors: np.ndarray, items: pd.DataFrame) -> None:
    if vectors.ndim != 2 or len(vectors) == 0:
        raise DataError(f"An index needs (N, D) vectors, N above 0, not {vectors.shape}.")
    if len(vectors) != len(items):
        raise DataError(f"{len(vectors)} vectors for {len(items)} items.")
    if not np.isfinite(vectors).all():
        rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))[:5].tolist()
        raise NumericsError(f"Embeddings hold NaN or infinity (rows {rows}).")
