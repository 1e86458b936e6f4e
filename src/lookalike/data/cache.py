"""A copy of a data set that loads several times faster: small images in a few large files.

A cache is a folder: ``cache.json`` (what it was made from and how, with the size and SHA-256 of
every shard), ``table.parquet`` (the rows, where ``path`` is ``00000.shard#OFFSET+LENGTH+CRC32``)
and the shards, which hold images end to end, as JPEG or as plain pixels.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from lookalike import documents
from lookalike.data.dataset import Broken
from lookalike.data.decode import decode_picture, encode_raw, is_plain_jpeg, read_bytes
from lookalike.data.frames import read_frame, write_frame
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, counted
from lookalike.files import is_free, replacing_folder

_VERSION = 1
_BLOCK = 256  # images handed to the threads at a time


class ShardPart(documents.Document):
    """One file of images."""

    file: documents.PlainName
    bytes: documents.Count
    sha256: documents.Digest


class CacheFile(documents.Document):
    """``cache.json``."""

    version: int
    name: str
    levels: list[str]
    notes: list[str]
    shards: list[ShardPart]


def build_cache(
    table: Table,
    folder: str | Path,
    *,
    shorter: int = 256,
    encoding: Literal["jpeg", "raw"] = "raw",
    quality: int = 90,
    shard_bytes: int = 1 << 28,
    broken: Broken = "refuse",
    workers: int = 2,
    progress: Callable[[int], Any] | None = None,
) -> Table:
    """Write a copy of every image with its shorter side cut down, and return the copy's table.

    Images are cut to their box, turned upright, scaled down to the shorter side by Pillow's
    bicubic filter (never up) and stored as plain pixels, which load fastest and lose nothing (0.26
    MB each at 256×341), or as JPEG, in a tenth of the space. A plain JPEG that is small enough
    already is copied byte for byte into a JPEG cache. Training from the copy differs from training
    on the originals by this alone, which the copy's table states in its notes.

    Args:
        table: what to copy.
        folder: where to; it must not be there yet, and appears whole or not at all.
        shorter: pixels of the shorter side; take about 8/7 of the training size, or more.
        encoding: ``"raw"`` or ``"jpeg"``.
        quality: of the JPEG encoding, 1 … 100.
        shard_bytes: size at which a new shard is begun.
        broken: ``"refuse"`` an unreadable image, or ``"skip"`` its row and count it.
        workers: threads that decode, scale and encode.
        progress: called with the number of images done, after each.

    Raises:
        ConfigError: a size or quality that cannot be.
        DataError: a folder that is there, an image that is refused, or a disk that will be full
            by the size of the first images.
        DiskError: the disk refuses.

    Example:
        ``build_cache(cub("data/CUB_200_2011"), "data/cub-256")``, then ``lookalike train
        dataset=data/cub-256``
    """
    target = Path(folder).expanduser()
    if shorter < 1 or not 1 <= quality <= 100 or encoding not in ("jpeg", "raw"):
        raise ConfigError(
            f"cache: shorter={shorter}, encoding={encoding}, quality={quality} cannot be; shorter"
            " is above 0, quality 1 … 100, encoding 'jpeg' or 'raw'"
        )
    form = _Form(shorter, quality if encoding == "jpeg" else None)
    if not is_free(target):
        raise DataError(f"{target}: is there already; remove it, or choose another folder")
    with replacing_folder(target) as beside:
        _refuse_full_disk(table, beside, form)
        _fill(table, beside, form, shard_bytes, broken, workers, progress)
    return open_cache(target)


class _Form(NamedTuple):
    """How images are stored: shorter side, and JPEG quality or None for plain pixels."""

    shorter: int
    quality: int | None

    def __str__(self) -> str:
        stored = "plain pixels" if self.quality is None else f"JPEG quality {self.quality}"
        return (
            f"shorter side cut down to {counted(self.shorter, 'pixel')} by a bicubic filter,"
            f" {stored}"
        )


def open_cache(folder: str | Path, *, verify: bool = False) -> Table:
    """The table of a cache.

    Args:
        folder: where `build_cache` wrote it.
        verify: read every shard and compare its checksum; by default only the sizes.

    Raises:
        DataError: no cache, one of another version, or a shard that is damaged or missing.
    """
    base = Path(folder).expanduser()
    record = _record(base)
    for shard in record["shards"]:
        file = base / shard["file"]
        size = file.stat().st_size if file.exists() else -1
        if size != shard["bytes"]:
            state = (
                "is missing" if size < 0 else f"has {counted(size, 'byte')}, not {shard['bytes']:,}"
            )
            raise DataError(f"{file}: the shard {state}; build the cache anew")
        if verify and _digest(file) != shard["sha256"]:
            raise DataError(f"{file}: the shard is damaged (its checksum differs); build it anew")
    return Table.from_frame(
        read_frame(base / "table.parquet"),
        levels=record["levels"],
        name=record["name"],
        root=base,
        notes=record["notes"],
        source=base,
    )


def _refuse_full_disk(table: Table, base: Path, form: _Form) -> None:
    """Judge by a few images whether the copy will fit, before hours are spent on it."""
    rows = np.unique(np.linspace(0, len(table) - 1, 8).astype(int)).tolist()
    sizes = [len(d) for d in _encoded(table.where(rows), form, "skip", 1) if d is not None]
    wanted = int(np.mean(sizes or [0]) * len(table))
    free = shutil.disk_usage(base).free
    if wanted > free:
        other = " (encoding=jpeg takes a tenth)" if form.quality is None else ""
        raise DataError(
            f"{base.parent}: the cache will take about {wanted / 1e9:.1f} GB{other}, but"
            f" {free / 1e9:.1f} GB are free"
        )


def _record(base: Path) -> dict[str, Any]:
    file = base / "cache.json"
    record = documents.read_json(file, dict[str, Any], remedy="Build a cache first.")
    documents.check(record.get("version"), int, f"{file}: version", remedy="Build a cache first.")
    if record["version"] != _VERSION:
        raise DataError(
            f"{base}: a cache of version {record['version']}, not {_VERSION}; build it anew"
        )
    documents.check(record, CacheFile, str(file), remedy="Build it anew.")
    return record


def _fill(
    table: Table,
    base: Path,
    form: _Form,
    shard_bytes: int,
    broken: Broken,
    workers: int,
    progress: Callable[[int], Any] | None,
) -> None:
    paths: list[str] = []
    kept: list[int] = []
    with _Shards(base, shard_bytes) as shards:
        for row, data in enumerate(_encoded(table, form, broken, workers)):
            if data is not None:
                paths.append(shards.add(data))
                kept.append(row)
            if progress is not None:
                progress(row + 1)
    if not kept:
        raise DataError(f"{table.name}: no image can be read")
    rows = table.frame.iloc[kept].drop(columns=["x_1", "x_2", "y_1", "y_2"], errors="ignore")
    rows["path"] = pd.Series(paths, index=rows.index, dtype="str")
    write_frame(rows, base / "table.parquet")
    skipped = len(table) - len(kept)
    notes = [
        *table.notes,
        f"from a cache of {table.name} ({table.fingerprint}): {form}",
        *([f"{counted(skipped, 'unreadable image')} left out of the cache"] if skipped else []),
    ]
    record = {
        "version": _VERSION,
        "name": table.name,
        "source_fingerprint": table.fingerprint,
        "levels": list(table.levels),
        "rows": len(kept),
        "shorter": form.shorter,
        "quality": form.quality,
        "notes": notes,
        "shards": [
            {"file": f.name, "bytes": f.stat().st_size, "sha256": _digest(f)}
            for f in sorted(base.glob("*.shard"))
        ],
    }
    (base / "cache.json").write_text(json.dumps(record, indent=1))


def _encoded(table: Table, form: _Form, broken: Broken, workers: int) -> Iterator[bytes | None]:
    """Each row's image as it goes into the cache; None for one that is skipped."""

    def encode(row: int) -> bytes | None:
        box = None if table.boxes is None or np.isnan(table.boxes[row, 0]) else table.boxes[row]
        try:
            data = read_bytes(table.path(row))
            corners = None if box is None else tuple(box.tolist())
            return _shrunk(data, table.path(row), corners, form)
        except DataError:
            if broken == "skip":
                return None
            raise

    with ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, len(table), _BLOCK):
            yield from pool.map(encode, range(start, min(start + _BLOCK, len(table))))


