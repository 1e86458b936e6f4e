"""Contact sheets: queries and what was found for them, as one image."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from lookalike.errors import DataError, LookalikeError
from lookalike.report.fonts import font
from lookalike.report.images import ImageSource, Neighbour, SheetRow, thumbnail

# Blue and vermilion stay apart for every kind of colour blindness, and differ in lightness too
# (Okabe and Ito, "Color Universal Design", 2008).
RIGHT, WRONG = (0, 90, 160), (200, 80, 0)
PAPER, INK, FAINT, RULE = (252, 252, 250), (28, 30, 33), (108, 112, 118), (214, 216, 220)
# Everything is drawn this much larger and scaled down once: Pillow's lines have hard edges.
FINE = 4


def contact_sheet(rows: Sequence[SheetRow], *, thumb: int = 112, columns: int = 10) -> Image.Image:
    """Draw each query with its neighbours, nearest first.

    Right neighbours have a solid blue frame and a tick in a disc, wrong ones a dashed vermilion
    frame and a cross in a square, so that both shape and colour tell them apart; where nobody
    knows (``right=None``) the frame is plain. An image that cannot be read is drawn as an empty
    box that says so.

    Args:
        rows: one a query; a row's title is written above it.
        thumb: side of an image in pixels, at least 32.
        columns: neighbours side by side, at least 1; more go on below.

    Returns:
        An RGB image, the same for the same input.

    Raises:
        LookalikeError: no rows, a thumb below 32, columns below 1, or an image given as an array
            that is not uint8 ``(H, W, 3)``.

    >>> import numpy as np
    >>> grey = np.full((40, 60, 3), 128, np.uint8)
    >>> row = SheetRow(query=grey, neighbours=[Neighbour(image=grey, label="fox", right=True)])
    >>> contact_sheet([row], thumb=64).size
    (176, 136)

    Relations: the HTML report draws the same `SheetRow` s as text and images of the page.
    """
    if not rows:
        raise LookalikeError("contact_sheet: there are no rows to draw; give at least one query.")
    if thumb < 32:
        raise LookalikeError(f"contact_sheet: thumb={thumb} pixels; it must be at least 32.")
    if columns < 1:
        raise LookalikeError(f"contact_sheet: columns={columns}; it must be at least 1.")
    columns = max(1, min(columns, max(len(row.neighbours) for row in rows)))
    measure = _Measure(thumb)
    heights = [measure.row(row, columns) for row in rows]
    width = measure.left(columns)
    sheet = Image.new("RGB", (width, sum(heights) + measure.gap), PAPER)
    top = measure.gap // 2
    for row, height in zip(rows, heights, strict=True):
        _draw_row(sheet, row, top, columns, measure)
        top += height
    return sheet


class _Measure:
    """Lengths in pixels; they grow with the thumbnails."""

    def __init__(self, thumb: int) -> None:
        self.thumb = thumb
        self.text = max(10, round(thumb * 0.105))
        self.line = round(self.text * 1.4)
        self.gap = max(12, round(thumb * 0.14))
        self.frame = max(2, round(thumb * 0.027))

    def left(self, column: int) -> int:
        """Left edge of a neighbour; the query stands apart by a wider gap."""
        return self.gap * 3 + self.thumb + column * (self.thumb + self.gap)

    @property
    def tier(self) -> int:
        """From one line of images to the next: image, two lines of label, score."""
        return self.thumb + 3 * self.line + self.gap

    def row(self, row: SheetRow, columns: int) -> int:
        """Height of a query with all its neighbours."""
        title = self.line + self.gap // 3 if row.title or row.value else 0
        return title + max(1, -(-len(row.neighbours) // columns)) * self.tier + self.gap // 2


def _draw_row(sheet: Image.Image, row: SheetRow, top: int, columns: int, m: _Measure) -> None:
    draw = ImageDraw.Draw(sheet)
    if row.title or row.value:
        edge = draw.textlength(value := row.value, font=font(m.text))
        room = sheet.width - 2 * m.gap - (edge + m.gap if value else 0)
        bold = font(m.text, bold=True)
        title = _fit(draw, row.title, bold, room)
        draw.text((m.gap, top), title, font=bold, fill=INK)
        draw.text((sheet.width - m.gap - edge, top), value, font=font(m.text), fill=FAINT)
        top += m.line + m.gap // 3
    _paste(sheet, row.query, m.gap, top, m)
    _frame(sheet, m.gap, top, m, INK, dashed=False)
    draw.text((m.gap, top + m.thumb + m.gap // 3), "query", font=font(m.text), fill=FAINT)
    line = m.gap * 2 + m.thumb
    draw.line([line, top, line, top + m.thumb], fill=RULE, width=max(1, m.frame // 2))
    for number, neighbour in enumerate(row.neighbours):
        tier, column = divmod(number, columns)
        _draw_neighbour(sheet, neighbour, m.left(column), top + tier * m.tier, m)


def _draw_neighbour(sheet: Image.Image, found: Neighbour, left: int, top: int, m: _Measure) -> None:
    draw = ImageDraw.Draw(sheet)
    _paste(sheet, found.image, left, top, m)
    colour = RULE if found.right is None else RIGHT if found.right else WRONG
    _frame(sheet, left, top, m, colour, dashed=found.right is False)
    if found.right is not None:
        badge = draw_mark(found.right, max(14, round(m.thumb * 0.2)))
        corner = (left + m.thumb - badge.width - m.frame, top + m.frame)
        sheet.paste(badge, corner, badge)
    below = top + m.thumb + m.gap // 3
    letters = font(m.text)
    lines = [(line, INK) for line in _wrap(draw, found.label, letters, m.thumb)]
    lines += [] if found.score is None else [(f"{found.score:.3f}", FAINT)]
    for number, (line, fill) in enumerate(lines):
        draw.text((left, below + number * m.line), line, font=letters, fill=fill)


def draw_mark(right: bool, size: int) -> Image.Image:
    """A tick in a disc, or a cross in a square: RGBA, ``size`` pixels wide and high."""
    big = size * FINE
    mark = Image.new("RGBA", (big, big), (0, 0, 0, 0))
    draw = ImageDraw.Draw(mark)
    # The white edge keeps a mark apart from an image of its own colour.
    stroke, edge = round(big * 0.13), round(big * 0.05)

    def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * big, y * big) for x, y in points]

    if right:
        draw.ellipse([0, 0, big - 1, big - 1], fill="white")
        draw.ellipse([edge, edge, big - 1 - edge, big - 1 - edge], fill=RIGHT)
        draw.line(at((0.26, 0.53), (0.43, 0.7), (0.75, 0.34)), "white", stroke, joint="curve")
    else:
        draw.rounded_rectangle([0, 0, big - 1, big - 1], radius=big * 0.14, fill="white")
        inner = [edge, edge, big - 1 - edge, big - 1 - edge]
        draw.rounded_rectangle(inner, radius=big * 0.1, fill=WRONG)
        draw.line(at((0.28, 0.28), (0.72, 0.72)), "white", stroke)
        draw.line(at((0.72, 0.28), (0.28, 0.72)), "white", stroke)
    return mark.resize((size, size), Image.Resampling.BOX)


def _paste(sheet: Image.Image, source: ImageSource, left: int, top: int, m: _Measure) -> None:
    try:
        image = thumbnail(source, m.thumb, enlarge=True)
    except DataError:
        draw = ImageDraw.Draw(sheet)
        centre = (left + m.thumb // 2, top + m.thumb // 2)
        draw.text(centre, "unreadable", font=font(m.text), fill=FAINT, anchor="mm")
        return
    corner = (left + (m.thumb - image.width) // 2, top + (m.thumb - image.height) // 2)
    sheet.paste(image, corner)


def _frame(
    sheet: Image.Image, left: int, top: int, m: _Measure, colour: tuple[int, ...], *, dashed: bool
) -> None:
    """A frame around the image's square, not over it."""
    draw = ImageDraw.Draw(sheet)
    outer = (left - m.frame, top - m.frame, left + m.thumb + m.frame, top + m.thumb + m.frame)
    if not dashed:
        box = (outer[0], outer[1], outer[2] - 1, outer[3] - 1)
        draw.rectangle(box, outline=colour, width=m.frame)
        return
    dash = 3 * m.frame
    for start in range(0, m.thumb + 2 * m.frame, 2 * dash):
        x, y = outer[0] + start, outer[1] + start
        x_end, y_end = min(x + dash, outer[2]) - 1, min(y + dash, outer[3]) - 1
        draw.rectangle((x, outer[1], x_end, outer[1] + m.frame - 1), fill=colour)
        draw.rectangle((x, outer[3] - m.frame, x_end, outer[3] - 1), fill=colour)
        draw.rectangle((outer[0], y, outer[0] + m.frame - 1, y_end), fill=colour)
        draw.rectangle((outer[2] - m.frame, y, outer[2] - 1, y_end), fill=colour)


def _wrap(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, room: float
) -> list[str]:
    """The text on one line or two, cut with an ellipsis where two are not enough."""
    words = text.split()
    first = ""
    while words and draw.textlength(f"{first} {words[0]}".strip(), font=font) <= room:
        first = f"{first} {words.pop(0)}".strip()
    rest = [_fit(draw, " ".join(words), font, room)] if words else []
    return [first, *rest] if first else rest


def _fit(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The text on one line, cut with an ellipsis where it is wider than ``room`` pixels."""
    line = " ".join(text.split())
    if draw.textlength(line, font=font) <= room:
        return line
    while line and draw.textlength(f"{line}…", font=font) > room:
        line = line[:-1]
    return f"{line.rstrip()}…"
