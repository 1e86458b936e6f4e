"""The map of the embeddings as inline SVG: each class a tooltip, the largest a colour, a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import DataError, counted
from lookalike.report.images import data_uri, thumbnail
from lookalike.report.maps import EmbeddingMap
from lookalike.report.render import render

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, HEIGHT, MARGIN, THUMB = 1000, 780, 34, 46
COLOURS = 8  # map colours in style.css; every other one is drawn with square points


def draw_map(plane: EmbeddingMap, *, thumbnails: int = 70) -> Markup:
    """The map with its legend.

    Args:
        plane: what `map_embeddings` returned.
        thumbnails: images shown at most; they never overlap.

    >>> import numpy as np
    >>> from lookalike.report.maps import map_embeddings
    >>> svg = draw_map(map_embeddings(np.eye(4), [0, 0, 1, 1], names=["cat", "fox"]))
    >>> svg.count("<title>cat</title>"), "<svg" in svg
    (1, True)
    """
    low, high = plane.points.min(axis=0), plane.points.max(axis=0)
    room = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    scale = (room / np.maximum(high - low, 1e-9)).min()
    height = max(round((high - low)[1] * scale), 80) + 2 * MARGIN
    spots = (plane.points - (low + high) / 2) * scale + [WIDTH / 2, height / 2]
    kinds = {code: _kind(place) for place, code in enumerate(plane.largest)}
    few = f"{len(spots):,} of " if len(spots) < plane.total else ""
    shown = f"{few}{counted(plane.total, 'embedding')}"
    named = [plane.names[code] for code in plane.largest]
    images, unreadable = _images(plane, spots, thumbnails)
    note = f"{shown}, {plane.method}. Close points look alike to the model."
    if unreadable:
        lost = "image could not be read and is", "images could not be read and are"
        note += f" {counted(unreadable, *lost)} left out."
    legend = [(kinds[code], plane.names[code]) for code in plane.largest]
    data = {
        "width": WIDTH,
        "height": height,
        "spoken": f"Map of {shown} of {counted(len(plane.names), 'class', 'classes')}. "
        f"Named are the largest: {', '.join(named)}.",
        "classes": [
            {
                "name": plane.names[code],
                "kind": kinds.get(code, "other"),
                "path": "".join(f"M{x:.0f} {y:.0f}h0" for x, y in spots[plane.labels == code]),
            }
            for code in sorted(plane.names, key=lambda code: (code in kinds, code))
        ],
        "images": images,
        "names": _names(plane, spots, height),
        "legend": legend + [("other", "other classes")] * (len(plane.names) > len(kinds)),
        "note": note,
    }
    return render("map.html.j2", data=data)


def _kind(place: int) -> str:
    """Colour and form of the points of a class."""
    style = place % COLOURS
    return f"k{style} square" if style % 2 else f"k{style}"


def _images(
    plane: EmbeddingMap, spots: NDArray[np.float64], limit: int
) -> tuple[list[dict[str, Any]], int]:
    """One image a cell of a grid, the nearest to its centre, fullest cells first.

    Also how many could not be read; a map is readable without them.
    """
    if plane.images is None or limit < 1:
        return [], 0
    side = THUMB + 8
    cells = np.floor(spots / side).astype(np.int64)
    distance = np.abs(spots - (cells + 0.5) * side).max(axis=1)
    members: dict[tuple[int, ...], list[int]] = {}
    for row in np.argsort(distance, kind="stable").tolist():
        members.setdefault(tuple(cells[row].tolist()), []).append(row)
    drawn: list[dict[str, Any]] = []
    unreadable = 0
    frames = {code: f" k{place % COLOURS}" for place, code in enumerate(plane.largest)}
    for cell in sorted(members, key=lambda cell: (-len(members[cell]), cell))[:limit]:
        row = members[cell][0]
        try:
            image = thumbnail(plane.images[row], 2 * THUMB)
        except DataError:
            unreadable += 1
            continue
        x, y = ((np.array(cell) + 0.5) * side - THUMB / 2).tolist()
        label = int(plane.labels[row])
        drawn.append(
            {
                "name": plane.names[label],
                "frame": f"frame{frames.get(label, '')}",
                "src": data_uri(image),
                "x": x,
                "y": y,
                "side": THUMB,
            }
        )
    return drawn, unreadable


def _densest(points: NDArray[np.float64]) -> list[float]:
    """The point nearest to half of the others: a scattered class is named where most of it is."""
    points = points[:: len(points) // 400 + 1]  # all pairs of more would fill the memory
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    return points[np.median(distance, axis=1).argmin()].tolist()


def _names(
    plane: EmbeddingMap, spots: NDArray[np.float64], height: int
) -> list[tuple[float, float, str]]:
    """Each large class's name amid its points, pushed down until none covers another."""
    placed: list[tuple[float, float, float]] = []
    texts = []
    middles = {code: _densest(spots[plane.labels == code]) for code in plane.largest}
    for code in sorted(plane.largest, key=lambda code: (middles[code][1], code)):
        name = plane.names[code]
        name = name if len(name) <= 32 else f"{name[:31]}…"
        half = len(name) * 4.2 + 6
        x = min(max(middles[code][0], half), WIDTH - half)
        y = middles[code][1]
        while any(abs(y - b) < 19 and abs(x - a) < half + width for a, b, width in placed):
            y += 4
        placed.append((x, y, half))
        texts.append((x, min(y + 5, height - 4), name))
    return texts
