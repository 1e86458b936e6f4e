"""Looking a dataset over before it costs a training: what is in it, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from lookalike.data import findings
from lookalike.data.columns import is_evaluation
from lookalike.data.decode import decode_picture, read_bytes
from lookalike.data.near import near_pairs, perceptual_hash
from lookalike.data.report import ClassSizes, DataReport, Finding, SplitSummary
from lookalike.data.table import Table
from lookalike.errors import DataError

# Rows handed to the threads at a time, so that a million of them need no million futures.
_BLOCK = 4096
# Of 256 levels; photographs span far more, 12 bits stored in 16 just so many.
_FLAT = 16


def check(
    table: Table,
    *,
    pictures: bool = True,
    near: bool = False,
    workers: int = 2,
    progress: Callable[[int], Any] | None = None,
) -> DataReport:
    """Count what a table holds, and find what would spoil training or evaluation.

    Problems (the report is not `ok`): files that are missing or cannot be decoded, a class below
    two coarser ones, one image with two labels, one image both in training and in evaluation,
    images of one colour, classes named by a word for no label (``NaN``, ``null``), and a split to
    evaluate without queries or without a gallery. Remarks: classes of one image, classes both in
    training and evaluation, an image several times in a split, queries without a positive, nearly
    equal images across the splits, splits that nothing uses, and labels that are all but one.
    "One image" means equal pixels, not equal names or files.

    Args:
        table: what to look over.
        pictures: read and decode every file; False looks at the rows alone.
        near: also look for nearly equal images (scaled, re-encoded) in training and evaluation.
        workers: threads that decode.
        progress: called with the number of images done, after each.

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
        *findings.unused(table),
        *findings.sideless(table),
        *findings.twins(table),
        *findings.nameless(table),
    ]
    if pictures:
        seen = _read_all(table, near, workers, progress)
        for kind in ("missing", "broken"):
            faults = {row: s.why for row, s in enumerate(seen) if s.kind == kind}
            found += findings.unusable(table, kind, faults)
        dull = {row: s.why for row, s in enumerate(seen) if s.kind == "sound" and s.why}
        found += findings.unusable(table, "flat", dull)
        found += findings.duplicates(table, [s.digest for s in seen])
        if near:
            found += _near(table, seen)
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


class _Seen(NamedTuple):
    """How the file of a row fared: missing, broken or sound, why, and what its pixels are."""

    kind: str
    why: str = ""
    digest: str = ""
    hash: int = 0
    thumbnail: np.ndarray | None = None


def _read_all(
    table: Table, near: bool, workers: int, progress: Callable[[int], Any] | None
) -> list[_Seen]:
    seen: list[_Seen] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, len(table), _BLOCK):
            block = range(start, min(start + _BLOCK, len(table)))
            for one in pool.map(lambda row: _read(table, row, near), block):
                seen.append(one)
                if progress is not None:
                    progress(len(seen))
    return seen


def _read(table: Table, row: int, near: bool) -> _Seen:
    path = table.path(row)
    try:
        data = read_bytes(path)
    except DataError as e:
        return _Seen("missing", str(e).removeprefix(f"{path}: "))
    box = None if table.boxes is None or np.isnan(table.boxes[row, 0]) else table.boxes[row]
    try:
        pixels = decode_picture(data, source="", box=None if box is None else tuple(box.tolist()))
    except DataError as e:
        broken = hashlib.blake2b(data, digest_size=16)
        broken.update(b"" if box is None else box.tobytes())
        return _Seen("broken", str(e).removeprefix(": "), broken.hexdigest())
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    levels = int(pixels.max()) - int(pixels.min())
    alike = levels < _FLAT or bool((pixels == pixels[:1, :1]).all())
    why = f"{levels + 1} of 256 levels" if alike else ""
    if not near:
        return _Seen("sound", why, digest.hexdigest())
    return _Seen("sound", why, digest.hexdigest(), *perceptual_hash(pixels))


def _near(table: Table, seen: list[_Seen]) -> Iterator[Finding]:
    sound = np.array([s.thumbnail is not None for s in seen])
    training = (table.frame["split"] == "train").to_numpy() & sound
    evaluated = is_evaluation(table.frame["split"]).to_numpy() & sound
    sides = [np.flatnonzero(side) for side in (training, evaluated)]
    if not all(map(len, sides)):
        return
    hashes, thumbnails = zip(*(_looks(seen, side) for side in sides), strict=True)
    pairs = near_pairs(hashes[0], hashes[1], thumbnails[0], thumbnails[1])
    rows = [(int(sides[0][i]), int(sides[1][j])) for i, j in pairs]
    yield from findings.near(table, [(a, b) for a, b in rows if seen[a].digest != seen[b].digest])


def _looks(seen: list[_Seen], rows: np.ndarray) -> tuple[list[int], np.ndarray]:
    chosen = [seen[row] for row in rows]
    return [s.hash for s in chosen], np.array([s.thumbnail for s in chosen])
