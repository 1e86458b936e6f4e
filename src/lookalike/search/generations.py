"""A folder that always holds one whole state: generations, a pointer, and a lock for writers.

index.json            the manifest of the present generation; replacing it is the commit
generations/000007/   that generation's files, never changed once index.json names them
.lock                 held by the one process that writes

A crash at any point leaves ``index.json`` naming a whole generation, the last good one; what a
dead writer left is removed by the next writer. Readers hold no lock: they keep the files they
mapped, and one that finds its generation gone reads ``index.json`` again.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lookalike.errors import Busy, DataError, DiskError
from lookalike.files import sha256, write_text

MANIFEST = "index.json"
GENERATIONS = "generations"
LOCK = ".lock"
FORMAT = 2


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an index folder.

    Raises:
        DataError: there is none, it is not JSON, or of another format.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"{folder} is no index (it has no {MANIFEST}). Make one: "
            "lookalike index build RUN FOLDER --out INDEX"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / MANIFEST} is not JSON ({error}).") from error
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise DataError(f"{folder / MANIFEST} is not the manifest of an index.")
    if manifest["format"] > FORMAT:
        raise DataError(f"{folder} is of a newer format. Update lookalike.")
    if manifest["format"] < FORMAT:
        raise DataError(
            f"{folder} is of an older format ({manifest['format']}). Build it again: "
            "lookalike index build RUN FOLDER --out INDEX --overwrite"
        )
    return manifest


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the only writer of an index folder.

    Raises:
        Busy: another process writes.
        DiskError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    except OSError as error:
        raise DiskError(f"Cannot write {folder}: {error.strerror or error}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A writer that came to nothing takes the file away with its folder.
            if os.fstat(file.fileno()).st_nlink == 0:
                raise FileNotFoundError(LOCK)
        except OSError as error:
            raise Busy(
                f"{folder}: another process is writing to this index. Wait until it is done."
            ) from error
        try:
            yield
        finally:
            _forget_if_empty(folder)


def _forget_if_empty(folder: Path) -> None:
    """Leave no folder behind where nothing came of the writing."""
    if [path.name for path in folder.iterdir()] == [LOCK]:
        (folder / LOCK).unlink()
        folder.rmdir()


def commit(
    folder: Path, manifest: dict[str, Any], write: Callable[[Path], object]
) -> dict[str, Any]:
    """Write a new generation and make it the present one. The caller is the writer.

    Args:
        folder: the index folder.
        manifest: what to say of it; ``format``, ``generation`` and ``files`` are added.
        write: given an empty folder, writes the generation's files into it.

    Returns:
        The manifest as written.

    Raises:
        DiskError: the disk refuses; the index is as it was.
    """
    base = folder / GENERATIONS
    numbers = [int(p.name) for p in base.glob("[0-9]*")] if base.is_dir() else []
    name = f"{max(numbers, default=0) + 1:06d}"
    part = base / name
    try:
        part.mkdir(parents=True)
        write(part)
        files = {}
        for path in sorted(part.iterdir()):
            _sync(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
        _sync(part)
        _sync(base)
        manifest = {**manifest, "format": FORMAT, "generation": name, "files": files}
        write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
        _sync(folder)
    except OSError as error:
        raise DiskError(f"Cannot write {folder}: {error.strerror or error}.") from error
    finally:
        _clean(folder)
    return manifest


def _clean(folder: Path) -> None:
    """Remove every generation but the present one, and what dead writers left."""
    if not (folder / MANIFEST).is_file():
        shutil.rmtree(folder / GENERATIONS, ignore_errors=True)
        return
    present = read_manifest(folder)["generation"]
    for path in (folder / GENERATIONS).iterdir():
        if path.name != present:
            shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(".*.json.*.part"):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
