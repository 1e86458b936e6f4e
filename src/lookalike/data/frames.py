"""Reading and writing rows as CSV or Parquet, with errors that name the file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lookalike.errors import DataError, counted
from lookalike.files import replacing

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".parquet": None, ".pq": None}


def read_frame(file: Path, *, text: Sequence[str] = (), **options: Any) -> pd.DataFrame:
    """Rows of a CSV or Parquet file; column names lose the blanks around them.

    In CSV only an empty field is missing: "NA" and "None" may well be labels.

    Args:
        file: ``.csv``, ``.tsv``, ``.parquet`` or ``.pq``.
        text: columns of a CSV whose fields stay what is written: ``007`` is not ``7``, nor is
            ``1e3`` ``1000``. Where every field is written as a whole number usually is, it is one.
        options: further arguments of pandas' reader.

    Raises:
        DataError: no such file, another kind of file, or one that cannot be parsed: another
            encoding than UTF-8, another separator, a line of more fields than the header.
    """
    separator = _separator(file)
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        if separator is None:
            frame = pd.read_parquet(file, **options)
        else:
            names = _header(file, separator)
            usual: dict[str, Any] = {
                "sep": separator,
                "keep_default_na": False,
                "na_values": [""],
                "skipinitialspace": True,
                "encoding": "utf-8-sig",
                "low_memory": False,
                "index_col": False,  # else a first column too many becomes the row numbers
                "dtype": {name: "str" for name in names if name.strip() in text},
            }
            frame = pd.read_csv(file, **(usual | options))
    except UnicodeDecodeError as e:
        raise DataError(f"{file}: is not UTF-8 ({e}); save it as UTF-8") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as e:
        raise DataError(f"{file}: cannot be read as a table: {str(e).strip()}") from None
    except (OSError, pa.ArrowException, ValueError) as e:
        raise DataError(f"{file}: cannot be read: {e}") from None
    frame = frame.rename(columns=lambda column: str(column).strip())
    if separator is not None:
        for name in set(text) & set(frame.columns):
            frame[name] = _as_written(frame[name])
    return frame


def _as_written(column: pd.Series) -> pd.Series:
    """Whole numbers, where all fields are what those are written as; else the text."""
    first = column.dropna().head(1)
    if not len(first) or not str(first.iloc[0]).lstrip("-").isdigit():  # as most words tell
        return column.str.strip()
    numbers = pd.to_numeric(column, errors="coerce")
    same = numbers.dtype == np.int64 and (numbers.astype("str") == column).all()
    return numbers if same else column.str.strip()


def _header(file: Path, separator: str) -> list[str]:
    """The names in the first line, once separator, encoding and number of fields look right."""
    with file.open("rb") as stream:
        start = stream.read(4096)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
        raise DataError(f"{file}: is UTF-16 or no text at all; save it as UTF-8")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream, delimiter=separator, skipinitialspace=True)
        header = next((line for line in lines if line), [])
        first = next((line for line in lines if line), [])
    others = {other: header[0].count(other) for other in ";,\t|"} if len(header) == 1 else {}
    if others and max(others.values()):
        seen = max(others, key=others.__getitem__)
        names = {"\t": "tabs", ";": "';'", ",": "','", "|": "'|'"}
        remedy = "name it .tsv" if seen == "\t" else f"save it with {names[separator]} between them"
        raise DataError(
            f"{file}: the fields of its first line are separated by {names[seen]}"
            f" ({header[0][:60]!r}), not by {names[separator]}; {remedy}"
        )
    if len(first) > len(header) and any(field.strip() for field in first[len(header) :]):
        raise DataError(
            f"{file}: the header names {counted(len(header), 'column')} ({', '.join(header)}), but"
            " the first"
            f" row has {counted(len(first), 'field')}; name them all, or quote fields that hold a"
            " separator"
        )
    named = [name.strip() for name in header if name.strip()]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise DataError(
            f"{file}: its first line names column '{twice[0]}'"
            f" {counted(named.count(twice[0]), 'time')}, and only one would be read; rename or drop"
            " the others"
        )
    return header


def write_frame(frame: pd.DataFrame, file: Path) -> None:
    """Write rows as the file's ending says; the file appears whole or not at all.

    Raises:
        DataError: another kind of file.
        DiskError: the disk refuses.
    """
    separator = _separator(file)
    with replacing(file) as beside:
        if separator is None:
            frame.to_parquet(beside, index=False)
        else:
            frame.to_csv(beside, sep=separator, index=False)


def _separator(file: Path) -> str | None:
    if file.suffix.lower() not in _SEPARATORS:
        raise DataError(f"{file}: not a kind of table; use {', '.join(_SEPARATORS)}")
    return _SEPARATORS[file.suffix.lower()]
