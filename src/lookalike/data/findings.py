"""What can be wrong with a table, one function a kind; each yields at most one finding a split."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from lookalike.data.columns import is_evaluation
from lookalike.data.report import Finding
from lookalike.data.split_words import OTHERS
from lookalike.data.table import Table
from lookalike.errors import counted
from lookalike.ops.labels import reads_as_nothing

_LISTED = 20
_RIGHT = "keep the right row"


def conflicts(table: Table) -> Iterator[Finding]:
    """Classes that lie below two coarser ones."""
    for fine, coarse in zip(range(len(table.levels)), range(1, len(table.levels)), strict=False):
        pairs = pd.DataFrame(table.labels[:, [fine, coarse]], columns=["fine", "coarse"])
        pairs = pairs[pairs["fine"] >= 0].drop_duplicates()
        split = pairs[pairs.duplicated("fine", keep=False)]
        if not len(split):
            continue
        names, above = table.names(fine), table.names(coarse)
        parents: dict[int, list[str]] = {}
        for row, code, parent in split.itertuples():
            name = above[parent] if parent >= 0 else "none"
            entry = f"{name} (row {table.frame.index[row]})"
            parents.setdefault(code, []).append(entry)
        items = [f"{names[code]}: {', '.join(p)}" for code, p in list(parents.items())[:_LISTED]]
        yield Finding(
            kind="conflict",
            problem=True,
            count=len(parents),
            what=_agree(len(parents), "class", "classes")
            + f" of '{table.levels[fine]}' {_agree(len(parents), 'lies', 'lie')} below several of"
            f" '{table.levels[coarse]}'",
            remedy="give each class one parent, or two names",
            items=tuple(items),
        )


def overlaps(table: Table) -> Iterator[Finding]:
    """Classes in training that are evaluated as well."""
    training = (table.frame["split"] == "train").to_numpy()
    evaluated = is_evaluation(table.frame["split"]).to_numpy()
    both = np.intersect1d(table.labels[training, 0], table.labels[evaluated, 0])
    both = both[both >= 0]
    if len(both):
        names = table.names(0)
        yield Finding(
            kind="overlap",
            problem=False,
            count=len(both),
            what=_agree(
                len(both),
                "class is both trained on and evaluated on",
                "classes are both trained on and evaluated on",
            ),
            remedy="as it should be for known classes; to test on unseen ones, divide the classes",
            items=tuple(names[code] for code in both[:_LISTED]),
        )


def singletons(table: Table) -> Iterator[Finding]:
    """Classes of one picture, split by split."""
    names = table.names(0)
    for split in table.splits:
        part = table.split(split)
        codes, first, counts = np.unique(part.labels[:, 0], return_index=True, return_counts=True)
        single = np.flatnonzero((counts == 1) & (codes >= 0))
        if len(single):
            yield Finding(
                kind="singleton",
                problem=False,
                count=len(single),
                what=_agree(
                    len(single),
                    f"class of '{split}' has one picture, which nothing can match",
                    f"classes of '{split}' have one picture, which nothing can match",
                ),
                remedy="samplers repeat or drop them (sampler.singletons), metrics skip them",
                items=tuple(
                    f"{names[codes[i]]} (row {part.frame.index[first[i]]})"
                    for i in single[:_LISTED]
                ),
                rows=_rows(part, first[single]),
            )


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
        if len(lonely):
            yield Finding(
                kind="lonely",
                problem=False,
                count=len(lonely),
                what=_agree(
                    len(lonely),
                    f"query of '{split}' has no picture of its class in the gallery",
                    f"queries of '{split}' have no picture of their class in the gallery",
                ),
                remedy="metrics skip them",
                items=tuple(_place(part, row) for row in lonely[:_LISTED]),
                rows=_rows(part, lonely),
            )


def unused(table: Table) -> Iterator[Finding]:
    """Splits that are neither trained on nor evaluated."""
    rows = table.frame["split"].isin(table.unused_splits).to_numpy()
    found = [split for split in table.unused_splits if split not in OTHERS]
    if found:
        yield Finding(
            kind="unused",
            problem=False,
            count=len(found),
            what=_agree(
                len(found),
                "split is neither trained on nor evaluated",
                "splits are neither trained on nor evaluated",
            ),
            remedy="'train' is trained on, splits whose names start with test or val are evaluated",
            items=tuple(found[:_LISTED]),
            rows=_rows(table, np.flatnonzero(rows)),
        )


def twins(table: Table) -> Iterator[Finding]:
    """Labels that differ in capitals, blanks, accents' spelling or leading zeros alone."""
    for level, book in zip(table.levels, table.books, strict=True):
        alike: dict[str, list[str]] = {}
        for name in book:
            if isinstance(name, str):
                alike.setdefault(_plain(name), []).append(name)
        several = [names for names in alike.values() if len(names) > 1]
        if several:
            yield Finding(
                kind="twins",
                problem=False,
                count=len(several),
                what=_agree(
                    len(several),
                    f"label of '{level}' is written in several ways",
                    f"labels of '{level}' are written in several ways",
                ),
                remedy="each way is a class of its own; write those that are one the same way",
                items=tuple(" = ".join(map(repr, names[:4])) for names in several[:_LISTED]),
            )


