"""Cars196 in either of its original layouts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from lookalike.data.datasets.layout import against_official, existing
from lookalike.data.datasets.published_levels import CAR_TYPE, CAR_TYPES
from lookalike.data.table import Table
from lookalike.errors import DataError, counted

_LAYOUT = (
    "cars_annos.mat and car_ims/ (car_ims.tgz unpacked), or devkit/cars_train_annos.mat,"
    " devkit/cars_test_annos_withlabels.mat, cars_train/ and cars_test/"
)
_OFFICIAL = {"train": 8054, "test": 8131}
_SPLIT_FILES = (
    ("cars_train", "cars_train_annos.mat"),
    ("cars_test", "cars_test_annos_withlabels.mat"),
)


def cars196(
    root: str | Path, *, crop: bool = False, levels: Sequence[str] = ("model", "type")
) -> Table:
    """196 car models of 9 body types, 16,185 photos (Krause et al., 2013).

    Models 1 to 98 train, 99 to 196 test, as retrieval papers do; the official division of the
    photos is not used. The body types are those of SupRank.

    Args:
        root: the folder with ``cars_annos.mat``, or with the three files of the later release.
        crop: cut every photo to its box.
        levels: out of ``model`` and ``type``, finest first.

    Raises:
        DataError: a file that is missing or cannot be read, naming it and the layout.

    Example:
        ``cars196("data/cars196", crop=True)``
    """
    base = existing(root, _LAYOUT)
    frame = _one_file(base) if (base / "cars_annos.mat").exists() else _split_files(base)
    numbers = frame["class"].to_numpy(np.int64)
    if not 1 <= numbers.min() <= numbers.max() <= len(CAR_TYPE):
        raise DataError(
            f"{base}: class {numbers.max()}, but Cars196 has"
            f" {counted(len(CAR_TYPE), 'class', 'classes')}"
        )
    names = _class_names(base) or [""] * len(CAR_TYPE)
    frame["model"] = [f"{n:03d} {names[n - 1]}".strip() for n in numbers]
    frame["type"] = [CAR_TYPES[CAR_TYPE[n - 1] - 1] for n in numbers]
    frame["split"] = np.where(numbers <= 98, "train", "test")
    if not crop:
        frame = frame.drop(columns=["x_1", "x_2", "y_1", "y_2"])
    notes = against_official(Counter(frame["split"]), _OFFICIAL)
    return Table.from_frame(
        frame.drop(columns="class"),
        levels=levels,
        name="cars196",
        root=base,
        notes=notes,
        source=base,
    )


def _one_file(base: Path) -> pd.DataFrame:
    annotations = _load(base / "cars_annos.mat", "annotations")
    return _rows(base / "cars_annos.mat", annotations, "relative_im_path", "")


def _split_files(base: Path) -> pd.DataFrame:
    parts = []
    for folder, name in _SPLIT_FILES:
        file = next((f for f in (base / "devkit" / name, base / name) if f.exists()), None)
        if file is None:
            raise DataError(f"{base / 'devkit' / name} is missing. Expected in {base}: {_LAYOUT}")
        parts.append(_rows(file, _load(file, "annotations"), "fname", f"{folder}/"))
    return pd.concat(parts, ignore_index=True)


def _rows(file: Path, annotations: np.ndarray, path_field: str, folder: str) -> pd.DataFrame:
    fields = annotations.dtype.names or ()
    needed = (path_field, "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class")
    missing = [name for name in needed if name not in fields]
    if missing:
        raise DataError(f"{file}: annotations lack {', '.join(missing)}; they have {list(fields)}")
    columns = {name: [_scalar(a[name]) for a in annotations.ravel()] for name in needed}
    frame = pd.DataFrame({"path": [folder + str(p) for p in columns[path_field]]}, dtype="str")
    for ours, theirs in zip(("x_1", "y_1", "x_2", "y_2"), needed[1:5], strict=True):
        frame[ours] = np.array(columns[theirs], np.int64)
    frame["class"] = np.array(columns["class"], np.int64)
    return frame


def _class_names(base: Path) -> list[str]:
    for name in ("cars_annos.mat", "devkit/cars_meta.mat", "cars_meta.mat"):
        if (base / name).exists():
            names = _load(base / name, "class_names").ravel()
            return [str(_scalar(n)).replace("/", "-") for n in names]
    return []


def _load(file: Path, variable: str) -> np.ndarray:
    try:
        content = loadmat(file)
    except (OSError, ValueError, TypeError, MatReadError, NotImplementedError) as e:
        raise DataError(f"{file}: cannot be read as a Matlab file: {e}") from None
    if variable not in content:
        found = [k for k in content if not k.startswith("__")]
        raise DataError(f"{file}: no variable '{variable}'; it has {', '.join(found) or 'none'}")
    return content[variable]


def _scalar(cell: Any) -> Any:
    while isinstance(cell, np.ndarray):
        if cell.size != 1:
            return "".join(map(str, cell.ravel()))
        cell = cell.ravel()[0]
    return cell
