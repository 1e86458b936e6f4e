"""An index folder: vectors, what they stand for, and the model that made them.

index.json                 which generation is the present one; counts, width, model, checksums
generations/NNNNNN/
  vectors.npy              float32, float16, int8 or bits (N, D), memory-mapped when read
  items.parquet            a row a vector: path and whatever columns the source had
  ids.npy                  int64 (N,), a number for each item that no other ever gets
  engine.faiss, places.npy of an approximate engine
  digests.npy              where a server holds the vectors: uint64 (N,), a checksum each
servers.json               where one does: the tables that this folder has made there
models/SHA/                the embedder, so that the folder alone can answer a query
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lookalike import __version__, trust
from lookalike.errors import Busy, DataError, counted
from lookalike.ops.arrays import as_float32
from lookalike.search import engines, generations
from lookalike.search.arrays import read_array
from lookalike.search.blocks import Blocks
from lookalike.search.exact import nearest
from lookalike.search.filters import matching
from lookalike.search.from_images import FromImages
from lookalike.search.hits import Hits
from lookalike.search.manifest import KIND
from lookalike.search.remote.vectors import Remote, open_vectors
from lookalike.search.remote.writing import dropping_forgotten
from lookalike.search.storage import Vectors, check_range, check_vectors, storage_loss
from lookalike.search.verifying import faults
from lookalike.search.writing import (
    IDS,
    ITEMS,
    MODELS,
    Before,
    keep_model,
    refuse_in_the_way,
    write_generation,
)

if TYPE_CHECKING:
    import pandas as pd

# Below this many allowed rows, or this share, comparing all of them beats steering a graph.
_FEW, _SHARE = 20_000, 0.05


class Index(FromImages):
    """Embedded images that can be searched by dot product, added to and removed from.

    Make one with `build` or `open`. An `Index` is a view of one generation: `add` and `remove`
    return the index after the change, and the old view goes on answering as before.

    Attributes:
        folder: where it is.
        manifest: what ``index.json`` says.
        vectors: the stored vectors; ``index.vectors[rows]`` is float32.
        columns: a row a vector, in Arrow: the server looks at it without loading pandas.
        ids: int64 ``(N,)``: a number for each item that stays the same and is never given again.

    Example:
        >>> import tempfile
        >>> import pandas as pd
        >>> items = pd.DataFrame({"path": ["a.jpg", "b.jpg"]})
        >>> index = Index.build(Path(tempfile.mkdtemp()) / "ix", np.eye(2, dtype="f4"), items)
        >>> index.search(np.array([[1.0, 0.0]], dtype="f4"), top=1).rows.tolist()
        [[0]]
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        place, count = self.generation, manifest["count"]
        self.vectors: Vectors = open_vectors(place, manifest)
        self.ids: np.ndarray = read_array(place / IDS, "<i8", (count,))
        try:
            Blocks(place / ITEMS).check()
            self._items = (place / ITEMS).read_bytes()
            items = pq.ParquetFile(pa.BufferReader(self._items))
            if items.metadata.num_rows != count:  # told before rows are made in memory
                raise ValueError(f"it has {counted(items.metadata.num_rows, 'row')}")
            self.columns: pa.Table = items.read()
        except (OSError, ValueError, pa.ArrowException) as error:
            raise DataError(
                f"{place / ITEMS} cannot be read ({error}). Build the index again."
            ) from error
        if len(self.vectors) != count or "path" not in self.columns.column_names:
            raise DataError(
                f"{folder}: {counted(len(self.vectors), 'vector')} and items of "
                f"{', '.join(self.columns.column_names)}, where the manifest says {count} with a "
                "path. Build the index again."
            )
        self._engine: tuple[Any, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @cached_property
    def items(self) -> pd.DataFrame:
        """A row a vector, as it was given. Not to be changed in place."""
        import pandas as pd

        return pd.read_parquet(BytesIO(self._items))

    @property
    def generation(self) -> Path:
        """The folder of the present files."""
        return self.folder / generations.GENERATIONS / self.manifest["generation"]

    @property
    def is_own(self) -> bool:
        """Whether this user made it: its manifest bears the mark."""
        return trust.is_sealed(self.manifest, KIND)

    @property
    def engine(self) -> dict[str, Any]:
        """The engine's spec."""
        return self.manifest["engine"]

    @property
    def levels(self) -> list[str]:
        """The columns that hold labels, finest first."""
        return [n for n in self.manifest.get("levels", []) if n in self.columns.column_names]

    def cell(self, column: str, row: int) -> Any:
        """What an item has in a column; None where that is empty."""
        return self.columns[column][int(row)].as_py()

    @property
    def model_folder(self) -> Path | None:
        """The embedder that made the vectors, where the index holds it."""
        named = self.manifest.get("model", {}).get("folder")
        return None if named is None else self.folder / MODELS / named

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
        engine: str = "exact",
        engine_options: dict[str, Any] | None = None,
        storage: str = "float32",
    ) -> Index:
        """Write an index folder, whole or not at all.

        Args:
            folder: where; must hold no index unless ``overwrite``.
            vectors: ``(N, D)`` of any container, a row an item; kept as float32.
            items: ``path`` and any other columns, in the order of the vectors.
            model: folder of the embedder that made the vectors; copied into the index.
            about: more facts for the manifest.
            overwrite: replace an index that is there.
            engine: ``exact``, ``hnsw``, ``ivfpq``, ``pgvector`` or ``qdrant``.
            engine_options: see `engines.engine_spec`.
            storage: ``float32``, ``float16``, ``int8`` or ``binary``; what it loses is measured
                and written into the manifest.

        Raises:
            RunError: the folder exists, another process writes, or the disk or the server refuses.
            DataError: vectors and items do not fit.
            NumericsError: NaN, infinity, or a number beyond the storage's range.
            ConfigError: an unknown engine or storage.
        """
        folder = Path(folder)
        vectors = as_float32(vectors, "vectors")
        check_vectors(vectors, items, storage)
        count, width = vectors.shape
        spec = engines.checked(engine, storage, count, width, engine_options)
        refuse_in_the_way(folder, overwrite=overwrite)
        about = dict(about or {})
        with generations.writing(folder), dropping_forgotten(folder):
            if model is not None:
                about["model"] = about.get("model", {}) | {"folder": keep_model(folder, model)}
            manifest = {
                "lookalike": __version__,
                "created": _now(),
                "changed": _now(),
                "width": width,
                "storage": storage,
                "storage_loss": storage_loss(vectors, storage),
                "engine": spec,
                "next_id": len(vectors),
                **about,
            }
            ids = np.arange(len(vectors))
            return cls(folder, write_generation(folder, manifest, vectors, items, ids))

    @classmethod
    def open(cls, folder: str | Path, *, sums: bool = False) -> Index:
        """Read an index folder.

        Args:
            folder: which.
            sums: also compare the SHA-256 of every file, as `verify` does.

        Raises:
            DataError: there is none, its parts do not fit together, or are not as written.
            RunError: it leads out of itself by a link, or names a server that nobody has named.
        """
        folder = Path(folder)
        manifest = generations.read_manifest(folder)
        for _ in range(10):
            # A writer may have removed what index.json named a moment ago: then it names another.
            try:
                if wrong := generations.check_files(folder, manifest, sums=sums):
                    raise DataError("; ".join(wrong) + ". Build the index again.")
                return cls(folder, manifest)
            except DataError:
                again = generations.read_manifest(folder)
                if again["generation"] == manifest["generation"]:
                    raise
                manifest = again
        raise DataError(f"{folder} changes faster than it can be read. Try again.")

    def search(
        self,
        queries: np.ndarray,
        top: int = 10,
        *,
        where: Sequence[str] = (),
        allowed: np.ndarray | None = None,
        own: np.ndarray | None = None,
        exact: bool = False,
    ) -> Hits:
        """The ``top`` nearest items of each query.

        Args:
            queries: ``(Q, D)``, or one ``(D,)``.
            top: how many; at most all there are.
            where: conditions on columns, see `filters.matching`; decided in the server where the
                vectors live in one.
            allowed: bool ``(N,)``, rows that may be found; None for all.
            own: int64 ``(Q,)``, the row that each query may not find (−1: none).
            exact: compare every vector, whatever the engine.

        Raises:
            DataError: queries of another width.
            NumericsError: NaN among the queries, or one longer than 1e12.
        """
        queries = as_float32(queries, "queries", single=True)
        if queries.shape[1] != self.vectors.width:
            wide = f"The queries are {queries.shape[1]} wide"
            raise DataError(f"{wide} and this index {self.vectors.width}.")
        check_range(queries, "The queries' embeddings")
        if isinstance(self.vectors, Remote):
            asked = min(top + (own is not None), len(self))
            limits = {"where": where, "allowed": allowed, "exact": exact}
            hits = self.vectors.search(queries, asked, self.columns, **limits)
            return hits if own is None else hits.without(own).top(top)
        if where:
            met = matching(self.columns, where)
            allowed = met if allowed is None else met & allowed
        count = len(self) if allowed is None else int(allowed.sum())
        top = min(top, count)
        few = allowed is not None and (count <= _FEW or count <= _SHARE * len(self))
        if exact or few or self.engine["name"] == "exact":
            rows = None if allowed is None else np.flatnonzero(allowed)
            return nearest(queries, self.vectors, top, rows=rows, own=own)
        engine, places = self.open_engine()
        hits = engines.search(
            engine,
            self.engine,
            queries,
            top + (own is not None),
            stored=self.vectors,
            places=places,
            allowed=allowed,
        )
        return hits if own is None else hits.without(own).top(top)

    def open_engine(self) -> tuple[Any, np.ndarray]:
        """The approximate engine and the index row of each of its rows."""
        if self._engine is None:
            self._engine = engines.open_engine(self.generation, self.vectors)
        return self._engine

    def rows_of(self, ids: Sequence[int]) -> np.ndarray:
        """Row numbers of items by their id.

        Raises:
            DataError: an id that no item has.
        """
        rows = np.searchsorted(self.ids, ids)
        for row, number in zip(rows, ids, strict=True):
            if row >= len(self.ids) or self.ids[row] != number:
                raise DataError(f"{self.folder} holds no item with id {number}.")
        return rows

    def add(self, vectors: np.ndarray, items: pd.DataFrame) -> Index:
        """The index with more items, in a new generation.

        Raises:
            Busy: another process writes, or the index was built again since it was opened.
            RunError: the disk or the server refuses.
            DataError: another width or other columns.
        """
        return self.change(add=(vectors, items))

    def remove(self, ids: Sequence[int]) -> Index:
        """The index without some items, in a new generation.

        Raises:
            RunError: another process writes, or the disk refuses.
            DataError: an id that no item has, or nothing would be left.
        """
        return self.change(remove=ids)

    def change(
        self,
        *,
        add: tuple[np.ndarray, pd.DataFrame] | None = None,
        remove: Sequence[int] = (),
        about: dict[str, Any] | None = None,
    ) -> Index:
        """Remove some items and add others, in one new generation; see `add` and `remove`."""
        with generations.writing(self.folder):
            # Another writer may have been here since this view was opened.
            now = Index.open(self.folder)
            self._refuse_rebuilt(now)
            kept = np.ones(len(now), bool)
            if len(remove):
                kept[now.rows_of(remove)] = False
            vectors, items = np.empty((0, now.vectors.width), np.float32), None
            if add is not None:
                vectors, items = as_float32(add[0], "vectors"), add[1]
                check_vectors(vectors, items, now.vectors.storage, now.vectors.width)
            if not kept.any() and not len(vectors):
                raise DataError(f"{self.folder}: nothing would be left. Delete the folder instead.")
            first = now.manifest["next_id"]
            ids = np.concatenate([now.ids[kept], np.arange(first, first + len(vectors))])
            frames = [now.items[kept], *([] if items is None else [items])]
            manifest = now.manifest | {
                "changed": _now(),
                "next_id": first + len(vectors),
                **(about or {}),
            }
            import pandas as pd

            merged = pd.concat(frames, ignore_index=True)
            before = now._before(kept)
            manifest = write_generation(self.folder, manifest, vectors, merged, ids, before)
            return Index(self.folder, manifest)

    def use(self, engine: dict[str, Any]) -> Index:
        """The index with another engine, or other settings of search, in a new generation.

        Args:
            engine: a spec, of `engines.engine_spec` or of `tuning.tune`.
        """
        with generations.writing(self.folder):
            now = Index.open(self.folder)
            kept = np.ones(len(now), bool)
            before = now._before(kept)
            nothing = np.empty((0, now.vectors.width), np.float32)
            manifest = now.manifest | {"engine": dict(engine), "changed": _now()}
            manifest = write_generation(self.folder, manifest, nothing, now.items, now.ids, before)
            return Index(self.folder, manifest)

    def _refuse_rebuilt(self, now: Index) -> None:
        """Ids of an index that is gone mean other items, and its model may be another one."""
        was, there = (
            (index.manifest["created"], index.manifest.get("model", {}).get("sha256"))
            for index in (self, now)
        )
        if was != there:
            raise Busy(
                f"{self.folder} was built again since it was opened: its ids, or its model, are "
                "others. Nothing was changed; open it again and repeat the change."
            )

    def _before(self, kept: np.ndarray) -> Before:
        names = self.columns.column_names
        return Before(self.vectors, names, self.engine, self.generation, kept)

    def verify(self) -> list[str]:
        """What is wrong with the folder's files; nothing when all are as they were written.

        Checks the size and SHA-256 of every file, that the vectors are finite, that ids rise, and
        that the model is the one that the manifest names.
        """
        return faults(self.folder, self.manifest, self.vectors, self.ids)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
