"""The pseudo-label table: what the next round trains on, true and pseudo labels side by side.

Columns: ``path``, ``label`` (text), ``origin`` (``true``; ``gate``: a known class given by the
gate; ``cluster``; ``person``: a cluster that a person named), ``round`` in which a row was selected
(0 for true labels), ``cluster`` and ``density`` (where it was clustered), ``split`` (``train``). It
is a data set:
``lookalike train dataset=pseudo_labels.parquet``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ["path", "label", "origin", "round", "cluster", "density", "split"]


def labelled_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The part of the table whose labels are true.

    Args:
        rows: ``path`` and ``label``; boxes are kept.
    """
    return _table(rows, rows["label"].astype(str), "true", 0, -1, np.nan)


def clustered_rows(
    rows: pd.DataFrame,
    clusters: np.ndarray,
    density: np.ndarray,
    number: int,
    taken: Collection[str],
) -> pd.DataFrame:
    """The part whose labels are clusters of a round, under names that no true class has.

    Args:
        rows: ``path``, a row each that was selected.
        clusters: ``(N,)``.
        density: ``(N,)``.
        number: of the round, from 1.
        taken: the names of all true classes.

    >>> rows = pd.DataFrame({"path": ["a.png"]})
    >>> clustered_rows(rows, np.array([7]), np.array([0.9]), 1, {"cat"})["label"].tolist()
    ['new1-00007']
    >>> clustered_rows(rows, np.array([7]), np.array([0.9]), 1, {"new1-cat"})["label"].tolist()
    ['_new1-00007']
    """
    prefix = f"new{number}-"
    while any(name.startswith(prefix) for name in taken):
        prefix = f"_{prefix}"
    names = [f"{prefix}{cluster:05d}" for cluster in clusters]
    return _table(rows, names, "cluster", number, clusters, density)


def gated_rows(rows: pd.DataFrame, labels: Collection[str], number: int) -> pd.DataFrame:
    """The part that the gate gave known classes.

    Args:
        rows: ``path``, a row each.
        labels: the known class of each.
        number: of the round, from 1.
    """
    return _table(rows, list(labels), "gate", number, -1, np.nan)


def _table(
    rows: pd.DataFrame, label: Any, origin: str, number: int, cluster: Any, density: Any
) -> pd.DataFrame:
    boxes = [c for c in ("x_1", "x_2", "y_1", "y_2") if c in rows]
    out = rows[["path", *boxes]].reset_index(drop=True)
    out["label"] = pd.Series(np.asarray(label, object), dtype="str")
    out["origin"], out["round"] = origin, number
    out["cluster"], out["density"] = cluster, density
    out["density"] = out["density"].astype("float32")
    out["split"] = "train"
    return out[[*COLUMNS, *boxes]]


def joined(parts: Collection[pd.DataFrame]) -> pd.DataFrame:
    """Parts under each other; empty ones do not count."""
    held = [part for part in parts if len(part)]
    return pd.concat(held, ignore_index=True) if held else pd.DataFrame(columns=COLUMNS)
