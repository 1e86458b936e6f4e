"""The columns of a dataset table: their names, and the check each must pass."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from lookalike.data import split_words
from lookalike.errors import DataError, suggest
from lookalike.ops.labels import is_absent, is_empty

BOX = ("x_1", "x_2", "y_1", "y_2")
RESERVED = ("path", "split", "is_query", "is_gallery", *BOX, "sequence")

_BARE = re.compile(r"^(bbox|box)|[^a-z0-9]")
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
    """The split column in its usual words; every row ``train`` where there is none."""
    if "split" not in frame.columns:
        refuse_near_miss(frame, "split", where)
        return pd.Series("train", index=frame.index, dtype="str")
    splits = frame["split"].astype("str").str.strip()
    empty = frame["split"].isna() | (splits == "")
    if empty.any():
        raise DataError(
            f"{where}: column 'split' is empty in {rows_text(empty)}; write 'train', 'test'"
            " or a name of your own"
        )
    words = splits.unique()
    split_words.refuse_unknown(
        words,
        f"{where}: column 'split'",
        "Name all splits train, test… or val…; rows for neither 'unlabeled' or 'gallery'",
    )
    return splits.map({word: split_words.split_name(word) for word in words}).astype("str")


def split_roles(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Rows of the splits ``query`` and ``gallery`` as the two sides of one split ``test``."""
    if not set(split_words.ROLES) <= set(frame["split"].unique()):
        return frame
    sides = {role: frame["split"] == role for role in split_words.ROLES}
    both = sides["query"] | sides["gallery"]
    if (frame["split"] == "test").any():
        raise DataError(
            f"{where}: splits 'query' and 'gallery' stand beside 'test'. They are the two sides of"
            " 'test': mark its rows by is_query and is_gallery, or name the other split test_1"
        )
    given = {
        f"is_{role}": np.where(both, rows, frame.get(f"is_{role}", is_evaluation(frame["split"])))
        for role, rows in sides.items()
    }
    return frame.assign(split=frame["split"].mask(both, "test"), **given)


def is_evaluation(splits: pd.Series) -> pd.Series:
    """Which rows belong to a split that is evaluated: its name starts with test or val."""
    return splits.isin([s for s in splits.unique() if split_words.is_evaluated(s)])


def refuse_near_miss(frame: pd.DataFrame, name: str, where: str) -> None:
    """Refuse a column whose name is all but one that is read: it would be ignored."""
    for column in frame.columns:
        plain = str(column).strip().casefold().replace(" ", "_").replace("-", "_")
        if plain == name or plain == f"{name}s" or plain.replace("_", "") == name.replace("_", ""):
            raise DataError(
                f"{where}: column '{column}' is not read; if it is the {name}, name it '{name}'"
            )


def clean_labels(column: pd.Series, level: str, where: str) -> pd.Series:
    """A label column as int64 or as text; refuses gaps, fractions and mixed types.

    Texts lose the blanks around them. Whole numbers beyond int64 become text, digit for digit.
    """
    values = np.asarray(column)
    if (empty := pd.Series(is_empty(values), column.index)).any():
        raise DataError(
            f"{where}: no label in column '{level}' at {rows_text(empty)}; fill them in, drop the"
            " rows, or write -1 for an image that matches nothing"
        )
    if column.dtype.kind in "iub" and isinstance(column.dtype, np.dtype):
        return _whole(column)
    kind = pd.api.types.infer_dtype(column, skipna=False)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
        kind = pd.api.types.infer_dtype(column, skipna=False)
    if kind == "bytes":
        texts = [cell.decode("utf-8", "replace") for cell in column.to_numpy(object)]
        column, kind = pd.Series(texts, column.index), "string"
    if kind == "string":
        return column.astype("str").str.strip()
    if kind in ("integer", "boolean"):
        return _whole(column.map(int))
    if kind in ("floating", "mixed-integer-float", "decimal"):
        numbers = column.astype(np.float64)
        fraction = numbers != np.round(numbers)
        if fraction.any():
            raise DataError(
                f"{where}: column '{level}' holds fractions at {rows_text(fraction)}, such as"
                f" {numbers[fraction].iloc[0]}; a label is a whole number or a text"
            )
        wide = numbers.abs() >= 2**53
        if kind == "floating" and wide.any():
            raise DataError(
                f"{where}: column '{level}' holds numbers beyond 2^53 as float at"
                f" {rows_text(wide)}, where neighbours are one number; store them as int64 or text"
            )
        return _whole(column.map(int))
    raise DataError(_mixed(column, level, where))


def _mixed(column: pd.Series, level: str, where: str) -> str:
    """What to say of labels that are neither all texts nor all whole numbers."""
    types = column.map(lambda v: type(v).__name__)
    common = types.mode()[0]
    odd = types != common
    if odd.any():
        seen = f"mostly {common}, but {types[odd].iloc[0]} at {rows_text(odd)}, such as"
        seen += f" {column[odd].iloc[0]!r}"
    else:
        seen = f"all are {common}, such as {column.iloc[0]!r:.60}, which is neither"
    return (
        f"{where}: column '{level}' mixes types: {seen}; make them all text"
        f" (frame['{level}'].astype(str)) or all whole numbers"
    )


def _whole(column: pd.Series) -> pd.Series:
    """Whole numbers as int64, or as text where one of them is longer."""
    if column.dtype.kind in "ib":
        return column.astype(np.int64)
    long = column.map(lambda v: not -(2**63) <= v < 2**63)
    return column.map(str).astype("str") if long.any() else column.astype(np.int64)


def clean_sequences(column: pd.Series) -> pd.Series:
    """The sequence column; a text is empty where a row belongs to no sequence."""
    if pd.api.types.is_numeric_dtype(column) and isinstance(column.dtype, np.dtype):
        return column  # NaN and -1 are none
    absent = is_absent(np.asarray(column))
    return column.map(str, na_action="ignore").astype("str").str.strip().mask(absent, "")


def clean_roles(frame: pd.DataFrame, role: str, evaluated: pd.Series, where: str) -> pd.Series:
    """``is_query`` or ``is_gallery`` as booleans; where not given, true on rows to evaluate."""
    if role not in frame.columns:
        refuse_near_miss(frame, role, where)
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


_LIKE_BOXES = (
    {"x1", "x2", "y1", "y2"},
    {"xmin", "xmax", "ymin", "ymax"},
    {"left", "right", "top", "bottom"},
    {"x", "y", "w", "h"},
    {"x", "y", "width", "height"},
)


def unread_boxes(frame: pd.DataFrame) -> list[str]:
    """A statement on columns that look like a box and are not read as one."""
    if any(c in frame.columns for c in BOX):
        return []
    plain = {_BARE.sub("", str(c).casefold()): str(c) for c in frame.columns}
    found = next((like for like in _LIKE_BOXES if like <= set(plain)), None)
    single = next((c for c in frame.columns if str(c).casefold() in ("bbox", "box")), None)
    if found is None and single is None:
        return []
    listed = single if found is None else ", ".join(sorted(plain[name] for name in found))
    return [
        f"no box is read: '{listed}' {'is' if found is None else 'are'} left aside. Name the"
        f" corners {', '.join(BOX)}, in pixels"
    ]


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
                " 0 ≤ x_1 < x_2 and 0 ≤ y_1 < y_2 in pixels, or empty for the whole image"
            )
    return boxes
