"""Unpacking archives of strangers: nothing leaves the target, and all is there or nothing."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lookalike.errors import DataError, counted
from lookalike.files import temporary

SMALL = 256 << 20  # bytes that any archive may unpack to
RATIO = 200  # beyond them, how many times its size
MOST_MEMBERS = 5_000_000


def cache_folder() -> Path:
    """Where unpacked and derived files are kept: ``$XDG_CACHE_HOME`` or ``~/.cache``, lookalike."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lookalike"


def unpacked(archives: Sequence[Path], cache: str | Path | None = None) -> Path:
    """The folder in the cache that archives are unpacked into, together, if not done before.

    Its name follows the archives' sizes and times: a changed archive is unpacked anew.
    """
    home = cache_folder() if cache is None else Path(cache).expanduser()
    digest = hashlib.sha256()
    for archive in archives:
        try:
            state = archive.stat()
        except OSError as e:
            raise DataError(f"{archive}: cannot be read: {e.strerror or e}") from None
        digest.update(f"{archive.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
    target = home / "unpacked" / digest.hexdigest()[:16]
    if not target.exists():
        unpack(archives, target)
    return target


def unpack(archives: Sequence[Path], target: Path) -> None:
    """Unpack zips or tars (also .gz, .bz2, .xz) into a folder that is not there yet.

    Members that would leave the target, links and devices are refused before anything is written,
    and so is an archive of too many members, or one that would swell beyond `RATIO` times its size
    or what the disk has free.

    Raises:
        DataError: no archive, a damaged one, a member that is refused, or a full disk.
    """
    if target.exists():
        raise DataError(f"{target}: is there already; remove it first")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = temporary(target)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
    except OSError as e:
        raise DataError(f"{target}: cannot be made: {e.strerror or e}") from None
    try:
        for archive in archives:
            _extract_named(archive, beside)
        _settle(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _extract_named(archive: Path, folder: Path) -> None:
    try:
        _extract(archive, folder)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as e:
        raise DataError(f"{archive}: damaged archive: {e}; fetch it again") from None
    except OSError as e:
        raise DataError(f"{archive}: cannot be unpacked: {e.strerror or e}") from None


def _extract(archive: Path, folder: Path) -> None:
    if zipfile.is_zipfile(archive):
        swollen = _Swollen(archive, folder)
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                link = (member.external_attr >> 16) & 0o170000 == 0o120000
                _refuse(archive, member.filename, "is a link" if link else None)
                swollen.add(member.file_size)
            file.extractall(folder)
    elif tarfile.is_tarfile(archive):
        swollen = _Swollen(archive, folder)
        with tarfile.open(archive) as file:
            for member in file:
                odd = None if member.isfile() or member.isdir() else "is a link or a device"
                _refuse(archive, member.name, odd)
                swollen.add(member.size)
            file.extractall(folder, filter="data")
    else:
        raise DataError(f"{archive}: neither a zip nor a tar archive; fetch it again")


class _Swollen:
    """What an archive says that it becomes, refused as soon as it is too much."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive, self.members, self.bytes = archive, 0, 0
        self.most = max(SMALL, RATIO * archive.stat().st_size)
        self.free = _free(folder)

    def add(self, size: int) -> None:
        """One more member."""
        self.members += 1
        self.bytes += size
        if self.members > MOST_MEMBERS:
            raise DataError(
                f"{self.archive}: refused, for it has more than {counted(MOST_MEMBERS, 'member')}"
            )
        if self.bytes > self.most:
            raise DataError(
                f"{self.archive}: refused, for it swells to {self.bytes / 1e6:,.0f} MB or more,"
                f" over {RATIO} times its size; if it is sound, unpack it yourself, and"
                " name the"
                " folder"
            )
        if self.bytes > self.free:
            raise DataError(
                f"{self.archive}: takes {self.bytes / 1e9:,.1f} GB or more unpacked, but"
                f" {self.free / 1e9:,.1f} GB are free"
            )


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _refuse(archive: Path, name: str, reason: str | None) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    drive = bool(path.parts) and path.parts[0].endswith(":")
    if path.is_absolute() or drive or ".." in path.parts:
        reason = "would be written outside the target"
    if reason:
        raise DataError(f"{archive}: refused, for its member {name!r} {reason}")


def _settle(beside: Path, target: Path) -> None:
    try:
        beside.replace(target)
    except OSError:
        if not target.exists():  # else another process was first, with the same content
            raise
