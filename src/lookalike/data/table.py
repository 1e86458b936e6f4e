"""The one form of a dataset: a row an image, with its labels, split, roles and perhaps a box."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os.path import join
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lookalike.data.columns import (
    BOX,
    RESERVED,
    clean_boxes,
    clean_labels,
    clean_paths,
    clean_roles,
    clean_sequences,
    clean_splits,
    is_evaluation,
    refuse_near_miss,
    rows_text,
    split_roles,
    unread_boxes,
)
from lookalike.data.split_words import is_evaluated
from lookalike.errors import DataError, counted, suggest
from lookalike.ops.labels import is_absent


@dataclass(frozen=True, eq=False)
class Table:
    """Images with labels at one or more levels; make one with `Table.from_frame` or a dataset.

    Attributes:
        frame: columns ``path``, one per level, ``split``, ``is_query``, ``is_gallery``; where the
            source has them ``x_1, x_2, y_1, y_2`` (pixels, NaN = whole image) and ``sequence``.
            Its index is the row number in the source. Not to be changed in place.
        levels: names of the label columns, finest first.
        labels: int64 ``(N, L)``. The code book is shared by all subsets: labels of the ``train``
            split come first, in order, so a training table of C classes has codes 0 … C−1. The
            label −1 stays −1: a distractor, which matches nothing.
        name: what reports call it.
        root: folder that relative paths start from.
        notes: statements a person should see: subset sizes, rows left out.

    Example:
        >>> frame = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "label": ["cat", "dog"]})
        >>> table = Table.from_frame(frame.assign(split=["train", "test"]))
        >>> table.labels.tolist(), table.names("label"), len(table.split("test"))
        ([[0], [1]], ['cat', 'dog'], 1)
    """

    frame: pd.DataFrame
    levels: tuple[str, ...]
    labels: np.ndarray
    books: tuple[tuple[Any, ...], ...]
    name: str = "table"
    root: Path = Path()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        levels: Sequence[str] | None = None,
        name: str = "table",
        root: str | Path = ".",
        notes: Sequence[str] = (),
        source: str | Path | None = None,
    ) -> Table:
        """Check a frame and give its labels codes.

        Args:
            frame: ``path`` and the label columns; ``split`` (default all ``"train"``), ``is_query``
                and ``is_gallery`` (default true on rows to evaluate), boxes and ``sequence`` may be
                there; other columns are kept.
            levels: label columns, finest first; by default ``label`` alone.
            name: what reports call the table.
            root: folder that relative paths start from.
            notes: statements to print.
            source: what errors call the frame, such as its file.

        Raises:
            DataError: naming source, column, rows and remedy, for a missing column, an empty path
                or label, labels of mixed types, a split or role that cannot be read, a box that is
                empty or negative, and an image twice in one split.
        """
        where = str(source or name)
        if not len(frame):
            raise DataError(f"{where}: the table has no rows; it needs at least one image")
        frame = frame.rename(columns=str)
        if not pd.api.types.is_integer_dtype(frame.index):
            frame = frame.reset_index(drop=True)
        chosen = _choose_levels(frame, levels, where)
        out = frame.copy(deep=False)
        out["path"] = clean_paths(frame, where)
        out["split"] = clean_splits(frame, where)
        out = split_roles(out, where)
        for level in chosen:
            out[level] = clean_labels(frame[level], level, where)
        evaluated = is_evaluation(out["split"])
        for role in ("is_query", "is_gallery"):
            out[role] = clean_roles(out, role, evaluated, where)
        if "sequence" in out:
            out["sequence"] = clean_sequences(out["sequence"])
        else:
            refuse_near_miss(frame, "sequence", where)
        if any(c in frame.columns for c in BOX):
            out[list(BOX)] = clean_boxes(frame, where)
        _refuse_repeats(out, where)
        labels, books = _encode(out, chosen)
        root = Path(root).expanduser()
        return cls(out, chosen, labels, books, name, root, (*notes, *unread_boxes(frame)))

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{n} {s}" for s, n in self.frame["split"].value_counts().items())
        images = counted(len(self), "image")
        return f"Table({self.name!r}: {images} ({sizes}); {', '.join(self.levels)})"

    @property
    def splits(self) -> list[str]:
        """Names of the splits, in order of appearance."""
        return [str(s) for s in self.frame["split"].unique()]

    @property
    def evaluation_splits(self) -> list[str]:
        """Names of the splits that are evaluated, each by itself: those named test… or val…."""
        return [s for s in self.splits if is_evaluated(s)]

    @cached_property
    def paths(self) -> list[str]:
        """Path of every image, joined to the root."""
        return [join(self._start, p) for p in self.frame["path"].to_numpy(object)]  # noqa: PTH118

    def path(self, row: int) -> str:
        """Path of one image by its position, joined to the root."""
        return join(self._start, str(self.frame["path"].array[row]))  # noqa: PTH118

    @cached_property
    def _start(self) -> str:
        # Text, not Path objects: joining a million of those takes seconds.
        return "" if self.root == Path() else str(self.root)

    @cached_property
    def boxes(self) -> np.ndarray | None:
        """``(N, 4)`` as ``x_1, y_1, x_2, y_2`` in pixels, NaN rows for whole images, or None."""
        if "x_1" not in self.frame:
            return None
        return self.frame[["x_1", "y_1", "x_2", "y_2"]].to_numpy(np.float64)

    @property
    def unused_splits(self) -> list[str]:
        """Names of the splits that are neither trained on nor evaluated by themselves."""
        return [s for s in self.splits if s != "train" and not is_evaluated(s)]

    def level(self, level: int | str) -> int:
        """Position of a level given by name or position."""
        if isinstance(level, str):
            if level not in self.levels:
                raise DataError(f"{self.name}: no level '{level}'. {suggest(level, self.levels)}")
            return self.levels.index(level)
        if not 0 <= level < len(self.levels):
            raise DataError(
                f"{self.name}: level {level}, but the levels are 0 … {len(self.levels) - 1}:"
                f" {', '.join(self.levels)}"
            )
        return level

    def names(self, level: int | str = 0) -> list[str]:
        """Label text of every code of a level."""
        return [str(label) for label in self.books[self.level(level)]]

    def num_classes(self, level: int | str = 0) -> int:
        """How many codes a level of this table spans: highest code + 1.

        For ``table.split("train")`` that is the number of its classes.
        """
        return int(self.labels[:, self.level(level)].max()) + 1

    def split(self, name: str) -> Table:
        """The rows of one split."""
        mask = (self.frame["split"] == name).to_numpy()
        if not mask.any():
            raise DataError(f"{self.name}: no split '{name}'. {suggest(name, self.splits)}")
        return self.where(mask)

    def where(self, rows: Any) -> Table:
        """The rows of a boolean mask ``(N,)`` or of integer positions, with the same code book."""
        rows = np.asarray(rows)
        if rows.dtype == bool and rows.shape != (len(self),):
            raise DataError(f"{self.name}: a mask of {rows.shape} for {counted(len(self), 'row')}")
        taken = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return replace(self, frame=self.frame.iloc[taken], labels=self.labels[taken])

    def with_absolute_paths(self) -> Table:
        """The same rows, whose files are found from anywhere."""
        paths = [str(Path(path).resolve()) for path in self.paths]
        return replace(self, frame=self.frame.assign(path=paths))

    def with_notes(self, *notes: str) -> Table:
        """The same table with more statements to print."""
        return replace(self, notes=(*self.notes, *notes))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the rows (paths, labels, splits, roles, boxes), the same on every machine."""
        digest = hashlib.sha256()
        columns = ("path", "split", "is_query", "is_gallery", *BOX, "sequence", *self.levels)
        for column in columns:
            if column not in self.frame:
                continue
            values = self.frame[column]
            digest.update(f"\0{column}\0".encode())
            if values.dtype.kind in "bif":
                digest.update(values.to_numpy("<f8").tobytes())
            else:
                digest.update("\n".join(values.astype("str").fillna("").to_numpy(object)).encode())
        return digest.hexdigest()[:16]


