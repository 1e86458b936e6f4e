"""DyML: Vehicle, Animal and Product, with three levels of likeness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lookalike.data.datasets.layout import existing
from lookalike.data.frames import read_frame
from lookalike.data.table import Table
from lookalike.errors import DataError

_LEVELS = ("fine", "middle", "coarse")
_TRAIN = "train/label.csv and train/imgs/"
_LAYOUT = f"{_TRAIN}; bmk_fine/, bmk_middle/ and bmk_coarse/, each with query.csv, gallery.csv"
_PRODUCT_LAYOUT = f"{_TRAIN}; mini-bmk_all_in_one/label.csv and mini-bmk_all_in_one/imgs/"


def dyml_vehicle(root: str | Path) -> Table:
    """Vehicles of 36,301 fine, 127 middle and 6 coarse classes (Sun et al., CVPR 2021).

    Training rows have three labels. There are three test splits, ``test_fine``, ``test_middle``
    and ``test_coarse``, each with queries, gallery and labels at its own level alone; at the
    others its label is −1, which matches nothing.

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
        for role in ("query", "gallery"):
            rows = _columns(base / f"bmk_{level}" / f"{role}.csv", 2)
            part = pd.DataFrame("-1", index=rows.index, columns=[*_LEVELS], dtype="str")
            # Test classes have numbers of their own, so they must not meet those of training.
            part[level] = f"bmk_{level}/" + rows[1]
            part["path"] = _folder(base / f"bmk_{level}", role, base) + rows[0]
            part["split"] = f"test_{level}"
            parts.append(part.assign(is_query=role == "query", is_gallery=role == "gallery"))
    return _table(base, name, parts)


def _labelled(base: Path, folder: str, split: str, prefix: str) -> pd.DataFrame:
    rows = _columns(base / folder / "label.csv", 4)
    part = pd.DataFrame({level: prefix + rows[i] for i, level in enumerate(_LEVELS, 1)})
    part["path"] = f"{folder}/imgs/" + rows[0]
    evaluated = split != "train"
    return part.assign(split=split, is_query=evaluated, is_gallery=evaluated)


def _columns(file: Path, count: int) -> pd.DataFrame:
    """The first columns as text, by position: the published headers are damaged."""
    frame = read_frame(file, dtype="str")
    if frame.shape[1] < count:
        raise DataError(f"{file}: has {frame.shape[1]} columns, not {count}: {list(frame.columns)}")
    frame = frame.iloc[:, :count].set_axis(range(count), axis=1)
    empty = np.flatnonzero(frame.isna().any(axis=1))
    if len(empty):
        raise DataError(f"{file}: line {empty[0] + 2} lacks a field ({len(empty)} such lines)")
    return frame.apply(lambda column: column.str.strip())


def _folder(benchmark: Path, role: str, base: Path) -> str:
    for name in (role, f"{role}_imgs", f"imgs/{role}", "imgs"):
        if (benchmark / name).is_dir():
            return f"{(benchmark / name).relative_to(base).as_posix()}/"
    raise DataError(
        f"{benchmark}: no folder of {role} pictures ({role}/ or imgs/). Expected: {_LAYOUT}"
    )


def _table(base: Path, name: str, parts: list[pd.DataFrame]) -> Table:
    frame = pd.concat(parts, ignore_index=True)
    return Table.from_frame(frame, levels=_LEVELS, name=name, root=base, source=base)
