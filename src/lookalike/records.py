"""Logs of JSON, a record a line, that are appended to and survive a crash in the middle of a line.

Each record carries a checksum of itself. A line that was cut, or changed, is left out when the log
is read, and said; what is appended after it begins on a line of its own.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from lookalike.errors import DiskError

_CHECK = "check"


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Write one record and wait until it is on the disk.

    Raises:
        DiskError: the disk refuses; the message names the file.

    >>> import tempfile
    >>> log = Path(tempfile.mkdtemp()) / "log.jsonl"
    >>> append_record(log, {"a": 1})
    >>> _ = log.open("a").write('{"a": ')
    >>> append_record(log, {"a": 2})
    >>> read_records(log)
    ([{'a': 1}, {'a': 2}], ['line 2: cut, or not JSON'])
    """
    text = _text(record)
    line = _text(record | {_CHECK: zlib.crc32(text.encode())}) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as log:
            if log.tell():
                log.seek(-1, os.SEEK_END)
                if log.read(1) != b"\n":
                    line = "\n" + line
            log.write(line.encode())
            log.flush()
            os.fsync(log.fileno())
    except OSError as error:
        raise DiskError(f"Cannot write {path}: {error.strerror or error}.") from error


def read_records(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of a log, and what is wrong with the lines that are left out.

    Lines without a checksum, as earlier versions wrote them, count as they are.
    """
    if not path.is_file():
        return [], []
    records, wrong = [], []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            wrong.append(f"line {number}: cut, or not JSON")
            continue
        if not isinstance(record, dict):
            wrong.append(f"line {number}: not a record")
            continue
        check = record.pop(_CHECK, None)
        if check is not None and check != zlib.crc32(_text(record).encode()):
            wrong.append(f"line {number}: its content has changed")
            continue
        records.append(record)
    return records, wrong


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"))
