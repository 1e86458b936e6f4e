"""Revisited Oxford and Paris: buildings with easy and hard positives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pandas as pd

from lookalike.data import unpickle
from lookalike.data.datasets.layout import against_official, existing
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, counted

LISTS = ("easy", "hard", "junk")  # columns of the table, see `revisited`
_OFFICIAL = {
    "roxford5k": {"query": 70, "gallery": 4993},
    "rparis6k": {"query": 70, "gallery": 6322},
}


def revisited(
    root: str | Path, *, collection: Literal["roxford5k", "rparis6k"] = "roxford5k"
) -> Table:
    """70 queries, cut to their boxes, against 4,993 or 6,322 photos (Radenović et al., CVPR 2018).

    All rows are of split ``test``: first the queries, then the gallery in the order that the
    ground truth counts. The label is the building in the file's name, which decides no number: the
    columns ``easy``, ``hard`` and ``junk`` list, for each query, positions in the gallery, and
    `lookalike evaluate` judges by them.

    Args:
        root: the folder with ``jpg/`` and ``gnd_roxford5k.pkl`` or ``gnd_rparis6k.pkl``, or the
            one that holds ``roxford5k/`` or ``rparis6k/``.
        collection: ``"roxford5k"`` or ``"rparis6k"``.

    Raises:
        DataError: a file that is missing, cannot be read, or asks to run code.

    Example:
        ``revisited("data/roxford5k")``, then ``metrics.revisited(scores, ground_truth(...))``
    """
    base, truth = _read(root, collection)
    queries = pd.DataFrame({"path": truth["qimlist"]}, dtype="str")
    boxes = [g["bbx"] for g in truth["gnd"]]
    for place, corner in enumerate(("x_1", "y_1", "x_2", "y_2")):
        queries[corner] = [float(box[place]) for box in boxes]
    for name in LISTS:
        queries[name] = [as_text(entry[name]) for entry in truth["gnd"]]
    gallery = pd.DataFrame({"path": truth["imlist"], **dict.fromkeys(LISTS, "")}, dtype="str")
    frame = pd.concat(
        [
            queries.assign(is_query=True, is_gallery=False),
            gallery.assign(is_query=False, is_gallery=True),
        ],
        ignore_index=True,
    )
    frame["label"] = frame["path"].str.rsplit("/", n=1).str[-1].str.rsplit("_", n=1).str[0]
    frame["path"] = "jpg/" + frame["path"] + ".jpg"
    frame["split"] = "test"
    counts = {"query": len(queries), "gallery": len(gallery)}
    notes = against_official(counts, _OFFICIAL[collection])
    return Table.from_frame(frame, name=collection, root=base, notes=notes, source=base)


def as_text(positions: Any) -> str:
    """A list of positions as a table holds it, with blanks between them.

    >>> as_text([3, 17])
    '3 17'
    """
    return " ".join(str(int(place)) for place in positions)


def ground_truth(
    root: str | Path, *, collection: Literal["roxford5k", "rparis6k"] = "roxford5k"
) -> list[dict[str, Any]]:
    """Per query: ``easy``, ``hard`` and ``junk``, positions in the gallery of `revisited`."""
    _, truth = _read(root, collection)
    return [{key: g[key] for key in LISTS} for g in truth["gnd"]]


def _read(root: str | Path, collection: str) -> tuple[Path, dict[str, Any]]:
    if collection not in _OFFICIAL:
        raise ConfigError(f"dataset.collection: '{collection}'; give {' or '.join(_OFFICIAL)}")
    marker = f"gnd_{collection}.pkl"
    layout = f"{marker} and jpg/"
    folder = Path(root).expanduser()
    inner = folder / collection
    base = existing(inner if (inner / marker).exists() else folder, layout, marker)
    truth = unpickle.load(base / marker)
    if not isinstance(truth, dict) or not {"gnd", "imlist", "qimlist"} <= set(truth):
        raise DataError(f"{base / marker}: holds no imlist, qimlist and gnd")
    if len(truth["gnd"]) != len(truth["qimlist"]):
        raise DataError(
            f"{base / marker}: {len(truth['gnd'])} ground truths for"
            f" {counted(len(truth['qimlist']), 'query', 'queries')}"
        )
    for number, entry in enumerate(truth["gnd"]):
        missing = [key for key in ("bbx", *LISTS) if key not in entry]
        if missing:
            raise DataError(f"{base / marker}: query {number} has no {', '.join(missing)}")
    return base, truth
