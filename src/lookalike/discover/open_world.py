"""Any data set as an open world: what is labelled, and what is not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError

UNLABELLED = ("u_in", "u_out", "unlabelled")


def open_world_rows(table: Table, labelled: float = 0.6) -> pd.DataFrame:
    """The rows of a data set, each in its set, in the order L, U, test.

    - A split named ``u_in``, ``u_out`` or ``unlabelled`` holds the unlabeled images; then all of
      ``train`` is labelled (``l_in``), and splits named ``test…`` are for testing alone.
    - Without one, the classes of ``train`` are the known ones: of n images of a class the first
      ``⌊labelled · n⌋ + 1`` are ``l_in`` and the others ``u_in``, as in PSS's iNaturalist split;
      the images of ``test…`` splits, of classes nobody labelled, are ``u_out``.

    Args:
        table: any data set; its finest level is what there is to discover. A label of −1 is of
            nobody known.
        labelled: share, 0 … 1.

    Returns:
        ``path`` (absolute), ``label`` (text; None where nobody knows), ``set``, boxes, and
        ``split``, by which the table is itself a data set with the same sets: ``train`` for
        ``l_in``, ``u_in``, ….

    Raises:
        ConfigError: a share out of range.
        DataError: nothing labelled, or nothing unlabeled.

    Example:
        >>> frame = pd.DataFrame({"path": list("abcde"), "label": list("xxxyy")})
        >>> frame["split"] = ["train"] * 3 + ["test"] * 2
        >>> open_world_rows(Table.from_frame(frame), 0.5)["set"].tolist()
        ['l_in', 'l_in', 'u_in', 'u_out', 'u_out']
    """
    if not 0 <= labelled <= 1:
        raise ConfigError(f"discover.labelled={labelled}: a share must be in 0 … 1")
    frame = table.frame
    split = frame["split"].to_numpy(object)
    out = pd.DataFrame({"path": [str(_absolute(path)) for path in table.paths]})
    names = np.array([*table.names(0), None], object)
    out["label"] = names[table.labels[:, 0]]  # code −1 takes the last: nobody knows
    if any(name in UNLABELLED for name in table.splits):
        out["set"] = np.where(split == "train", "l_in", split)
    else:
        out["set"] = _pss_rule(table, split, labelled)
    for column in ("x_1", "x_2", "y_1", "y_2"):
        if column in frame:
            out[column] = frame[column].to_numpy()
    out["split"] = out["set"].where(out["set"] != "l_in", "train")
    order = {"l_in": 0, "u_in": 1, "u_out": 2, "unlabelled": 3}
    rank = np.array([order.get(name, 4) for name in out["set"]])
    out = out.iloc[np.argsort(rank, kind="stable")].reset_index(drop=True)
    _refuse(out, table)
    return out


def _absolute(path: str) -> object:
    from pathlib import Path

    return Path(path).resolve()


def _pss_rule(table: Table, split: np.ndarray, labelled: float) -> np.ndarray:
    codes = pd.Series(table.labels[:, 0])
    training = split == "train"
    place = codes[training].groupby(codes[training]).cumcount()
    size = codes[training].map(codes[training].value_counts())
    sets = split.astype(object).copy()
    # A known class of −1 is not a class: nothing of it can be labelled.
    first = (place < np.floor(labelled * size) + 1) & (codes[training] >= 0)
    sets[training] = np.where(first, "l_in", "u_in")
    sets[[str(name).startswith("test") for name in split]] = "u_out"
    return sets


def _refuse(rows: pd.DataFrame, table: Table) -> None:
    kept = rows["set"].to_numpy(object)
    if not (kept == "l_in").any() or not np.isin(kept, UNLABELLED).any():
        raise DataError(
            f"{table.name}: an open world needs labelled rows (split 'train') and unlabeled "
            f"ones (splits {', '.join(UNLABELLED)}, or 'test…'); its splits are: "
            f"{', '.join(table.splits)}"
        )
    if rows.loc[kept == "l_in", "label"].isna().any():
        raise DataError(f"{table.name}: rows of the 'train' split have label −1; give them a class")
