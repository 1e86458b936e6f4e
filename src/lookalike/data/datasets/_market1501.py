"""Market-1501, and other person data sets in its layout."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd

from lookalike.data.datasets.folders import EXTENSIONS
from lookalike.data.datasets.layout import against_official, existing, within
from lookalike.data.table import Table
from lookalike.errors import DataError, counted

_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
_LAYOUT = (
    "bounding_box_train/, query/ and bounding_box_test/ with files such as 0002_c1s1_000451_03.jpg"
)
_NAME = re.compile(r"(-?\d+)_c(\d+)")
_OFFICIAL = {"train": 12936, "test": 3368 + 15913}


def market1501(root: str | Path) -> Table:
    """Persons seen by six cameras (Zheng et al., ICCV 2015): 751 to train on, 750 others to find.

    The identity stands in a file's name, and so does the camera. ``query`` searches
    ``bounding_box_test``; as published, images of the same person by the same camera are left out
    of its ranking (``sequence`` is identity and camera together), images of identity −1 (junk) are
    in nobody's, and identity 0000 is a distractor, which matches nothing. DukeMTMC-reID's names
    (``0001_c2_f0046182.jpg``) are read too.

    Args:
        root: the folder with ``bounding_box_train``, ``query`` and ``bounding_box_test``, or the
            one around ``Market-1501-v15.09.15``.

    Raises:
        DataError: a folder that is missing or empty, or a file whose name has no identity and
            camera.

    Example:
        ``lookalike train dataset=market1501 data_root=DATA``
    """
    base = within(root, "Market-1501-v15.09.15", _FOLDERS[0])
    base = existing(base, _LAYOUT, *_FOLDERS)
    rows, junk = [], 0
    for folder in _FOLDERS:
        files = sorted(f.name for f in (base / folder).iterdir() if f.suffix.lower() in EXTENSIONS)
        if not files:
            raise DataError(f"{base / folder}: holds no images. Expected: {_LAYOUT}")
        for file in files:
            found = _NAME.match(file)
            if found is None:
                raise DataError(
                    f"{base / folder / file}: the name says no identity and camera. Expected:"
                    f" {_LAYOUT}"
                )
            person, camera = found[1], found[2]
            if int(person) < 0:
                junk += 1
                continue
            is_nobody = int(person) == 0
            rows.append(
                {
                    "path": f"{folder}/{file}",
                    "label": "-1" if is_nobody else person,
                    "split": "train" if folder == _FOLDERS[0] else "test",
                    "is_query": folder == "query",
                    "is_gallery": folder == "bounding_box_test",
                    "sequence": "" if is_nobody else f"{person} c{camera}",
                }
            )
    frame = pd.DataFrame(rows)
    nobody = int((frame["label"] == "-1").sum())
    notes = against_official(Counter(frame["split"]), _OFFICIAL)
    if junk:
        notes.append(f"{counted(junk, 'image')} of identity -1 (junk) left out, as published")
    if nobody:
        notes.append(f"{counted(nobody, 'distractor')} of identity 0000 in the gallery")
    return Table.from_frame(frame, name="market1501", root=base, notes=notes, source=base)
