"""Patterns: what is drawn on a wing, a flank, a petal or a shell.

A genus wears one kind; its species differ in number, width and place of the marks (details 0, 1
and 2). Patterns live on a patch: coordinates u along the body part in [0, 1] and v across it in
[-1, 1], with the size of both in figure units, so that marks keep their sharpness anywhere.
"""

from dataclasses import dataclass

import numpy as np

from lookalike.demo.fields import Field, length, saw, wave
from lookalike.demo.form import Form, count, span
from lookalike.demo.plate import ACCENT, DARK, LIGHT, SECOND, Plate

KINDS = 8


@dataclass
class Patch:
    """A region of the plate with its own coordinates."""

    mask: Field
    u: Field
    v: Field
    size_u: float
    size_v: float

    @property
    def wide(self) -> float:
        """How many times wider than long the patch is."""
        return 2 * self.size_v / self.size_u


def mark(plate: Plate, form: Form, patch: Patch) -> None:
    """Draw the pattern of the form's genus on a patch."""
    (_bands, _stripes, _spots, _eyes, _chevrons, _net, _waves, _saddle)[form.kind(KINDS)](
        plate, form, patch
    )


def _lines(plate: Plate, patch: Patch, t: Field, pitch: float, duty: float) -> Field:
    """Return the mask of lines at whole t + ½ that fill `duty` of each pitch (figure units)."""
    return plate.cover((saw(t) - duty / 2) * pitch) * patch.mask


def _bands(plate: Plate, form: Form, patch: Patch) -> None:
    n = count(form.detail(0), 3, 8)
    t = patch.u * n + patch.v * patch.v * 0.6 + span(form.detail(2), 0.0, 0.6)
    pitch = patch.size_u / n
    duty = span(form.detail(1), 0.22, 0.62)
    plate.paint(_lines(plate, patch, t, pitch, duty), DARK)
    plate.paint(_lines(plate, patch, t + 0.5, pitch, 0.16), LIGHT)


def _stripes(plate: Plate, form: Form, patch: Patch) -> None:
    n = count(form.detail(0), 3, 6)
    t = patch.v * n / 2 * (1.15 - 0.3 * patch.u) + 0.5 * count(form.detail(2), 0, 1)
    stripes = _lines(plate, patch, t, 2 * patch.size_v / n, span(form.detail(1), 0.25, 0.55))
    plate.paint(stripes, SECOND)
    plate.paint(_lines(plate, patch, t, 2 * patch.size_v / n, 0.2), DARK)


def _dots(patch: Patch, columns: int, rows: int, shift: float) -> tuple[Field, Field]:
    """Return the offset (figure units) from the nearest centre of a staggered grid of dots."""
    row = np.floor(patch.u * rows + shift)
    du = (patch.u * rows + shift - row - 0.5) * (patch.size_u / rows)
    across = (patch.v + 1) * columns / 2 + 0.5 * (row - 2 * np.floor(row / 2))
    dv = (across - np.floor(across) - 0.5) * (2 * patch.size_v / columns)
    return du, dv


def _spots(plate: Plate, form: Form, patch: Patch) -> None:
    rows = count(form.detail(0), 3, 6)
    columns = max(2, round(rows * patch.wide * 0.9)) + count(form.detail(2), 0, 1)
    du, dv = _dots(patch, columns, rows, span(form.detail(2), 0.0, 0.5))
    radius = span(form.detail(1), 0.2, 0.38) * min(patch.size_u / rows, 2 * patch.size_v / columns)
    distance = length(du, dv)
    plate.paint(plate.cover(distance - radius) * patch.mask, DARK)
    plate.paint(plate.cover(distance - radius * 0.45) * patch.mask, LIGHT)


def _eyes(plate: Plate, form: Form, patch: Patch) -> None:
    n = count(form.detail(0), 2, 4)
    t = patch.u * n + span(form.detail(2), -0.15, 0.15)
    du = (t - np.floor(t) - 0.5) * (patch.size_u / n)
    centre = span(form.detail(2), -0.15, 0.2)
    distance = length(du, (np.abs(patch.v) - 0.45 - centre) * patch.size_v)
    radius = span(form.detail(1), 0.34, 0.46) * min(patch.size_u / n, patch.size_v)
    rings = count(form.detail(3), 0, 2)
    for share, ink in ((1.0, DARK), (0.78, ACCENT), (0.52, DARK), (0.26, LIGHT))[: 2 + rings]:
        plate.paint(plate.cover(distance - radius * share) * patch.mask, ink)


def _chevrons(plate: Plate, form: Form, patch: Patch) -> None:
    n = count(form.detail(0), 4, 8)
    t = patch.u * n + np.abs(patch.v) * span(form.detail(2), 0.9, 2.2)
    pitch = patch.size_u / n
    plate.paint(_lines(plate, patch, t, pitch, span(form.detail(1), 0.3, 0.6)), ACCENT)
    plate.paint(_lines(plate, patch, t, pitch, 0.2), DARK)


def _net(plate: Plate, form: Form, patch: Patch) -> None:
    n = count(form.detail(0), 4, 7)
    across = max(2.0, n * patch.wide * span(form.detail(2), 0.35, 0.65))
    width = span(form.detail(1), 0.14, 0.3)
    for sign in (-1, 1):
        t = patch.u * n + sign * patch.v * across / 2
        plate.paint(_lines(plate, patch, t, 0.8 * patch.size_u / n, width), DARK)
    du, dv = _dots(patch, max(1, round(across)), n, 0.0)
    plate.paint(plate.cover(length(du, dv) - 0.1 * patch.size_u / n) * patch.mask, LIGHT)


def _waves(plate: Plate, form: Form, patch: Patch) -> None:
    n = count(form.detail(0), 3, 6)
    ripple = wave(patch.v * count(form.detail(2), 1, 3)) * span(form.detail(1), 0.14, 0.34)
    t = patch.u * n + ripple
    plate.paint(_lines(plate, patch, t, patch.size_u / n, 0.5), LIGHT)
    plate.paint(_lines(plate, patch, t, patch.size_u / n, 0.2), DARK)


def _saddle(plate: Plate, form: Form, patch: Patch) -> None:
    middle, reach = span(form.detail(2), 0.42, 0.58), span(form.detail(1), 0.17, 0.27)
    field = (np.abs(patch.u - middle) - reach) * patch.size_u
    plate.paint(plate.cover(field) * patch.mask, SECOND)
    n = count(form.detail(0), 3, 7)
    across = (patch.v + 1) * n / 2
    dv = (across - np.floor(across) - 0.5) * (2 * patch.size_v / n)
    for edge in (-1, 1):
        du = (patch.u - middle - edge * reach) * patch.size_u
        radius = 0.62 * patch.size_v / n
        plate.paint(plate.cover(length(du, dv) - min(radius, 0.06)) * patch.mask, DARK)
