"""Looking a dataset over before it costs a training: what is in it, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from lookalike.data import findings
from lookalike.data.decode import decode_picture, read_bytes
from lookalike.data.report import ClassSizes, DataReport, SplitSummary
from lookalike.data.table import Table
from lookalike.errors import DataError

# Rows handed to the threads at a time, so that a million of them need no million futures.
_BLOCK = 4096


def check(
    table: Table,
    *,
    pictures: bool = True,
    workers: int = 2,
    progress: Callable[[int], Any] | None = None,
) -> DataReport:
    """Count what a table holds, and find what would spoil training or evaluation.

    Problems (the report is not `ok`): files that are missing or cannot be decoded, a class below
    two coarser ones, one picture with two labels, and one picture both in training and in
    evaluation. Remarks: classes of one picture, classes both in training and evaluation, a
    picture several times in a split, queries without a positive. "One picture" means equal file
    contents, not equal names.

    Args:
        table: what to look over.
        pictures: read and decode every file; False looks at the rows alone.
        workers: threads that decode.
        progress: called with the number of pictures done, after each.

    Returns:
        A `DataReport`; row numbers are those of the source (``table.frame.index``).

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"path": ["a", "b"], "label": ["x", "y"]})
        >>> report = check(Table.from_frame(frame), pictures=False)
        >>> report.ok, report.rows
        (True, 2)
    """
    found = [
        *findings.conflicts(table),
        *findings.overlaps(table),
        *findings.singletons(table),
        *findings.lonely_queries(table),
    ]
    if pictures:
        missing, broken, digests = _read_all(table, workers, progress)
        found += findings.unusable(table, "missing", missing)
        found += findings.unusable(table, "broken", broken)
        found += findings.duplicates(table, digests)
    return DataReport(
        name=table.name,
        fingerprint=table.fingerprint,
        rows=len(table),
        levels=table.levels,
        splits=tuple(_summary(table, split) for split in table.splits),
        findings=tuple(found),
        notes=table.notes,
        pictures=pictures,
    )


def _summary(table: Table, split: str) -> SplitSummary:
    part = table.split(split)
    known = (column[column >= 0] for column in part.labels.T)
    return SplitSummary(
        name=split,
        rows=len(part),
        queries=int(part.frame["is_query"].sum()),
        gallery=int(part.frame["is_gallery"].sum()),
        classes=tuple(ClassSizes.of(np.unique(c, return_counts=True)[1]) for c in known),
    )


def _read_all(
    table: Table, workers: int, progress: Callable[[int], Any] | None
) -> tuple[dict[int, str], dict[int, str], list[str]]:
    """Reasons of missing and of broken files by row, and the digest of every row's content."""
    missing: dict[int, str] = {}
    broken: dict[int, str] = {}
    digests: list[str] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, len(table), _BLOCK):
            block = range(start, min(start + _BLOCK, len(table)))
            for row, (kind, why, digest) in zip(
                block, pool.map(lambda r: _read(table, r), block), strict=True
            ):
                digests.append(digest)
                if kind == "missing":
                    missing[row] = why
                elif kind == "broken":
                    broken[row] = why
                if progress is not None:
                    progress(row + 1)
    return missing, broken, digests


def _read(table: Table, row: int) -> tuple[str, str, str]:
    """``missing``, ``broken`` or ``sound``, the reason, and the digest of content and box."""
    path = table.path(row)
    try:
        data = read_bytes(path)
    except DataError as e:
        return "missing", str(e).removeprefix(f"{path}: "), ""
    box = None if table.boxes is None or np.isnan(table.boxes[row, 0]) else table.boxes[row]
    digest = hashlib.blake2b(data, digest_size=16)
    digest.update(b"" if box is None else box.tobytes())
    try:
        decode_picture(data, source="", box=None if box is None else tuple(box.tolist()))
    except DataError as e:
        return "broken", str(e).removeprefix(": "), digest.hexdigest()
    return "sound", "", digest.hexdigest()
