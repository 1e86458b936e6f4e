"""Reading and writing rows as CSV or Parquet, with errors that name the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from lookalike.errors import DataError

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".parquet": None, ".pq": None}


def read_frame(file: Path, **options: Any) -> pd.DataFrame:
    """Rows of a CSV or Parquet file; column names lose the blanks around them.

    In CSV only an empty field is missing: "NA" and "None" may well be labels.

    Args:
        file: ``.csv``, ``.tsv``, ``.parquet`` or ``.pq``.
        options: further arguments of pandas' reader.

    Raises:
        DataError: no such file, another kind of file, or one that cannot be parsed.
    """
    separator = _separator(file)
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        if separator is None:
            frame = pd.read_parquet(file, **options)
        else:
            usual: dict[str, Any] = {
                "sep": separator,
                "keep_default_na": False,
                "na_values": [""],
                "skipinitialspace": True,
                "encoding": "utf-8-sig",
                "low_memory": False,
            }
            frame = pd.read_csv(file, **(usual | options))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as e:
        raise DataError(f"{file}: cannot be read as a table: {str(e).strip()}") from None
    except (OSError, pa.ArrowException, ValueError) as e:
        raise DataError(f"{file}: cannot be read: {e}") from None
    return frame.rename(columns=lambda column: str(column).strip())


def write_frame(frame: pd.DataFrame, file: Path) -> None:
    """Write rows as the file's ending says; the file appears whole or not at all.

    Raises:
        DataError: another kind of file, or one that cannot be written.
    """
    separator = _separator(file)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            if separator is None:
                frame.to_parquet(beside, index=False)
            else:
                frame.to_csv(beside, sep=separator, index=False)
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as e:
        raise DataError(f"{file}: cannot be written: {e.strerror or e}") from None


def _separator(file: Path) -> str | None:
    if file.suffix.lower() not in _SEPARATORS:
        raise DataError(f"{file}: not a kind of table; use {', '.join(_SEPARATORS)}")
    return _SEPARATORS[file.suffix.lower()]
