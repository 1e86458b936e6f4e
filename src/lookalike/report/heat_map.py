"""A table of numbers as an image: the darker the larger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from lookalike.errors import LookalikeError
from lookalike.report.fonts import font

PAPER, INK, FAINT, EMPTY = (252, 252, 250), (28, 30, 33), (108, 112, 118), (236, 236, 232)
LIGHT, DARK, FRAME = (240, 246, 251), (0, 72, 132), (200, 80, 0)
CELL, HEIGHT, GAP, TEXT = 132, 76, 24, 17


@dataclass(frozen=True)
class HeatMap:
    """What is drawn.

    Attributes:
        title: above all.
        rows, columns: their names.
        values: ``rows × columns``; None is an empty cell.
        notes: a smaller line below each value.
        marked: which cells are framed.
        row_title, column_title: what rows and columns are.
        legend: below all.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    notes: Sequence[Sequence[str]]
    marked: Sequence[Sequence[bool]]
    row_title: str = ""
    column_title: str = ""
    legend: str = ""


def draw_heat_map(heat: HeatMap) -> Image.Image:
    """Draw it; colours run from the smallest value to the largest.

    Raises:
        LookalikeError: no cell has a number.

    >>> heat = HeatMap("mAP", ["a"], ["a", "b"], [[0.5, None]], [["", ""]], [[True, False]])
    >>> draw_heat_map(heat).mode
    'RGB'
    """
    known = [value for row in heat.values for value in row if value is not None]
    if not known:
        raise LookalikeError("draw_heat_map: no cell has a number; there is nothing to draw.")
    low, high = min(known), max(known)
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    names = [*heat.rows, heat.row_title]
    side = round(max(measure.textlength(name, font=font(TEXT)) for name in names))
    wide = [measure.textlength(name, font=font(TEXT)) + GAP for name in heat.columns]
    cell = max(CELL, round(max(wide)))
    left, top = side + 2 * GAP, 4 * TEXT + 3 * GAP
    width = max(
        left + cell * len(heat.columns) + GAP,
        *(
            round(measure.textlength(text, font=font(size, bold=True))) + 2 * GAP
            for text, size in ((heat.title, TEXT + 3), (heat.legend, TEXT - 3))
        ),
    )
    bottom = top + HEIGHT * len(heat.rows)
    sheet = Image.new("RGB", (width, bottom + 2 * GAP + TEXT), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), heat.title, font=font(TEXT + 3, bold=True), fill=INK)
    draw.text((left, 2 * GAP + TEXT), heat.column_title, font=font(TEXT), fill=FAINT)
    draw.text((GAP, top - TEXT - 8), heat.row_title, font=font(TEXT), fill=FAINT)
    for column, name in enumerate(heat.columns):
        at = (left + column * cell + cell // 2, top - 8)
        draw.text(at, name, font=font(TEXT), fill=INK, anchor="md")
    for row, name in enumerate(heat.rows):
        y = top + row * HEIGHT
        draw.text((GAP, y + HEIGHT // 2), name, font=font(TEXT), fill=INK, anchor="lm")
        for column, value in enumerate(heat.values[row]):
            share = 0.0 if value is None or high == low else (value - low) / (high - low)
            box = (left + column * cell, y, left + (column + 1) * cell, y + HEIGHT)
            note, marked = heat.notes[row][column], heat.marked[row][column]
            _cell(draw, box, value, share, note, marked=marked)
    draw.text((GAP, bottom + GAP), heat.legend, font=font(TEXT - 3), fill=FAINT)
    return sheet


def _cell(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    value: float | None,
    share: float,
    note: str,
    *,
    marked: bool,
) -> None:
    inner = (box[0] + 2, box[1] + 2, box[2] - 3, box[3] - 3)
    colour = EMPTY if value is None else _between(share)
    if marked:
        draw.rectangle(inner, fill=colour, outline=FRAME, width=4)
    else:
        draw.rectangle(inner, fill=colour)
    ink = PAPER if value is not None and share > 0.5 else INK
    middle = ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    text = "–" if value is None else f"{value:.3f}"
    up = 10 if note else 0
    draw.text((middle[0], middle[1] - up), text, font=font(TEXT + 3), fill=ink, anchor="mm")
    if note:
        draw.text((middle[0], middle[1] + 15), note, font=font(TEXT - 4), fill=ink, anchor="mm")


def _between(share: float) -> tuple[int, int, int]:
    red, green, blue = (
        round(light + (dark - light) * share) for light, dark in zip(LIGHT, DARK, strict=True)
    )
    return red, green, blue