def _choose_levels(
    frame: pd.DataFrame, levels: Sequence[str] | None, where: str
) -> tuple[str, ...]:
    columns = list(frame.columns)
    if levels is None:
        if "label" not in columns:
            others = [c for c in columns if c not in RESERVED]
            raise DataError(
                f"{where}: no column 'label'. Say which columns hold the labels, finest first,"
                f" with levels=[…]; the candidates are: {', '.join(others) or 'none'}"
            )
        return ("label",)
    if isinstance(levels, str) or not len(levels):
        raise DataError(f"{where}: levels is {levels!r}; give a list of column names, finest first")
    for level in levels:
        if level not in columns:
            raise DataError(f"{where}: no label column '{level}'. {suggest(level, columns)}")
        if level in RESERVED:
            raise DataError(
                f"{where}: '{level}' cannot be a level: that column has its own meaning"
            )
    if len(set(levels)) < len(levels):
        raise DataError(f"{where}: a level is named twice: {', '.join(levels)}")
    return tuple(levels)


def _refuse_repeats(frame: pd.DataFrame, where: str) -> None:
    keys = ["path", "split", *(c for c in BOX if c in frame)]
    repeated = frame.duplicated(keys)
    if repeated.any():
        raise DataError(
            f"{where}: an image (path and box) stands twice in one split, in"
            f" {rows_text(repeated)}, first {frame['path'][repeated].iloc[0]!r}; drop the repeats"
            " (frame.drop_duplicates) or give each its own box"
        )


def _encode(
    frame: pd.DataFrame, levels: tuple[str, ...]
) -> tuple[np.ndarray, tuple[tuple[Any, ...], ...]]:
    training = (frame["split"] == "train").to_numpy()
    labels = np.empty((len(frame), len(levels)), np.int64)
    books = []
    for column, level in enumerate(levels):
        codes, values = pd.factorize(frame[level], sort=True)
        distractor = is_absent(np.asarray(values, object))
        is_training = np.bincount(codes[training], minlength=len(values)) > 0
        order = np.lexsort((np.arange(len(values)), ~is_training, distractor))
        new_code = np.empty(len(values), np.int64)
        new_code[order] = np.arange(len(values))
        new_code[distractor] = -1
        labels[:, column] = new_code[codes]
        books.append(tuple(values[i] for i in order if not distractor[i]))
    return labels, tuple(books)
