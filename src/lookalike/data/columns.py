"""The columns of a dataset table: their names, and the check each must pass."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lookalike.errors import DataError, suggest

BOX = ("x_1", "x_2", "y_1", "y_2")
RESERVED = ("path", "split", "is_query", "is_gallery", *BOX, "sequence")

_TRUE = {"true", "1", "1.0", "yes"}
_FALSE = {"false", "0", "0.0", "no"}


def rows_text(mask: pd.Series, limit: int = 5) -> str:
    """The row numbers of a mask in words: ``rows 3, 7 and 12 more``."""
    rows = mask.index[mask.to_numpy()]
    shown = ", ".join(str(r) for r in rows[:limit])
    more = f" and {len(rows) - limit} more" if len(rows) > limit else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"


def clean_paths(frame: pd.DataFrame, where: str) -> pd.Series:
    """The path column as text; refuses a missing column and empty or non-text paths."""
    if "path" not in frame.columns:
        raise DataError(f"{where}: no column 'path'. {suggest('path', list(frame.columns))}")
    paths = frame["path"]
    kind = pd.api.types.infer_dtype(paths, skipna=True)
    if kind not in ("string", "empty"):  # pathlib objects and the like
        paths = paths.map(lambda p: p if pd.isna(p) else str(p))
    paths = paths.astype("str")
    empty = paths.isna() | (paths.str.strip() == "")
    if empty.any():
        raise DataError(f"{where}: column 'path' is empty in {rows_text(empty)}; fill or drop them")
    return paths


def clean_splits(frame: pd.DataFrame, where: str) -> pd.Series:
    """The split column as text without blanks around; every row ``train`` where there is none."""
    if "split" not in frame.columns:
        return pd.Series("train", index=frame.index, dtype="str")
    splits = frame["split"].astype("str").str.strip()
    empty = frame["split"].isna() | (splits == "")
    if empty.any():
        raise DataError(
            f"{where}: column 'split' is empty in {rows_text(empty)}; write 'train', 'test'"
            " or a name of your own"
        )
    return splits


def clean_labels(column: pd.Series, level: str, where: str) -> pd.Series:
    """A label column as integers or as text; refuses gaps, fractions and mixed types."""
    empty = column.isna()
    if not pd.api.types.is_numeric_dtype(column):
        empty |= column.astype("str").str.strip() == ""
    if empty.any():
        raise DataError(
            f"{where}: no label in column '{level}' at {rows_text(empty)}; fill them in, drop the"
            " rows, or write -1 for a picture that matches nothing"
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(column, skipna=False)
    if kind == "string":
        return column.astype("str")
    if kind in ("integer", "boolean"):
        return column.astype(np.int64)
    if kind in ("floating", "mixed-integer-float", "decimal"):
        numbers = column.astype(np.float64)
        fraction = numbers != np.round(numbers)
        if not fraction.any():
            return numbers.astype(np.int64)
        raise DataError(
            f"{where}: column '{level}' holds fractions at {rows_text(fraction)}, such as"
            f" {numbers[fraction].iloc[0]}; a label is a whole number or a text"
        )
    types = column.map(lambda v: type(v).__name__)
    common = types.mode()[0]
    odd = types != common
    raise DataError(
        f"{where}: column '{level}' mixes types: mostly {common}, but"
        f" {types[odd].iloc[0] if odd.any() else kind} at {rows_text(odd)}, such as"
        f" {column[odd].iloc[0] if odd.any() else column.iloc[0]!r}; make them all text"
        f" (frame['{level}'].astype(str)) or all whole numbers"
    )


def clean_roles(frame: pd.DataFrame, role: str, evaluated: pd.Series, where: str) -> pd.Series:
    """``is_query`` or ``is_gallery`` as booleans; where not given, true on rows to evaluate."""
    if role not in frame.columns:
        return evaluated.astype(bool)
    column = frame[role]
    if column.dtype == bool:
        return column
    words = column.astype("str").str.strip().str.lower()
    blank = column.isna() | words.isin(["", "nan", "none"])
    known = words.isin(_TRUE | _FALSE)
    odd = ~known & ~blank
    if odd.any():
        raise DataError(
            f"{where}: column '{role}' must hold true or false, got {column[odd].iloc[0]!r} at"
            f" {rows_text(odd)}"
        )
    gap = blank & evaluated
    if gap.any():
        raise DataError(
            f"{where}: column '{role}' is empty at {rows_text(gap)}, which are to be evaluated;"
            " write true or false (only training rows may leave it empty)"
        )
    return words.isin(_TRUE)


def clean_boxes(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The four box columns as numbers; refuses half a box, a negative one and an empty one."""
    missing = [c for c in BOX if c not in frame.columns]
    if missing:
        raise DataError(
            f"{where}: a box needs the columns {', '.join(BOX)}; {', '.join(missing)} missing"
        )
    boxes = pd.DataFrame(index=frame.index)
    for column in BOX:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        wrong = numbers.isna() & frame[column].notna() & (frame[column].astype("str") != "nan")
        if wrong.any():
            raise DataError(
                f"{where}: column '{column}' holds {frame[column][wrong].iloc[0]!r} at"
                f" {rows_text(wrong)}; a box is given in pixels"
            )
        boxes[column] = numbers.astype(np.float64)
    given = boxes.notna()
    half = given.any(axis=1) & ~given.all(axis=1)
    whole = given.all(axis=1)
    bad = whole & (
        (boxes["x_1"] < 0)
        | (boxes["y_1"] < 0)
        | (boxes["x_2"] <= boxes["x_1"])
        | (boxes["y_2"] <= boxes["y_1"])
    )
    for mask, what in ((half, "lacks some of its four numbers"), (bad, "is empty or negative")):
        if mask.any():
            first = boxes[mask].iloc[0].to_dict()
            raise DataError(
                f"{where}: the box {what} at {rows_text(mask)}, such as {first}; it must be"
                " 0 ≤ x_1 < x_2 and 0 ≤ y_1 < y_2 in pixels, or empty for the whole picture"
            )
    return boxes