def nameless(table: Table) -> Iterator[Finding]:
    """Classes whose name is a word for no label: ``NaN``, ``null``, ``None``."""
    for i, level in enumerate(table.levels):
        codes, counts = np.unique(table.labels[:, i], return_counts=True)
        names = table.names(i)
        sizes = {names[c]: int(n) for c, n in zip(codes, counts, strict=True) if c >= 0}
        odd = [name for name in sizes if reads_as_nothing(str(name))]
        if odd:
            quoted = ", ".join(f'"{name}"' for name in odd)
            yield Finding(
                kind="nameless",
                problem=True,
                count=len(odd),
                what=_agree(
                    len(odd),
                    f"class of '{level}' is named {quoted}",
                    f"classes of '{level}' are named {quoted}",
                ),
                remedy="write -1 for an image without a label; a class needs a name that is not"
                " also a word for none",
                items=tuple(f'"{name}": {counted(sizes[name], "image")}' for name in odd),
            )


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
    if found:
        yield Finding(
            kind="sideless",
            problem=True,
            count=len(found),
            what=_agree(len(found), "side of a split has no rows", "sides of splits have no rows"),
            remedy="mark rows by is_query and is_gallery, or leave both columns out",
            items=tuple(found[:_LISTED]),
        )


def unusable(table: Table, kind: str, faults: dict[int, str]) -> Iterator[Finding]:
    """Rows whose file is ``"missing"``, ``"broken"`` or ``"flat"``, with the reason of each."""
    words = {
        "missing": (
            "file is not there",
            "files are not there",
            "mend the paths or the root, or drop the rows",
        ),
        "broken": (
            "file cannot be used",
            "files cannot be used",
            "mend or drop them, or train with broken=skip",
        ),
        "flat": (
            "picture is of one colour, or nearly",
            "pictures are of one colour, or nearly",
            "look at them: all transparent? 12 bits stored in 16? Nothing tells them apart",
        ),
    }
    if faults:
        one, many, remedy = words[kind]
        listed = list(faults.items())[:_LISTED]
        yield Finding(
            kind=kind,
            problem=True,
            count=len(faults),
            what=_agree(len(faults), one, many),
            remedy=remedy,
            items=tuple(f"row {table.frame.index[r]}: {table.path(r)}: {w}" for r, w in listed),
            rows=_rows(table, faults),
        )


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
    words = {
        "leak": (
            "picture is both in training and in evaluation",
            "pictures are both in training and in evaluation",
            "drop them from one side",
        ),
        "contradiction": ("picture bears several labels", "pictures bear several labels", _RIGHT),
        "copy": (
            "picture stands several times in a split",
            "pictures stand several times in a split",
            "drop the copies: they make retrieval look easier than it is",
        ),
    }
    for kind, found in groups.items():
        if found:
            one, many, remedy = words[kind]
            yield Finding(
                kind=kind,
                problem=kind != "copy",
                count=len(found),
                what=_agree(len(found), one, many),
                remedy=remedy,
                items=tuple(" = ".join(_place(table, r) for r in g[:4]) for g in found[:_LISTED]),
                rows=_rows(table, (row for group in found for row in group)),
            )


def near(table: Table, pairs: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    """Pairs of a training row and an evaluated one that look nearly the same."""
    if pairs:
        yield Finding(
            kind="near",
            problem=False,
            count=len(pairs),
            what=_agree(
                len(pairs),
                "pair of nearly equal pictures, one in training and one in evaluation",
                "pairs of nearly equal pictures, one in training and one in evaluation",
            ),
            remedy="look at them: copies should be on one side alone",
            items=tuple(" ≈ ".join(_place(table, r) for r in pair) for pair in pairs[:_LISTED]),
            rows=_rows(table, (row for pair in pairs for row in pair)),
        )


def _agree(count: int, one: str, many: str) -> str:
    return one if count == 1 else many


def _place(table: Table, row: int) -> str:
    entry = table.frame.iloc[row]
    return f"row {table.frame.index[row]} ({entry['split']}, {entry['path']})"


def _rows(table: Table, positions: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(table.frame.index[p]) for p in positions)
