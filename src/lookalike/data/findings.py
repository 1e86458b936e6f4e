"""What can be wrong with a table, one function a kind; each yields at most one finding a split."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import pandas as pd

from lookalike.data.columns import is_evaluation
from lookalike.data.report import Finding
from lookalike.data.split_words import OTHERS
from lookalike.data.table import Table
from lookalike.errors import counted
from lookalike.ops.labels import reads_as_nothing

_LISTED = 20
# kind → what it is called of one, of several, whether it is a problem, and what to do.
_KINDS = {
    "conflict": (
        "class of '{0}' lies below several of '{1}'",
        "classes of '{0}' lie below several of '{1}'",
        True,
        "give each class one parent, or two names",
    ),
    "overlap": (
        "class is both trained on and evaluated on",
        "classes are both trained on and evaluated on",
        False,
        "as it should be for known classes; to test on unseen ones, divide the classes",
    ),
    "singleton": (
        "class of '{0}' has one image, which nothing can match",
        "classes of '{0}' have one image, which nothing can match",
        False,
        "samplers repeat or drop them (sampler.singletons), metrics skip them",
    ),
    "lonely": (
        "query of '{0}' has no image of its class in the gallery",
        "queries of '{0}' have no image of their class in the gallery",
        False,
        "metrics skip them",
    ),
    "unused": (
        "split is neither trained on nor evaluated",
        "splits are neither trained on nor evaluated",
        False,
        "'train' is trained on, splits whose names start with test or val are evaluated",
    ),
    "twins": (
        "label of '{0}' is written in several ways",
        "labels of '{0}' are written in several ways",
        False,
        "each way is a class of its own; write those that are one the same way",
    ),
    "nameless": (
        "class of '{0}' is named {1}",
        "classes of '{0}' are named {1}",
        True,
        "write -1 for an image without a label; a class needs a name that is not also a word for"
        " none",
    ),
    "sideless": (
        "side of a split has no rows",
        "sides of splits have no rows",
        True,
        "mark rows by is_query and is_gallery, or leave both columns out",
    ),
    "missing": (
        "file is not there",
        "files are not there",
        True,
        "fix the paths or the root, or drop the rows",
    ),
    "broken": (
        "file cannot be used",
        "files cannot be used",
        True,
        "fix or drop them, or train with broken=skip",
    ),
    "flat": (
        "image is of one colour, or nearly",
        "images are of one colour, or nearly",
        True,
        "look at them: all transparent? 12 bits stored in 16? Nothing tells them apart",
    ),
    "leak": (
        "image is both in training and in evaluation",
        "images are both in training and in evaluation",
        True,
        "drop them from one side",
    ),
    "contradiction": (
        "image bears several labels",
        "images bear several labels",
        True,
        "keep the right row",
    ),
    "copy": (
        "image stands several times in a split",
        "images stand several times in a split",
        False,
        "drop the copies: they make retrieval look easier than it is",
    ),
    "near": (
        "pair of nearly equal images, one in training and one in evaluation",
        "pairs of nearly equal images, one in training and one in evaluation",
        False,
        "look at them: copies should be on one side alone",
    ),
}


def _finding(
    kind: str, count: int, items: Iterable[str], *of: str, rows: tuple[int, ...] = ()
) -> Iterator[Finding]:
    """One finding of a kind, unless there is nothing to count; ``of`` fills the kind's words."""
    if count:
        one, many, problem, remedy = _KINDS[kind]
        yield Finding(
            kind=kind,
            problem=problem,
            count=count,
            what=(one if count == 1 else many).format(*of),
            remedy=remedy,
            items=tuple(islice(items, _LISTED)),
            rows=rows,
        )


def conflicts(table: Table) -> Iterator[Finding]:
    """Classes that lie below two coarser ones."""
    for fine, coarse in zip(range(len(table.levels)), range(1, len(table.levels)), strict=False):
        pairs = pd.DataFrame(table.labels[:, [fine, coarse]], columns=["fine", "coarse"])
        pairs = pairs[pairs["fine"] >= 0].drop_duplicates()
        names, above = table.names(fine), table.names(coarse)
        parents: dict[int, list[str]] = {}
        for row, code, parent in pairs[pairs.duplicated("fine", keep=False)].itertuples():
            name = above[parent] if parent >= 0 else "none"
            parents.setdefault(code, []).append(f"{name} (row {table.frame.index[row]})")
        items = (f"{names[code]}: {', '.join(p)}" for code, p in parents.items())
        levels = table.levels[fine], table.levels[coarse]
        yield from _finding("conflict", len(parents), items, *levels)


def overlaps(table: Table) -> Iterator[Finding]:
    """Classes in training that are evaluated as well."""
    training = (table.frame["split"] == "train").to_numpy()
    evaluated = is_evaluation(table.frame["split"]).to_numpy()
    both = np.intersect1d(table.labels[training, 0], table.labels[evaluated, 0])
    names = table.names(0)
    both = both[both >= 0]
    yield from _finding("overlap", len(both), (names[code] for code in both))


def singletons(table: Table) -> Iterator[Finding]:
    """Classes of one image, split by split."""
    names = table.names(0)
    for split in table.splits:
        part = table.split(split)
        codes, first, counts = np.unique(part.labels[:, 0], return_index=True, return_counts=True)
        single = np.flatnonzero((counts == 1) & (codes >= 0))
        items = (f"{names[codes[i]]} (row {part.frame.index[first[i]]})" for i in single)
        yield from _finding("singleton", len(single), items, split, rows=_rows(part, first[single]))


