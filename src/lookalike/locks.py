"""One writer a folder: a lock that goes with its process, and a note of who holds it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lookalike.errors import Busy, DataError, DiskError
from lookalike.files import HOLDER, LOCK, is_free, is_living, write_text

_DYING = 20.0  # seconds that the loader's processes of a killed run may live on, with its lock


@contextmanager
def only_writer(folder: Path, what: str) -> Iterator[None]:
    """Be the only process that writes to a folder; made where it is missing.

    Args:
        folder: what is written to.
        what: its kind, for the error: "run", "loop".

    Raises:
        Busy: another process writes; says which, and since when.
        DataError: the lock is a link: the folder was made by somebody else.
        DiskError: the folder cannot be made.

    >>> import tempfile
    >>> with only_writer(Path(tempfile.mkdtemp()), "run"):
    ...     pass
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / LOCK).is_symlink():
            raise DataError(f"{folder / LOCK} is a link, which no lock of ours is. Remove it.")
        lock = _acquire(folder, what)
    except OSError as error:
        raise DiskError(f"Cannot write {folder}: {error.strerror or error}.") from error
    try:
        _write_holder(folder)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        if made and is_free(folder):  # nothing came of it: leave no folder behind
            (folder / LOCK).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()
        lock.release()


def _acquire(folder: Path, what: str) -> FileLock:
    lock = FileLock(folder / LOCK, is_singleton=False)
    last = time.monotonic() + _DYING
    while True:
        try:
            lock.acquire(timeout=0)
            return lock
        except Timeout:
            holder = _read_holder(folder)
            if not _is_dead(holder) or time.monotonic() > last:
                raise Busy(
                    f"{folder}: another process writes to this {what}{_describe(holder)}. Wait "
                    "until it is done, or end it; or choose another folder."
                ) from None
            time.sleep(0.1)


def _write_holder(folder: Path) -> None:
    said = {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:300],
    }
    write_text(folder / HOLDER, json.dumps(said))  # by a rename, which follows no link


def _read_holder(folder: Path) -> dict[str, Any]:
    try:
        said = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # it is just being written, or was written on a full disk
    return said if isinstance(said, dict) else {}


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether the holder ran on this machine and is no more."""
    pid = holder.get("pid")
    here = holder.get("host") == platform.node()
    return here and isinstance(pid, int) and pid > 0 and not is_living(pid)


def _describe(holder: dict[str, Any]) -> str:
    if not holder:
        return ""
    return (
        f" (process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}: "
        f"{holder.get('command')})"
    )
