"""A map of embeddings to move about in: one HTML file with its points, pictures and script."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from importlib.resources import files

import numpy as np

from lookalike.errors import DataError, counted
from lookalike.report.maps import EmbeddingMap
from lookalike.report.markup import text
from lookalike.report.pictures import Picture, thumbnail

SIDE = 96


def map_page(plane: EmbeddingMap, *, title: str, names: list[str]) -> str:
    """The page. Nothing outside it is loaded, and no script but its own runs.

    Args:
        plane: what `map_embeddings` returned.
        title: of the page.
        names: of the pictures, one a point, such as their file names.

    >>> from lookalike.report.maps import map_embeddings
    >>> plane = map_embeddings(np.eye(4), [0, 0, 1, 1], names=["cat", "</script>"], method="pca")
    >>> page = map_page(plane, title="<b>", names=["a", "b", "c", "d"])
    >>> page.count("</script>"), "&lt;b&gt;" in page
    (2, True)
    """
    codes = sorted(plane.names)
    dense = {code: place for place, code in enumerate(codes)}
    labels = [dense[code] for code in plane.labels.tolist()]
    pictures = plane.pictures or [None] * len(labels)
    thumbs = [_thumb(one) for one in pictures]
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
    unread = sum(not thumb for thumb in thumbs) if plane.pictures is not None else 0
    few = f"{len(labels):,} of " if len(labels) < plane.total else ""
    classes = counted(len(codes), "class", "classes")
    shown = f"{few}{counted(plane.total, 'picture')}"
    note = f"{shown} of {classes}; {plane.method}. Close points look alike."
    if unread:
        note += f" {counted(unread, 'picture')} cannot be read."
    home = files("lookalike.report")
    script = home.joinpath("map_page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    written = json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    holes = {"HASH": f"sha256-{digest}", "TITLE": text(title), "NOTE": text(note)}
    holes |= {"SCRIPT": script, "DATA": written}
    page = home.joinpath("map_page.html").read_text("utf-8")
    # In one pass: a title may be called DATA.
    return re.sub("|".join(holes), lambda hole: holes[hole[0]], page)


def _thumb(picture: Picture | None) -> str:
    """A small JPEG inside a ``data:`` address; empty where the file cannot be read."""
    if picture is None:
        return ""
    try:
        image = thumbnail(picture, SIDE)
    except DataError:
        return ""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