def lonely_queries(table: Table) -> Iterator[Finding]:
    """Queries without a positive, where queries and gallery differ."""
    for split in table.evaluation_splits:
        part = table.split(split)
        labels = part.labels[:, 0]
        query, gallery = (part.frame[c].to_numpy() for c in ("is_query", "is_gallery"))
        if (query == gallery).all():
            continue  # each other's gallery: `singletons` names them
        held = np.bincount(labels[gallery & (labels >= 0)], minlength=labels.max(initial=0) + 1)
        positives = held[np.maximum(labels, 0)] - gallery
        lonely = np.flatnonzero(query & (labels >= 0) & (positives <= 0))
        items = (_place(part, int(row)) for row in lonely)
        yield from _finding("lonely", len(lonely), items, split, rows=_rows(part, lonely))


def unused(table: Table) -> Iterator[Finding]:
    """Splits that are neither trained on nor evaluated."""
    rows = table.frame["split"].isin(table.unused_splits).to_numpy()
    found = [split for split in table.unused_splits if split not in OTHERS]
    yield from _finding("unused", len(found), found, rows=_rows(table, np.flatnonzero(rows)))


def twins(table: Table) -> Iterator[Finding]:
    """Labels that differ in capitals, blanks, accents' spelling or leading zeros alone."""
    for level, book in zip(table.levels, table.books, strict=True):
        alike: dict[str, list[str]] = {}
        for name in book:
            if isinstance(name, str):
                alike.setdefault(_plain(name), []).append(name)
        several = [" = ".join(map(repr, n[:4])) for n in alike.values() if len(n) > 1]
        yield from _finding("twins", len(several), several, level)


def nameless(table: Table) -> Iterator[Finding]:
    """Classes whose name is a word for no label: ``NaN``, ``null``, ``None``."""
    for i, level in enumerate(table.levels):
        codes, counts = np.unique(table.labels[:, i], return_counts=True)
        names = table.names(i)
        sizes = {names[c]: int(n) for c, n in zip(codes, counts, strict=True) if c >= 0}
        odd = [name for name in sizes if reads_as_nothing(str(name))]
        items = (f'"{name}": {counted(sizes[name], "image")}' for name in odd)
        quoted = ", ".join(f'"{name}"' for name in odd)
        yield from _finding("nameless", len(odd), items, level, quoted)


def _plain(name: str) -> str:
    folded = " ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", name).casefold().strip()))
    try:
        number = float(folded)
    except ValueError:
        return folded
    # Beyond 2^53 different whole numbers are one float.
    return repr(number) if abs(number) < 2**53 else folded.lstrip("0")


def sideless(table: Table) -> Iterator[Finding]:
    """Splits to evaluate that lack queries or a gallery."""
    sides = {"queries": "is_query", "gallery": "is_gallery"}
    found = [
        f"{split}: no {side}"
        for split in table.evaluation_splits
        for side, column in sides.items()
        if not table.split(split).frame[column].any()
    ]
    yield from _finding("sideless", len(found), found)


def unusable(table: Table, kind: str, faults: dict[int, str]) -> Iterator[Finding]:
    """Rows whose file is ``"missing"``, ``"broken"`` or ``"flat"``, with the reason of each."""
    items = (f"row {table.frame.index[r]}: {table.path(r)}: {w}" for r, w in faults.items())
    yield from _finding(kind, len(faults), items, rows=_rows(table, faults))


def duplicates(table: Table, digests: Sequence[str]) -> Iterator[Finding]:
    """Rows of equal content: across the splits, under two labels, or several in one split.

    Args:
        table: the rows.
        digests: a digest of each row's pixels, empty where there are none.
    """
    frame = pd.DataFrame({"digest": digests, "label": table.labels[:, 0]})
    frame["split"] = table.frame["split"].to_numpy()
    frame["evaluated"] = is_evaluation(frame["split"])
    frame = frame[frame["digest"] != ""]
    groups: dict[str, list[list[int]]] = {"leak": [], "contradiction": [], "copy": []}
    for _, group in frame[frame.duplicated("digest", keep=False)].groupby("digest", sort=False):
        if group["evaluated"].any() and (group["split"] == "train").any():
            groups["leak"].append(list(group.index))
        elif group["label"].nunique() > 1:
            groups["contradiction"].append(list(group.index))
        elif group["split"].duplicated().any():
            groups["copy"].append(list(group.index))
    for kind, found in groups.items():
        items = (" = ".join(_place(table, r) for r in group[:4]) for group in found)
        rows = _rows(table, (row for group in found for row in group))
        yield from _finding(kind, len(found), items, rows=rows)


def near(table: Table, pairs: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    """Pairs of a training row and an evaluated one that look nearly the same."""
    items = (" ≈ ".join(_place(table, r) for r in pair) for pair in pairs)
    rows = _rows(table, (row for pair in pairs for row in pair))
    yield from _finding("near", len(pairs), items, rows=rows)


def _place(table: Table, row: int) -> str:
    entry = table.frame.iloc[row]
    return f"row {table.frame.index[row]} ({entry['split']}, {entry['path']})"


def _rows(table: Table, positions: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(table.frame.index[p]) for p in positions)
