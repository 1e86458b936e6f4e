"""The map of the embeddings as inline SVG: each class a tooltip, the largest a colour, a name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import DataError, counted
from lookalike.report.maps import EmbeddingMap
from lookalike.report.markup import Html, tag
from lookalike.report.pictures import data_uri, thumbnail

WIDTH, HEIGHT, MARGIN, THUMB = 1000, 780, 34, 46
COLOURS = 8  # map colours in style.css; every other one is drawn with square points


def draw_map(plane: EmbeddingMap, *, thumbnails: int = 70) -> Html:
    """The map with its legend.

    Args:
        plane: what `map_embeddings` returned.
        thumbnails: pictures shown at most; they never overlap.

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
    style = {code: i % COLOURS for i, code in enumerate(plane.largest)}
    ordered = sorted(plane.names, key=lambda code: (code in style, code))
    groups = [_class(plane, spots, code, style.get(code)) for code in ordered]
    few = f"{len(spots):,} of " if len(spots) < plane.total else ""
    shown = f"{few}{counted(plane.total, 'embedding')}"
    classes = counted(len(plane.names), "class", "classes")
    summary = (
        f"Map of {shown} of {classes}. Named are the largest: "
        f"{', '.join(plane.names[code] for code in plane.largest)}."
    )
    pictures, unreadable = _pictures(plane, spots, thumbnails, style)
    drawing = tag(
        "svg",
        *groups,
        *pictures,
        *_names(plane, spots, height),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label=summary,
    )
    legend = tag(
        "ul",
        [tag("li", _swatch(style[c]), plane.names[c]) for c in plane.largest],
        None if len(plane.names) == len(style) else tag("li", _swatch(None), "other classes"),
        class_="legend",
    )
    note = f"{shown}, {plane.method}. Close points look alike to the model."
    if unreadable:
        lost = "picture could not be read and is", "pictures could not be read and are"
        note += f" {counted(unreadable, *lost)} left out."
    return tag("figure", drawing, legend, tag("figcaption", note, class_="small"), class_="map")


def _class(plane: EmbeddingMap, spots: NDArray[np.float64], code: int, style: int | None) -> Html:
    where = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in spots[plane.labels == code])
    return tag("g", tag("title", plane.names[code]), tag("path", d=where, class_=_kind(style)))


def _kind(style: int | None) -> str:
    if style is None:
        return "other"
    return f"k{style} square" if style % 2 else f"k{style}"


def _swatch(style: int | None) -> Html:
    point = tag("path", d="M7 7h0", class_=_kind(style))
    return tag("svg", point, viewBox="0 0 14 14", class_="swatch", aria_hidden="true")


def _pictures(
    plane: EmbeddingMap, spots: NDArray[np.float64], limit: int, style: dict[int, int]
) -> tuple[list[Html], int]:
    """One picture a cell of a grid, the nearest to its centre, fullest cells first.

    Also how many could not be read; a map is readable without them.
    """
    if plane.pictures is None or limit < 1:
        return [], 0
    side = THUMB + 8
    cells = np.floor(spots / side).astype(np.int64)
    distance = np.abs(spots - (cells + 0.5) * side).max(axis=1)
    members: dict[tuple[int, ...], list[int]] = {}
    for row in np.argsort(distance, kind="stable").tolist():
        members.setdefault(tuple(cells[row].tolist()), []).append(row)
    drawn: list[Html] = []
    unreadable = 0
    for cell in sorted(members, key=lambda cell: (-len(members[cell]), cell))[:limit]:
        row = members[cell][0]
        try:
            image = thumbnail(plane.pictures[row], 2 * THUMB)
        except DataError:
            unreadable += 1
            continue
        x, y = ((np.array(cell) + 0.5) * side - THUMB / 2).tolist()
        box = {"x": x, "y": y, "width": THUMB, "height": THUMB}
        label = int(plane.labels[row])
        kind = f"frame k{style[label]}" if label in style else "frame"
        drawn.append(
            tag(
                "g",
                tag("title", plane.names[label]),
                tag("image", href=data_uri(image), preserveAspectRatio="xMidYMid slice", **box),
                tag("rect", class_=kind, rx=2, **box),
            )
        )
    return drawn, unreadable


def _densest(points: NDArray[np.float64]) -> list[float]:
    """The point nearest to half of the others: a scattered class is named where most of it is."""
    points = points[:: len(points) // 400 + 1]  # all pairs of more would fill the memory
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    return points[np.median(distance, axis=1).argmin()].tolist()


def _names(plane: EmbeddingMap, spots: NDArray[np.float64], height: int) -> list[Html]:
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
        texts.append(tag("text", name, x=x, y=min(y + 5, height - 4), text_anchor="middle"))
    return texts
