"""A map of embeddings to move about in: one HTML file with its points, images and script."""

from __future__ import annotations

import base64
import io

import numpy as np

from lookalike.errors import DataError, counted
from lookalike.report.images import ImageSource, thumbnail
from lookalike.report.maps import EmbeddingMap
from lookalike.report.render import render

SIDE = 96


def map_page(plane: EmbeddingMap, *, title: str, names: list[str]) -> str:
    """The page. Nothing outside it is loaded, and no script but its own runs.

    Args:
        plane: what `map_embeddings` returned.
        title: of the page.
        names: of the images, one a point, such as their file names.

    >>> from lookalike.report.maps import map_embeddings
    >>> plane = map_embeddings(np.eye(4), [0, 0, 1, 1], names=["cat", "</script>"], method="pca")
    >>> page = map_page(plane, title="<b>", names=["a", "b", "c", "d"])
    >>> page.count("</script>"), "&lt;b&gt;" in page
    (2, True)
    """
    codes = sorted(plane.names)
    dense = {code: place for place, code in enumerate(codes)}
    labels = [dense[code] for code in plane.labels.tolist()]
    thumbs = [_thumb(image) for image in plane.images or [None] * len(labels)]
    data = {
        "x": [round(x, 5) for x in plane.points[:, 0].tolist()],
        "y": [round(y, 5) for y in plane.points[:, 1].tolist()],
        "label": labels,
        "names": [plane.names[code] for code in codes],
        "counts": np.bincount(labels, minlength=len(codes)).tolist(),
        "largest": [dense[code] for code in plane.largest],
        "files": names,
        "thumbs": thumbs,
    }
    unread = sum(not thumb for thumb in thumbs) if plane.images is not None else 0
    few = f"{len(labels):,} of " if len(labels) < plane.total else ""
    classes = counted(len(codes), "class", "classes")
    note = f"{few}{counted(plane.total, 'image')} of {classes}; {plane.method}. "
    note += "Close points look alike."
    if unread:
        note += f" {counted(unread, 'image')} cannot be read."
    return str(render("map_page.html.j2", title=title, note=note, data=data))


def _thumb(source: ImageSource | None) -> str:
    """A small JPEG inside a ``data:`` address; empty where the file cannot be read."""
    if source is None:
        return ""
    try:
        image = thumbnail(source, SIDE)
    except DataError:
        return ""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
