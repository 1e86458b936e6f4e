"""What a writer of an index does: keep the model, write the next generation's files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike.errors import ConfigError, RunError
from lookalike.files import refuse_links, replacing_folder, sha256
from lookalike.search import engines, generations
from lookalike.search.exported import ABOUT, is_exported
from lookalike.search.remote.server import SERVERS
from lookalike.search.remote.vectors import IDS
from lookalike.search.storage import SCALES, VECTORS, Stored, Vectors, encode

if TYPE_CHECKING:
    import pandas as pd

ITEMS = "items.parquet"
MODELS, BUILDING = generations.MODELS, generations.BUILDING


def refuse_in_the_way(folder: Path, *, overwrite: bool) -> None:
    """Refuse a place that holds something which a new index must not replace.

    Raises:
        RunError: an index, unless ``overwrite``; or anything that is not an index.
    """
    there = folder / generations.MANIFEST
    ours: set[str] = {*generations.OWN} - {generations.MANIFEST}
    refuse_links(folder, generations.WRITTEN)
    if there.is_file():
        if not overwrite:
            raise RunError(
                f"{folder} exists already. Add --overwrite, or choose another --out. "
                "(`index add` and `index update` change an index.)"
            )
    elif folder.exists() and (not folder.is_dir() or {p.name for p in folder.iterdir()} - ours):
        raise RunError(f"{folder} exists already. It is not an index; choose another --out.")


@dataclass(frozen=True)
class Before:
    """The generation that the next one grows from, and which of its rows go on."""

    vectors: Vectors
    columns: Sequence[str]
    engine: dict[str, Any]
    folder: Path
    kept: np.ndarray


def write_generation(
    folder: Path,
    manifest: dict[str, Any],
    vectors: np.ndarray,
    items: pd.DataFrame,
    ids: np.ndarray,
    before: Before | None = None,
) -> dict[str, Any]:
    """Commit a generation: the kept rows of the one before, then the new vectors.

    Args:
        folder: the index folder, whose writer the caller is.
        manifest: what to say of it; ``storage``, ``width`` and ``engine`` are obeyed.
        vectors: float32 ``(n, D)``, the new ones.
        items: all rows, those kept and the new ones.
        ids: int64, one a row of ``items``.
        before: what came before; None: nothing.

    Returns:
        The manifest as written.
    """
    manifest = manifest | {"count": len(ids)}

    def write_items(part: Path) -> None:
        np.save(part / IDS, ids.astype(np.int64))
        items.reset_index(drop=True).to_parquet(part / ITEMS)

    if manifest["engine"]["name"] in SERVERS:
        from lookalike.search.remote.writing import write_remote

        return write_remote(folder, manifest, vectors, items, ids, before, write_items)
    stored = None if before is None else before.vectors
    if not isinstance(stored, Stored | None):
        raise ConfigError(
            f"{folder}: vectors are not moved from a server into a folder. Build the index again "
            "with the other --engine."
        )

    def write(part: Path) -> None:
        arrays = encode(vectors, manifest["storage"])
        if before is not None and stored is not None:
            old = {VECTORS: stored.codes, SCALES: stored.scales}
            arrays = {
                name: np.concatenate([np.asarray(old[name])[before.kept], new])
                for name, new in arrays.items()
            }
        for name, array in arrays.items():
            np.save(part / name, array)
        write_items(part)
        if manifest["engine"]["name"] != "exact":
            _write_engine(part, manifest, before)

    return generations.commit(folder, manifest, write)


def _write_engine(part: Path, manifest: dict[str, Any], before: Before | None) -> None:
    """The engine before with removed rows marked and new ones added, or built anew when stale."""
    stored = Stored.open(part, manifest["storage"], manifest["width"])
    spec = manifest["engine"]
    if before is not None and engines.same_build(before.engine, spec):
        _, places = engines.open_engine(before.folder, before.vectors)
        now = np.where(before.kept, np.cumsum(before.kept) - 1, -1)
        places = np.where(places >= 0, now[places], -1)
        if (places < 0).mean() <= engines.STALE:
            engine = engines.read(before.folder / engines.ENGINE, to_change=True)
            old = int(before.kept.sum())
            engines.append(engine, stored, old)
            np.save(part / engines.PLACES, np.concatenate([places, np.arange(old, len(stored))]))
            engines.write(engine, part / engines.ENGINE)
            return
    np.save(part / engines.PLACES, np.arange(len(stored)))
    engines.write(engines.build(stored, spec), part / engines.ENGINE)


def keep_model(folder: Path, model: str | Path) -> str:
    """Copy a model folder into the index, under a name of its own; whole or not at all."""
    name = sha256(identity(Path(model)))[:16]
    place = folder / MODELS / name
    if place.is_dir():
        return name
    with replacing_folder(place) as part:
        shutil.copytree(model, part, dirs_exist_ok=True)
    return name


def identity(model: Path) -> Path:
    """The file whose SHA-256 is a model's: its weights, or the list of an export's hashes."""
    return model / ABOUT if is_exported(model) else model / "model.safetensors"
