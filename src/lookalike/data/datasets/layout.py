"""Finding the files of an original layout, with one kind of error where they are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lookalike.data.split_words import OTHERS
from lookalike.data.table import Table
from lookalike.errors import DataError, counted


def existing(root: str | Path, layout: str, *needed: str) -> Path:
    """The root as a path, once it and the needed files and folders below it are there.

    Args:
        root: folder of the data set.
        layout: what is expected there, for the error.
        needed: files or folders below it.

    Raises:
        DataError: naming what is missing and the expected layout.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}. Expected there: {layout}")
    for name in needed:
        if not (folder / name).exists():
            raise DataError(f"{folder / name} is missing. Expected in {folder}: {layout}")
    return folder


def within(root: str | Path, name: str, marker: str) -> Path:
    """``root``, or ``root/name`` where only that holds the marker file."""
    folder = Path(root).expanduser()
    inner = folder / name
    return inner if not (folder / marker).exists() and (inner / marker).exists() else folder


def lines(file: Path) -> Iterator[str]:
    """The lines of a list file that hold anything, without ends of either kind and without BOM."""
    try:
        with file.open(encoding="utf-8-sig") as stream:
            yield from (line.strip() for line in stream if line.strip())
    except OSError as e:
        raise DataError(f"{file}: cannot be read: {e.strerror or e}") from None
    except UnicodeDecodeError as e:
        raise DataError(f"{file}: is not a text file: {e}") from None


def fields(file: Path, count: int, *, header: int = 0) -> list[list[str]]:
    """The blank-separated fields of every line, the last one with the blanks it holds.

    Raises:
        DataError: naming the line that has too few.
    """
    rows = []
    for number, line in enumerate(lines(file)):
        if number < header:
            continue
        row = line.split(maxsplit=count - 1)
        if len(row) < count:
            raise DataError(
                f"{file}: line {number + 1} has {counted(len(row), 'field')}, not {count}:"
                f" {line[:80]!r}"
            )
        rows.append(row)
    if not rows:
        raise DataError(f"{file}: holds no lines{' after its header' if header else ''}")
    return rows


def whole_number(text: str, file: Path, what: str) -> int:
    """A whole number from a list file."""
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{file}: {what} {text!r} is not a whole number") from None


def decimal(text: str, file: Path, what: str) -> float:
    """A number from a list file."""
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{file}: {what} {text!r} is not a number") from None


def against_official(counts: Mapping[str, int], official: Mapping[str, int]) -> list[str]:
    """A note for a copy whose splits are not of the official sizes, or none.

    >>> against_official({"train": 3428, "test": 5924}, {"train": 5864, "test": 5924})
    ['not the official set: train has 3,428 of 5,864 images']
    """
    off = [
        f"{split} has {counts.get(split, 0):,} of {counted(size, 'image')}"
        for split, size in official.items()
        if counts.get(split, 0) != size
    ]
    return [f"not the official set: {', '.join(off)}"] if off else []


def unused(table: Table) -> list[str]:
    """A note for each split whose rows are neither trained on nor evaluated, or none."""
    sizes = table.frame["split"].value_counts()
    return [
        f"split '{split}': {counted(int(sizes[split]), 'image')}, neither trained on nor evaluated"
        for split in table.unused_splits
        if split not in OTHERS
    ]


def some(names: Iterable[str], limit: int = 3) -> str:
    """The first few names in words."""
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
