"""Data sets of the Hugging Face hub, from their files on disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import ipc, parquet

from lookalike.data.archive import cache_folder
from lookalike.data.datasets.layout import existing
from lookalike.data.split_words import (
    is_evaluated,
    is_exact,
    is_known,
    refuse_unknown,
    split_name,
)
from lookalike.data.splits import TestClasses, class_disjoint
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, counted, suggest
from lookalike.ops.labels import is_absent

_LAYOUT = "…/train-00000-of-00002.parquet and so on (a downloaded repository), or save_to_disk's"
_SHARD = re.compile(r"(.+?)-\d+-of-\d+(-\w+)?")


def hugging_face(
    root: str | Path,
    *,
    picture: str = "image",
    levels: Sequence[str] = ("label",),
    splits: dict[str, str] | None = None,
    config: str | None = None,
    test_classes: TestClasses = 0.5,
    seed: int = 0,
    cache: str | Path | None = None,
) -> Table:
    """An image data set of the Hugging Face hub, downloaded or saved to disk.

    Reads the Parquet files of a repository (``huggingface-cli download --repo-type dataset``) or
    the Arrow files of ``save_to_disk``; the ``datasets`` package is not needed. Images that lie
    inside those files are written out once, below the cache. Class names are taken over. A row
    without a label (−1 or null) is a distractor, which matches nothing.

    Args:
        root: the folder.
        picture: column with the images.
        levels: label columns, finest first.
        splits: which split of theirs becomes which of ours, such as ``{"validation": "test"}``;
            by default their names stay. Without a split to evaluate, the classes are divided.
        config: which of several configurations (the folders above the splits) to read; by default
            all of them, which a note names.
        test_classes: where there is no split to evaluate: share, number or names of the classes
            to test on.
        seed: of that draw.
        cache: where images are written; by default below ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        DataError: no such files, a column that is missing, a row without an image, or a class
            code beyond the names.
        ConfigError: no such configuration.
    """
    base = existing(root, _LAYOUT)
    files = sorted([*base.rglob("*.parquet"), *base.rglob("*.arrow")])
    if not files:
        raise DataError(f"{base}: holds no .parquet or .arrow files. Expected: {_LAYOUT}")
    home = cache_folder() if cache is None else Path(cache).expanduser()
    folder = home / "hugging_face" / _mark(files)
    notes, chosen = _configured([_origin(file, base) for file in files], config, base)
    parts = [_rows(origin, picture, levels, folder / name) for origin, name in chosen]
    frame = pd.concat(parts, ignore_index=True)
    frame["path"] = [
        str(Path(p).relative_to(folder)) if Path(p).is_relative_to(folder) else p
        for p in frame["path"]
    ]
    if splits is not None:
        strange = [s for s in splits if s not in set(frame["split"])]
        if strange:
            raise DataError(
                f"{base}: no split '{strange[0]}'. {suggest(strange[0], frame['split'])}"
            )
        frame["split"] = frame["split"].replace(splits)
    remedy = "Say what it is with dataset.splits={theirs: test}; 'unlabeled' is neither"
    refuse_unknown(frame["split"].unique(), f"{base}: splits", remedy)
    frame["split"] = frame["split"].map(split_name)
    absent = int(frame[[*levels]].isin([-1, "-1"]).any(axis=1).sum())
    if absent:
        notes.append(f"{counted(absent, 'row')} without a label: distractors, which match nothing")
    if not any(map(is_evaluated, frame["split"].unique())):
        frame["split"], note = class_disjoint(frame[levels[0]], test_classes, seed=seed)
        notes.append(f"no split to evaluate: {note}")
    return Table.from_frame(
        frame, levels=levels, name=base.name, root=folder, notes=notes, source=base
    )


def _mark(files: list[Path]) -> str:
    state = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


class _Origin(NamedTuple):
    """Where rows come from: a file, its split, and its configuration (the folders above)."""

    file: Path
    split: str
    config: str


def _origin(file: Path, base: Path) -> _Origin:
    """What a file's place says, as the hub reads it.

    ``train-00000-of-00002.parquet`` and ``birds-train.parquet`` say it by their names,
    ``default/train/0000.parquet`` and save_to_disk's ``train/data-00000-of-00001.arrow`` by their
    folders. What says nothing is ``train``.
    """
    folders = list(file.relative_to(base).parent.parts)
    shard = _SHARD.fullmatch(file.stem)
    stem = shard[1] if shard else file.stem
    words = re.split(r"[-_. ]", stem)
    named = [w for w in words if is_exact(w)]
    if is_known(stem):
        split = stem
    elif named:
        split = named[-1]
    else:
        telling = stem not in ("data", "part", "dataset") and not stem.isdigit()
        inner = folders[-1].removeprefix("partial-") if folders else ""
        if folders and (is_known(inner) or not telling):
            split = inner
            folders.pop()
        else:
            split = stem if telling else "train"  # a word of its own: heap-00000-of-00001
    return _Origin(file, split, "/".join(f for f in folders if f != "data"))


def _configured(
    origins: list[_Origin], config: str | None, base: Path
) -> tuple[list[str], list[tuple[_Origin, str]]]:
    """Notes, and the files of one configuration, or of all, each with a folder for its images."""
    names = sorted({o.config for o in origins})
    shown = [n or "." for n in names]
    if config is not None:
        origins = [o for o in origins if config in (o.config, o.config or ".")]
        if not origins:
            raise ConfigError(f"dataset.config={config}: {base} has none. {suggest(config, shown)}")
    # Rows of two files must not meet in one place: where stems repeat, the folders tell them apart.
    places = Counter((o.split, o.file.stem) for o in origins)
    several = any(n > 1 for n in places.values())
    chosen = [(o, "-".join(o.config.split("/")) if several else "") for o in origins]
    notes = []
    if config is None and len(names) > 1:
        listed = ", ".join(shown)
        notes.append(
            f"{counted(len(names), 'configuration')}, all read: {listed}; one alone:"
            f" dataset.config={shown[0]}"
        )
    return notes, chosen


def _rows(origin: _Origin, picture: str, levels: Sequence[str], folder: Path) -> pd.DataFrame:
    file, split = origin.file, origin.split
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
                place = f"{file}: row {len(rows)}"
                labels = {lv: _label(row[lv], names.get(lv), f"{place}, {lv}") for lv in levels}
                rows.append({"path": path, "split": split} | labels)
    except (pa.ArrowException, OSError) as e:
        raise DataError(f"{file}: cannot be read: {e}") from None
    return pd.DataFrame(rows)


def _label(value: Any, names: list[str] | None, place: str) -> Any:
    """A label, by name where the file has names; -1 where there is none."""
    absent = bool(is_absent(np.array([value], object))[0])
    if names is None:
        return -1 if value is None else value
    if absent:
        return "-1"
    if not 0 <= value < len(names):
        raise DataError(
            f"{place}: class {value}, but the file names"
            f" {counted(len(names), 'class', 'classes')}, from 0"
        )
    return names[value]


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
    """The path of an image; what lies inside the file is written out below the folder."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(data, bytes):
        given = cell.get("path") if isinstance(cell, dict) else None
        target = folder / f"{name}{Path(given).suffix if given else ''}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{target.name}.{os.getpid()}")
            beside.write_bytes(data)
            beside.replace(target)
        return str(target)
    path = cell.get("path") if isinstance(cell, dict) else cell
    if not isinstance(path, str):
        raise DataError(f"{file}: {name} has no image, only {cell!r:.80}")
    return str((file.parent / path).resolve())
