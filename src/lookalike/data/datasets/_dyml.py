"""DyML: Vehicle, Animal and Product, with three levels of likeness."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from lookalike.data.datasets.layout import existing, lines
from lookalike.data.table import Table
from lookalike.errors import DataError, counted

_LEVELS = ("fine", "middle", "coarse")
_COLUMNS = ("coarse", "middle", "fine")  # of the published files, behind the file's name
_NAME = re.compile(r"^(?:fname|coarse|middle|fine|labels?)(?:_id)?")
_TRAIN = "train/label.csv and train/imgs/"
_LAYOUT = f"{_TRAIN}; bmk_fine/, bmk_middle/ and bmk_coarse/, each with query.csv, gallery.csv"
_PRODUCT_LAYOUT = f"{_TRAIN}; mini-bmk_all_in_one/label.csv and mini-bmk_all_in_one/imgs/"


def dyml_vehicle(root: str | Path) -> Table:
    """Vehicles of 36,301 fine, 127 middle and 6 coarse classes (Sun et al., CVPR 2021).

    Training rows have three labels. There are three test splits, ``test_fine``, ``test_middle``
    and ``test_coarse``, each with queries, gallery and labels at its own level alone; at the
    others its label is −1, which matches nothing. The gallery holds the queries again: a query and
    the gallery's image of the same file name and label are one ``sequence``, which leaves the copy
    out of the query's ranking.

    Args:
        root: the folder that holds ``train`` and ``bmk_fine``, ``bmk_middle``, ``bmk_coarse``.

    Raises:
        DataError: a file that is missing or cannot be read, naming it and the layout.
    """
    return _three_benchmarks(root, "dyml_vehicle")


def dyml_animal(root: str | Path) -> Table:
    """Animals, laid out and divided as `dyml_vehicle`.

    Args:
        root: the folder that holds ``train`` and ``bmk_fine``, ``bmk_middle``, ``bmk_coarse``.

    Raises:
        DataError: a file that is missing or cannot be read, naming it and the layout.
    """
    return _three_benchmarks(root, "dyml_animal")


def dyml_product(root: str | Path) -> Table:
    """Products: one test split with labels at all three levels, its own gallery.

    Args:
        root: the folder that holds ``train`` and ``mini-bmk_all_in_one``.

    Raises:
        DataError: a file that is missing or cannot be read, naming it and the layout.
    """
    base = existing(root, _PRODUCT_LAYOUT, "train/label.csv", "mini-bmk_all_in_one/label.csv")
    parts = [
        _labelled(base, "train", "train", "train/"),
        _labelled(base, "mini-bmk_all_in_one", "test", "test/"),
    ]
    return _table(base, "dyml_product", parts)


def _three_benchmarks(root: str | Path, name: str) -> Table:
    needed = [f"bmk_{level}/{role}.csv" for level in _LEVELS for role in ("query", "gallery")]
    base = existing(root, _LAYOUT, "train/label.csv", *needed)
    parts = [_labelled(base, "train", "train", "train/")]
    for level in _LEVELS:
        both = {}
        for role in ("query", "gallery"):
            rows = _columns(base / f"bmk_{level}" / f"{role}.csv", (level,))
            part = pd.DataFrame("-1", index=rows.index, columns=[*_LEVELS], dtype="str")
            # Test classes have numbers of their own, so they must not meet those of training.
            part[level] = f"bmk_{level}/" + rows[level]
            part["path"] = _folder(base / f"bmk_{level}", role, base) + rows["path"]
            part["split"] = f"test_{level}"
            part["sequence"] = part[level] + "/" + rows["path"]
            both[role] = part.assign(is_query=role == "query", is_gallery=role == "gallery")
        parts += both.values()
    return _table(base, name, parts)


def _labelled(base: Path, folder: str, split: str, prefix: str) -> pd.DataFrame:
    file = base / folder / "label.csv"
    rows = _columns(file, _COLUMNS)
    counts = {level: rows[level].nunique() for level in _LEVELS}
    if counts["fine"] < max(counts.values()):
        found = ", ".join(f"{count:,} {level}" for level, count in counts.items())
        raise DataError(
            f"{file}: there are {found} classes, but the fine level must have the most. The columns"
            f" are fname, {', '.join(_COLUMNS)}; if yours stand in another order, name them so in"
            " the first line."
        )
    part = pd.DataFrame({level: prefix + rows[level] for level in _LEVELS})
    part["path"] = f"{folder}/imgs/" + rows["path"]
    evaluated = split != "train"
    return part.assign(split=split, is_query=evaluated, is_gallery=evaluated)


def _columns(file: Path, levels: tuple[str, ...]) -> pd.DataFrame:
    """``path`` and levels as text, by the names of the first line, else in the order of ``levels``.

    The published first line lacks its end: the name of the first image is glued to the name of the
    last column (``fname, coarse_id, middle_id, fine_id0.jpg, 0, 2, 5``), and its labels follow.
    """
    first, *others = [*lines(file)] or [""]
    words, count = _fields(first), 1 + len(levels)
    if len(words) < count:
        raise DataError(f"{file}: has {counted(len(words), 'column')}, not {count}: {words}")
    order = ["path", *(_level_in(word) for word in words[1:count])]
    if sorted(order[1:], key=str) != sorted(levels):
        order = ["path", *levels]
    rows = [(1, [_NAME.sub("", words[count - 1], count=1), *words[count:]])]
    rows = rows if len(words) == 2 * count - 1 and rows[0][1][0] else []
    rows += [(number, _fields(line)) for number, line in enumerate(others, 2)]
    short = [number for number, row in rows if len(row) < count or not all(row[:count])]
    if short:
        raise DataError(f"{file}: line {short[0]} lacks a field ({len(short)} such lines)")
    if not rows:
        raise DataError(f"{file}: holds no lines after its header")
    return pd.DataFrame([row[:count] for _, row in rows], columns=order, dtype="str")


def _fields(line: str) -> list[str]:
    return [word.strip() for word in line.split(",")]


def _level_in(word: str) -> str | None:
    """The level that a column's name begins with."""
    return next((level for level in _LEVELS if word.lower().startswith(level)), None)


def _folder(benchmark: Path, role: str, base: Path) -> str:
    for name in (role, f"{role}_imgs", f"imgs/{role}", "imgs"):
        if (benchmark / name).is_dir():
            return f"{(benchmark / name).relative_to(base).as_posix()}/"
    raise DataError(
        f"{benchmark}: no folder of {role} images ({role}/ or imgs/). Expected: {_LAYOUT}"
    )


def _table(base: Path, name: str, parts: list[pd.DataFrame]) -> Table:
    frame = pd.concat(parts, ignore_index=True)
    return Table.from_frame(frame, levels=_LEVELS, name=name, root=base, source=base)
