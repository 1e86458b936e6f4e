"""What reports draw for the rows of a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lookalike.data.embedding_file import is_vector
from lookalike.data.table import Table
from lookalike.report.images import ImageSource


def image_sources(rows: Table) -> list[ImageSource]:
    """The files of a table's images.

    Rows of an embedding file show the image that their ``image`` column names, where its file is
    there, else a grey square.
    """
    if not len(rows) or not is_vector(rows.paths[0]):
        return list(rows.paths)
    named = rows.frame["image"].astype(str) if "image" in rows.frame else [""] * len(rows)
    blank = np.full((32, 32, 3), 224, np.uint8)
    return [path if path and Path(path).is_file() else blank for path in named]
