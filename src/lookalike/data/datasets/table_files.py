"""A table on disk: CSV or Parquet, in our columns or in those of open-metric-learning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lookalike.data.columns import refuse_near_miss
from lookalike.data.datasets.layout import unused
from lookalike.data.frames import read_frame, write_frame
from lookalike.data.splits import TestClasses, class_disjoint
from lookalike.data.table import Table
from lookalike.errors import counted
from lookalike.ops.labels import is_absent, reads_as_nothing


def table_file(
    root: str | Path,
    *,
    levels: Sequence[str] | None = None,
    pictures: str | Path | None = None,
    test_classes: TestClasses = 0.5,
    seed: int = 0,
    name: str | None = None,
) -> Table:
    """A CSV or Parquet file with a row an image.

    Columns: ``path`` and the label columns; ``split`` (``train``, ``test…``, ``val…``, or any
    word), ``is_query``, ``is_gallery``, ``x_1, x_2, y_1, y_2`` and ``sequence`` may be there. A
    dataframe of open-metric-learning is such a file. Without a ``split`` column the classes are
    divided, as for a `folder`.

    Args:
        root: the file: ``.csv``, ``.tsv``, ``.parquet`` or ``.pq``.
        levels: label columns, finest first; by default those that `write_table` noted in a
            Parquet file, else ``label`` alone.
        pictures: folder that relative paths start from; by default the file's own.
        test_classes: where there is no split: share, number or names of the classes to test on.
        seed: of the draw of test classes.
        name: what reports call it; by default the file's name.

    Raises:
        DataError: naming the file, and row, column and remedy where the content is at fault.

    Relations:
        `write_table` writes such a file.
    """
    file = Path(root).expanduser()
    # Paths and splits are words; labels and sequences are what is written, letter for letter.
    frame = read_frame(file, text=["path", "split", "sequence", *(levels or ["label"])])
    return divided_frame(
        frame,
        file,
        levels=levels or frame.attrs.get("levels"),
        root=file.parent if pictures is None else pictures,
        test_classes=test_classes,
        seed=seed,
        name=name or file.stem,
    )


def divided_frame(
    frame: pd.DataFrame,
    source: str | Path,
    *,
    levels: Sequence[str] | None = None,
    root: str | Path = ".",
    test_classes: TestClasses = 0.5,
    seed: int = 0,
    name: str = "table",
) -> Table:
    """A frame as a table; where it has no ``split``, its classes are divided.

    Args:
        frame: see `table_file`.
        source: what errors call it.
        levels: see `table_file`.
        root: folder that relative paths start from.
        test_classes: see `table_file`.
        seed: of the draw of test classes.
        name: what reports call it.

    Raises:
        DataError: as `table_file`.
    """
    notes = []

    def made() -> Table:
        return Table.from_frame(
            frame, levels=levels, name=name, root=root, notes=notes, source=source
        )

    if "split" not in frame.columns and "path" in frame.columns:
        refuse_near_miss(frame, "split", str(source))
        frame = frame.assign(split="train")
        table = made()
        split, note = class_disjoint(table.frame[table.levels[0]], test_classes, seed=seed)
        frame["split"] = split
        notes.append(f"no split column: {note}")
    for level in levels or ["label"]:
        notes += [note for note in (_mixed(frame, level), _nameless(frame, level)) if note]
    if levels is None and "category" in frame.columns:
        notes.append("column 'category' can be a coarser level: levels=[label,category]")
    table = made()
    return table.with_notes(*unused(table))


def write_table(table: Table, file: str | Path) -> None:
    """Write a table so that `table_file` gives it back; the file appears whole or not at all.

    Args:
        table: what to write; its paths stay relative to its root.
        file: ``.csv``, ``.tsv``, ``.parquet`` or ``.pq``.
    """
    frame = table.frame.copy(deep=False)
    frame.attrs = {"levels": list(table.levels)}  # Parquet keeps them, CSV cannot
    write_frame(frame, Path(file))


def _nameless(frame: pd.DataFrame, level: str) -> str | None:
    """A statement where a label is a word for none, which is a class all the same."""
    if level not in frame.columns or pd.api.types.is_numeric_dtype(frame[level]):
        return None
    odd = [w for w in frame[level].dropna().unique() if reads_as_nothing(str(w))]
    if not odd:
        return None
    listed = ", ".join(f'"{word}"' for word in odd)
    read = "is read as the name of a class" if len(odd) == 1 else "are read as names of classes"
    return f"column '{level}': {listed} {read}; write -1 for an image without a label"


def _mixed(frame: pd.DataFrame, level: str) -> str | None:
    """A statement where a text column holds numbers beside words: all are read as text."""
    if level not in frame.columns or pd.api.types.is_numeric_dtype(frame[level]):
        return None
    text = frame[level].dropna().astype(str)
    text = text[~is_absent(text.to_numpy(object))]
    numbers = int(pd.to_numeric(text, errors="coerce").notna().sum())
    if 0 < numbers < len(text):
        words = "is a number" if numbers == 1 else "are numbers"
        return (
            f"column '{level}': {numbers} of {counted(len(text), 'label')} {words}; all count as"
            " text"
        )
    return None
