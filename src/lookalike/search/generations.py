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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lookalike import documents, trust
from lookalike.errors import Busy, DataError, DiskError, counted
from lookalike.files import refuse_links, remove_tree, sha256, write_text
from lookalike.search.blocks import write_sums
from lookalike.search.manifest import KIND, Manifest

MANIFEST = "index.json"
GENERATIONS = "generations"
LOCK = ".lock"
MODELS = "models"
BUILDING = "building"
TABLES = "servers.json"  # of a folder: every table that it made in a server and has not dropped
OWN = (MANIFEST, GENERATIONS, LOCK, MODELS, BUILDING, TABLES)  # what an index folder is made of
MARKS, UPLOADS = "marks", "uploads"  # what a server keeps in it
WRITTEN = (*OWN, MARKS, UPLOADS)
FORMAT = 2
_ANEW = "Build the index again."


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an index folder, checked; see `lookalike.search.manifest`.

    Raises:
        DataError: there is none, it is not JSON, of another format, or does not fit.
        RunError: the folder leads out of itself by a link.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder} is not an index (it has no {MANIFEST}). Make one: "
            "lookalike index build RUN FOLDER --out INDEX"
        )
    refuse_links(folder, WRITTEN)
    manifest = documents.read_json(path, dict[str, Any], remedy=_ANEW)
    documents.check(manifest.get("format"), int, f"{path}: format", remedy=_ANEW)
    if manifest["format"] > FORMAT:
        raise DataError(f"{folder} is of a newer format. Update lookalike.")
    if manifest["format"] < FORMAT:
        raise DataError(
            f"{folder} is of an older format ({manifest['format']}). Build it again: "
            "lookalike index build RUN FOLDER --out INDEX --overwrite"
        )
    documents.check(manifest, Manifest, str(path), remedy=_ANEW)
    return manifest


def check_files(folder: Path, manifest: dict[str, Any], *, sums: bool = False) -> list[str]:
    """What differs between a generation's files and the manifest; nothing when all is well.

    Args:
        folder: of the index.
        manifest: what it says.
        sums: also compare every SHA-256, which reads all of them.
    """
    place, wrong = folder / GENERATIONS / manifest["generation"], []
    for name, said in manifest["files"].items():
        path = place / name
        if not path.is_file():
            wrong.append(f"{path}: missing")
        elif path.stat().st_size != said["bytes"]:
            wrong.append(f"{path}: {counted(path.stat().st_size, 'byte')}, not {said['bytes']:,}")
        elif sums and sha256(path) != said["sha256"]:
            wrong.append(f"{path}: its content has changed")
    return wrong


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Be the only writer of an index folder.

    Raises:
        Busy: another process writes.
        DiskError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_links(folder, WRITTEN)
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
        for path in sorted(part.iterdir()):
            write_sums(path)
        files = {}
        for path in sorted(part.iterdir()):
            _sync(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
        _sync(part)
        _sync(base)
        # What grows from an index of somebody else's stays theirs.
        own = "generation" not in manifest or trust.is_sealed(read_manifest(folder), KIND)
        manifest = {**manifest, "format": FORMAT, "generation": name, "files": files}
        documents.check(manifest, Manifest, f"{folder}: what is to be said of it")
        manifest = trust.sealed(manifest, KIND) if own else manifest
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
        remove_tree(folder / GENERATIONS, folder)
        return
    present = read_manifest(folder)["generation"]
    for path in (folder / GENERATIONS).iterdir():
        if path.name != present:
            remove_tree(path, folder)
    for path in folder.glob(".*.json.*.part"):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
