"""Which regions made two images alike: hide a region, and see how the score falls.

Occlusion (Zeiler & Fergus, ECCV 2014) on both sides of a pair; it asks nothing of the network
but its embeddings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookalike.data.decode import read_picture
from lookalike.files import write_with
from lookalike.search.encoders import Encoder

_CELLS = 8  # windows a side; each is two cells wide, so that they overlap
_PAIRS = 3


def occlusion(encoder: Encoder, picture: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """How much of the score each region of a prepared image holds.

    Args:
        encoder: embeds.
        picture: uint8 ``(S, S, 3)``, prepared.
        towards: ``(D,)``, the other image's vector.

    Returns:
        float32 ``(8, 8)``: the mean fall of the score when windows over a cell are filled with the
        image's mean colour; below 0 where hiding makes them more alike.
    """
    side = len(picture)
    edges = np.linspace(0, side, _CELLS + 1).round().astype(int)
    colour = picture.mean(axis=(0, 1)).astype(np.uint8)
    places = [(i, j) for i in range(_CELLS - 1) for j in range(_CELLS - 1)]
    hidden = np.repeat(picture[None], len(places), axis=0)
    for copy, (i, j) in zip(hidden, places, strict=True):
        copy[edges[i] : edges[i + 2], edges[j] : edges[j + 2]] = colour
    falls = encoder.embed(picture[None]) @ towards - encoder.embed(hidden) @ towards
    total, count = np.zeros((_CELLS, _CELLS), np.float32), np.zeros((_CELLS, _CELLS))
    for fall, (i, j) in zip(falls, places, strict=True):
        total[i : i + 2, j : j + 2] += fall
        count[i : i + 2, j : j + 2] += 1
    return (total / count).astype(np.float32)


def write_why(
    path: Path,
    encoder: Encoder,
    results: list[dict[str, Any]],
    pictures: list[str],
    box: tuple[float, float, float, float] | None,
) -> None:
    """Paint the regions that made each query and its first three neighbours alike.

    Each line holds a query and a neighbour, twice: once towards each other's vector. Warm regions
    hold the likeness; the scale is one for the whole sheet.

    Args:
        path: the PNG.
        encoder: embeds.
        results: of ``search``.
        pictures: the file of each query.
        box: the part of the queries that was searched with.
    """
    from lookalike.report.sheets import Neighbour, SheetRow, contact_sheet

    pairs = []
    for result, picture in zip(results, pictures, strict=False):
        query = encoder.prepare(read_picture(picture, box))
        for hit in result["hits"][:_PAIRS]:
            found = encoder.prepare(read_picture(hit["path"]))
            vectors = encoder.embed(np.stack([query, found]))
            heat = occlusion(encoder, query, vectors[1]), occlusion(encoder, found, vectors[0])
            pairs.append((result["query"], hit, query, found, heat))
    largest = max([float(h.max()) for *_, heat in pairs for h in heat], default=0.0)
    rows = [
        SheetRow(
            query=_paint(query, heat[0], largest),
            neighbours=[
                Neighbour(image=query, label="query"),
                Neighbour(image=_paint(found, heat[1], largest), label="what the query shares"),
                Neighbour(image=found, label=next(iter(hit["labels"].values()), "")),
            ],
            title=f"{Path(name).name} and {Path(hit['path']).name}",
            value=f"score {hit['score']:.3f}, falls by up to {max(h.max() for h in heat):.3f}",
        )
        for name, hit, query, found, heat in pairs
    ]
    if rows:
        image = contact_sheet(rows, thumb=160)
        write_with(path, lambda part: image.save(part, format="PNG"))


def _paint(picture: np.ndarray, heat: np.ndarray, largest: float) -> np.ndarray:
    """The image in grey, its warm regions in their own colours under a yellow to red tint."""
    scaled = Image.fromarray((255 * (heat / max(largest, 1e-12)).clip(0, 1)).astype(np.uint8))
    warm = np.asarray(scaled.resize(picture.shape[1::-1], Image.Resampling.BICUBIC)) / 255.0
    grey = picture.mean(axis=2, keepdims=True) * 0.6 + 60
    tint = np.stack([np.full_like(warm, 255), 200 * (1 - warm), np.zeros_like(warm)], axis=2)
    share = warm[:, :, None]
    mixed = grey * (1 - share) + (0.55 * tint + 0.45 * picture) * share
    return mixed.clip(0, 255).astype(np.uint8)