def _shrunk(
    data: bytes, source: str, box: tuple[float, float, float, float] | None, form: _Form
) -> bytes:
    pixels = decode_picture(data, source=source, box=box)
    height, width = pixels.shape[:2]
    small = min(height, width) <= form.shorter
    if small and box is None and form.quality is not None and is_plain_jpeg(data):
        return data
    if not small:
        factor = form.shorter / min(height, width)
        size = max(form.shorter, round(width * factor)), max(form.shorter, round(height * factor))
        image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        pixels = np.asarray(image)
    if form.quality is None:
        return encode_raw(pixels)
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=form.quality)
    return out.getvalue()


class _Shards:
    """Appends to one shard after another."""

    def __init__(self, base: Path, limit: int) -> None:
        self.base, self.limit = base, limit
        self.number, self.offset = -1, limit
        self.stream: BinaryIO | None = None

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        if self.stream is not None:
            self.stream.close()

    def add(self, data: bytes) -> str:
        """Append an image and return its path within the cache."""
        if self.stream is None or self.offset >= self.limit:
            self.__exit__()
            self.number, self.offset = self.number + 1, 0
            self.stream = (self.base / f"{self.number:05d}.shard").open("wb")
        self.stream.write(data)
        path = f"{self.number:05d}.shard#{self.offset}+{len(data)}+{zlib.crc32(data):08x}"
        self.offset += len(data)
        return path


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
