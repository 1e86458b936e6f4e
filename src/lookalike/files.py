"""Files and folders that are whole or not there: written beside their place, then moved onto it."""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from lookalike.errors import DiskError, RunError

# What a writer leaves in a folder while it writes; see `lookalike.locks`.
LOCK = ".lock"
HOLDER = ".holder.json"
# A temporary file or folder: the place's name, its writer's process and machine (not in old ones).
_LEFT = re.compile(
    r"\.(?P<name>.+)\.(?P<pid>\d+)(-(?P<machine>[0-9a-f]{8}))?\.(?P<kind>part|before)"
)


def is_free(folder: Path, begun: Container[str] = ()) -> bool:
    """Whether a path is missing, or a folder that holds nothing but what a dead writer left.

    Args:
        folder: the path.
        begun: names of files that mean nothing without the one that is written last.

    >>> is_free(Path("nowhere"))
    True
    """
    if not folder.is_dir():
        return not (folder.exists() or folder.is_symlink())
    return all(
        path.name in (LOCK, HOLDER)
        or path.name in begun
        or ((left := _LEFT.fullmatch(path.name)) and left["kind"] == "part")
        for path in folder.iterdir()
    )


def empty(folder: Path) -> None:
    """Remove what is in a folder, a writer's lock excepted."""
    for path in folder.iterdir():
        if path.name in (LOCK, HOLDER):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def is_living(pid: int) -> bool:
    """Whether a process of this machine lives; where that cannot be known, it does.

    A killed process whose parent has not asked for its end yet is dead.

    >>> is_living(os.getpid())
    True
    """
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


@cache
def _machine() -> str:
    """Eight hexadecimal digits for where a process's number means that process."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())  # a container counts its own
    except OSError:
        space = ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def temporary(path: Path, kind: str = "part") -> Path:
    """The hidden sibling that this process writes to on behalf of a path.

    What a dead process of this machine left for the same path is removed first, and a whole folder
    that it had put aside is put back where nothing took its place. A living writer's is kept, and
    so is that of another machine, of which nothing can be known.

    Args:
        path: the file or folder that is to be written.
        kind: ``"part"``, what becomes it; ``"before"``, what it was.

    Raises:
        OSError: the disk refuses.

    >>> temporary(Path("index.json")).name.startswith(".index.json.")
    True
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        said = _LEFT.fullmatch(left.name)
        if said is None or said["name"] != path.name or said["machine"] != _machine():
            continue
        if is_living(int(said["pid"])):
            continue
        if said["kind"] == "before" and not (path.exists() or path.is_symlink()):
            left.replace(path)
        elif left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}-{_machine()}.{kind}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling to write to; it takes the place of ``path`` when the block ends well.

    Nothing half-written stays: after an error the sibling is removed and ``path`` is as it was.

    Raises:
        DiskError: the disk refuses (full, read-only, …); the message names the file.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with replacing(target) as sibling:
    ...     _ = sibling.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sibling = temporary(path)
    try:
        with _naming(path):
            yield sibling
            with sibling.open("rb") as file:
                os.fsync(file.fileno())
            sibling.replace(path)
    finally:
        sibling.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """As :func:`replacing`, of a whole folder: an empty sibling to fill.

    A folder that stood at ``path`` steps aside by its name only, and is deleted once the new one is
    in place; where that fails it is put back. An empty folder is filled where it is: it may be a
    volume that was mounted there, which cannot be renamed.

    Raises:
        DiskError: the disk refuses (full, read-only, …); the message names the folder.
    """
    with _naming(path):
        before = temporary(path, "before")
        filled = path.is_dir() and is_free(path)
        sibling = temporary(path / path.name if filled else path)
    try:
        with _naming(path):
            shutil.rmtree(sibling, ignore_errors=True)
            sibling.mkdir(parents=True)
            yield sibling
            if filled:
                for entry in sorted(sibling.iterdir()):
                    entry.replace(path / entry.name)
                return
            if path.exists():
                path.replace(before)
            sibling.replace(path)
    finally:
        if before.exists() and not path.exists():
            before.replace(path)
        for folder in (sibling, before):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in what the disk refuses."""
    try:
        yield
    except Exception as error:
        if not _of_disk(error):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DiskError(
            f"Cannot write {path}: {reason}. What was there before is untouched; "
            "free some space or choose another folder."
        ) from error


def _of_disk(error: Exception) -> bool:
    """Whether the disk refused; safetensors has an error of its own for that."""
    from safetensors import SafetensorError

    return isinstance(error, OSError | SafetensorError)


def remove_tree(path: Path, within: Path) -> None:
    """Remove a folder that lies in another, wherever links would lead; none is no error.

    Args:
        path: what to remove.
        within: the folder that it must lie in, by their real paths.

    Raises:
        RunError: it lies elsewhere; nothing is removed.
    """
    if not path.exists() and not path.is_symlink():
        return
    real, home = path.resolve(), within.resolve()
    if path.is_symlink() or real == home or not real.is_relative_to(home):
        raise RunError(f"{path} leads to {real}, out of {within}: nothing was removed.")
    shutil.rmtree(path, ignore_errors=True)


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Refuse links among some files and folders of a folder, at any depth.

    A folder that came from elsewhere may lead anywhere by them, and what is written or removed
    there is not its own.

    Args:
        folder: which; it may itself be a link.
        names: what in it is looked at; what is not there is no error.

    Raises:
        RunError: names the link.
    """
    for name in names:
        top = folder / name
        below = (
            Path(home) / one for home, folders, files in os.walk(top) for one in (*folders, *files)
        )
        for path in (top, *below):
            if path.is_symlink():
                raise RunError(
                    f"{path} is a link. Links inside such a folder are not followed, for they may "
                    "lead anywhere: put the files themselves there, or link the whole folder."
                )


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as sibling:
        sibling.write_text(text, encoding="utf-8")


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make the file at a temporary place, then move it to ``path``."""
    with replacing(path) as sibling:
        write(sibling)


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
