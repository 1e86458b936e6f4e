"""What can be wrong with a table, one function a kind; each yields at most one finding a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from lookalike.data.report import Finding
from lookalike.data.table import Table, is_evaluation

_LISTED = 20


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
            entry = f"{above[parent]} (row {table.frame.index[row]})"
            parents.setdefault(code, []).append(entry)
        items = [f"{names[code]}: {', '.join(p)}" for code, p in list(parents.items())[:_LISTED]]
        yield Finding(
            kind="conflict",
            problem=True,
            count=len(parents),
            what=f"classes of '{table.levels[fine]}' lie below several of '{table.levels[coarse]}'",
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
            what="classes are both trained on and evaluated on",
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
                what=f"classes of '{split}' have one picture, which nothing can match",
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
                what=f"queries of '{split}' have no picture of their class in the gallery",
                remedy="metrics skip them",
                items=tuple(_place(part, row) for row in lonely[:_LISTED]),
                rows=_rows(part, lonely),
            )


def unusable(table: Table, kind: str, faults: dict[int, str]) -> Iterator[Finding]:
    """Rows whose file is ``"missing"`` or ``"broken"``, with the reason of each."""
    words = {
        "missing": ("files are not there", "mend the paths or the root, or drop the rows"),
        "broken": ("files cannot be used", "mend or drop them, or train with broken=skip"),
    }
    if faults:
        what, remedy = words[kind]
        listed = list(faults.items())[:_LISTED]
        yield Finding(
            kind=kind,
            problem=True,
            count=len(faults),
            what=what,
            remedy=remedy,
            items=tuple(f"row {table.frame.index[r]}: {table.path(r)}: {w}" for r, w in listed),
            rows=_rows(table, faults),
        )


def duplicates(table: Table, digests: Sequence[str]) -> Iterator[Finding]:
    """Rows of equal content: across the splits, under two labels, or several in one split.

    Args:
        table: the rows.
        digests: a digest of each row's content, empty where there is none.
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
        "leak": ("pictures are both in training and in evaluation", "drop them from one side"),
        "contradiction": ("pictures bear several labels", "keep the right row"),
        "copy": (
            "pictures stand several times in a split",
            "drop the copies: they make retrieval look easier than it is",
        ),
    }
    for kind, found in groups.items():
        if found:
            what, remedy = words[kind]
            yield Finding(
                kind=kind,
                problem=kind != "copy",
                count=len(found),
                what=what,
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
            what="pairs of nearly equal pictures, one in training and one in evaluation",
            remedy="look at them: copies should be on one side alone",
            items=tuple(" ≈ ".join(_place(table, r) for r in pair) for pair in pairs[:_LISTED]),
            rows=_rows(table, (row for pair in pairs for row in pair)),
        )


def _place(table: Table, row: int) -> str:
    entry = table.frame.iloc[row]
    return f"row {table.frame.index[row]} ({entry['split']}, {entry['path']})"


def _rows(table: Table, positions: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(table.frame.index[p]) for p in positions)
