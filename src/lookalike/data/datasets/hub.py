"""Data sets of the Hugging Face hub, from their files on disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import ipc, parquet

from lookalike.data.archive import cache_folder
from lookalike.data.datasets.layout import existing
from lookalike.data.splits import class_disjoint
from lookalike.data.table import Table
from lookalike.errors import DataError, suggest

_LAYOUT = "…/train-00000-of-00002.parquet and so on (a downloaded repository), or save_to_disk's"
_EVALUATED = ("test", "val")


def hugging_face(
    root: str | Path,
    *,
    picture: str = "image",
    levels: Sequence[str] = ("label",),
    splits: dict[str, str] | None = None,
    test_classes: float | Sequence[str] = 0.5,
    seed: int = 0,
    cache: str | Path | None = None,
) -> Table:
    """A picture data set of the Hugging Face hub, downloaded or saved to disk.

    Reads the Parquet files of a repository (``huggingface-cli download --repo-type dataset``) or
    the Arrow files of ``save_to_disk``; the ``datasets`` package is not needed. Pictures that lie
    inside those files are written out once, below the cache. Class names are taken over.

    Args:
        root: the folder.
        picture: column with the pictures.
        levels: label columns, finest first.
        splits: which split of theirs becomes which of ours, such as ``{"validation": "test"}``;
            by default their names stay. Without a split to evaluate, the classes are divided.
        test_classes: then: share, number or names of the classes to test on.
        seed: of that draw.
        cache: where pictures are written; by default below ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        DataError: no such files, a column that is missing, or a row without a picture.
    """
    base = existing(root, _LAYOUT)
    files = sorted([*base.rglob("*.parquet"), *base.rglob("*.arrow")])
    if not files:
        raise DataError(f"{base}: holds no .parquet or .arrow files. Expected: {_LAYOUT}")
    home = cache_folder() if cache is None else Path(cache).expanduser()
    folder = home / "hugging_face" / _mark(files)
    parts = [_rows(file, _split_of(file), picture, levels, folder) for file in files]
    frame = pd.concat(parts, ignore_index=True)
    if splits is not None:
        strange = [s for s in splits if s not in set(frame["split"])]
        if strange:
            raise DataError(
                f"{base}: no split '{strange[0]}'. {suggest(strange[0], frame['split'])}"
            )
        frame["split"] = frame["split"].replace(splits)
    notes = []
    if not frame["split"].str.startswith(_EVALUATED).any():
        frame["split"], note = class_disjoint(frame[levels[0]], test_classes, seed=seed)
        notes.append(f"no split to evaluate: {note}")
    return Table.from_frame(
        frame, levels=levels, name=base.name, root=folder, notes=notes, source=base
    )


def _mark(files: list[Path]) -> str:
    state = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


def _split_of(file: Path) -> str:
    """``train-00000-of-00002.parquet`` is of split train; save_to_disk has a folder a split."""
    stem = file.stem.split("-")[0]
    return file.parent.name if file.suffix == ".arrow" or stem in ("data", "part") else stem


def _rows(
    file: Path, split: str, picture: str, levels: Sequence[str], folder: Path
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    try:
        for batch in _batches(file):
            missing = [c for c in (picture, *levels) if c not in batch.schema.names]
            if missing:
                raise DataError(
                    f"{file}: no column '{missing[0]}'. {suggest(missing[0], batch.schema.names)}"
                )
            names = _class_names(batch.schema)
            for row in batch.select([picture, *levels]).to_pylist():
                path = _write(row[picture], file, folder, f"{split}/{file.stem}-{len(rows):07d}")
                labels = {lv: names[lv][row[lv]] if lv in names else row[lv] for lv in levels}
                rows.append({"path": path, "split": split} | labels)
    except (pa.ArrowException, OSError) as e:
        raise DataError(f"{file}: cannot be read: {e}") from None
    return pd.DataFrame(rows)


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    if file.suffix == ".parquet":
        yield from parquet.ParquetFile(file).iter_batches(256)
    else:
        with ipc.open_stream(file) as reader:
            yield from reader


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The class names that the files carry in their metadata, by column."""
    text = (schema.metadata or {}).get(b"huggingface")
    features = json.loads(text).get("info", {}).get("features", {}) if text else {}
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and "names" in feature
    }


def _write(cell: Any, file: Path, folder: Path, name: str) -> str:
    """The path of a picture, relative to the folder; what lies inside the file is written out."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(data, bytes):
        given = cell.get("path") if isinstance(cell, dict) else None
        target = folder / f"{name}{Path(given).suffix if given else ''}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{target.name}.{os.getpid()}")
            beside.write_bytes(data)
            beside.replace(target)
        return target.relative_to(folder).as_posix()
    path = cell.get("path") if isinstance(cell, dict) else cell
    if not isinstance(path, str):
        raise DataError(f"{file}: {name} has no picture, only {cell!r:.80}")
    return str((file.parent / path).resolve())
