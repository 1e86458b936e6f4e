"""What every data set must keep, checked on one of your own."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np

from lookalike.data.decode import read_picture
from lookalike.data.doctor import check
from lookalike.data.table import Table
from lookalike.errors import DataError


def check_dataset(make: Callable[[], Table], *, pictures: int = 8) -> None:
    """Assert that a data set does what training, evaluation and search rely on.

    It gives a `Table`; the same one each time; labels that fit their names; training codes from 0
    without gaps; subsets that share the code book; something to train on or to evaluate; queries
    that have a gallery; no fine class below two coarse ones; images that can be read; and it
    travels to worker processes.

    Args:
        make: your data set without arguments left, such as ``lambda: birds("data/birds")``.
        pictures: how many to read, spread over the rows.

    Raises:
        AssertionError: naming the rule and what was found instead.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"path": ["a", "b"], "label": ["x", "y"]})
        >>> check_dataset(lambda: Table.from_frame(frame), pictures=0)
    """
    table = make()
    assert isinstance(table, Table), f"a data set gives a Table, this one {type(table).__name__}"
    assert table.name, "a table has a name, for reports"
    assert make().fingerprint == table.fingerprint, (
        "two calls give different rows: sort what you list, and seed what you draw"
    )
    _check_labels(table)
    _check_subsets(table)
    _check_roles(table)
    again = pickle.loads(pickle.dumps(table))
    assert again.fingerprint == table.fingerprint, "the table does not survive pickling"
    conflict = check(table, pictures=False).found("conflict")
    assert conflict is None, str(conflict)
    _check_pictures(table, pictures)


def _check_labels(table: Table) -> None:
    shape = (len(table), len(table.levels))
    assert table.labels.shape == shape, f"labels have shape {table.labels.shape}, not {shape}"
    assert table.labels.dtype == np.int64, f"labels are {table.labels.dtype}, not int64"
    for level, name in enumerate(table.levels):
        codes = table.labels[:, level]
        names = table.names(level)
        assert codes.min() >= -1, f"level '{name}': code {codes.min()}; −1 is the only one below 0"
        assert codes.max() < len(names), f"level '{name}': code {codes.max()} of {len(names)} names"
        texts = table.frame[name].astype(str).to_numpy(object)
        known = np.flatnonzero(codes >= 0)
        wrong = [r for r in known if names[codes[r]] != texts[r]]
        assert not wrong, f"level '{name}': row {wrong[0]} is {texts[wrong[0]]!r}, its code is not"
        if "train" in table.splits:
            used = np.unique(codes[(table.frame["split"] == "train").to_numpy() & (codes >= 0)])
            assert (used == np.arange(len(used))).all(), (
                f"level '{name}': training codes have gaps; make the table by Table.from_frame"
            )


def _check_subsets(table: Table) -> None:
    assert table.splits, "a table has splits"
    assert "train" in table.splits or table.evaluation_splits, (
        f"nothing to train on or to evaluate: the splits are {', '.join(table.splits)}; call one"
        " 'train', or let it begin with 'test' or 'val'"
    )
    for split in table.splits:
        part = table.split(split)
        mask = (table.frame["split"] == split).to_numpy()
        assert np.array_equal(part.labels, table.labels[mask]), f"'{split}' has other codes"
        assert part.books == table.books, f"'{split}' has another code book"


def _check_roles(table: Table) -> None:
    for split in table.evaluation_splits:
        part = table.split(split).frame
        assert part["is_query"].any(), f"'{split}' has no queries: set is_query"
        assert part["is_gallery"].any(), f"'{split}' has no gallery: set is_gallery"


def _check_pictures(table: Table, count: int) -> None:
    for row in np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).astype(int)):
        box = None if table.boxes is None or np.isnan(table.boxes[row, 0]) else table.boxes[row]
        try:
            read_picture(table.path(row), None if box is None else tuple(box.tolist()))
        except DataError as e:
            raise AssertionError(f"row {row} cannot be read: {e}") from None
