"""The plate: one species drawn once, upright and uncoloured, from which its images are taken.

A plate holds *inks*, not colours: how much of each sample is painted with the base colour, the
second colour, … and which way the surface leans. Colour, pose and light come later, image by
image, so nothing of them can give the species away.
"""

from collections.abc import Callable

import numpy as np

from lookalike.demo.fields import Field, coverage
from lookalike.demo.form import Form

INKS = 5
BASE, SECOND, ACCENT, DARK, LIGHT = range(INKS)
EXTENT = 1.1  # the plate shows figure coordinates in [-EXTENT, EXTENT], y pointing down
_RELIEF = 0.45  # how steep the relief looks
_STRIP = 64


class Plate:
    """A canvas in figure coordinates on which a body plan paints its parts from back to front.

    A plan is a pointwise function of x and y, so a plate may be any strip of rows of the whole:
    strips that fit the processor's cache are drawn several times faster.
    """

    def __init__(self, resolution: int, first_row: int = 0, rows: int | None = None) -> None:
        rows = resolution - first_row if rows is None else rows
        self.sample = 2 * EXTENT / resolution
        axis = (np.arange(resolution, dtype=np.float32) + np.float32(0.5)) * np.float32(self.sample)
        axis -= np.float32(EXTENT)
        self.x, self.y = np.meshgrid(axis, axis[first_row : first_row + rows])
        self.inks = np.zeros((INKS, *self.x.shape), np.float32)
        self.relief = np.zeros(self.x.shape, np.float32)

    def cover(self, field: Field) -> Field:
        """Return the anti-aliased mask of a distance field."""
        return coverage(field, self.sample * 1.5)

    def paint(self, mask: Field, ink: int) -> None:
        """Lay an ink over what is there, where the mask says."""
        if mask.any():
            self.inks *= 1 - mask
            self.inks[ink] += mask

    def part(self, field: Field, ink: int, *, bulge: float = 0.2, line: float = 0.016) -> Field:
        """Paint a solid part with a dark outline; return the mask of its inside.

        The part is domed: its height rises from the edge over the distance `bulge`.
        """
        outer = self.cover(field)
        self.paint(outer, DARK)
        inner = self.cover(field + line)
        self.paint(inner, ink)
        rise = np.clip(-field / bulge, 0, 1)
        self.relief = self.relief * (1 - outer) + outer * (np.sqrt(rise * (2 - rise)) * bulge)
        return inner

    def engrave(self, mask: Field, depth: float) -> None:
        """Lower the surface under a mask."""
        self.relief -= mask * depth


def engraved(
    plan: Callable[[Plate, Form], None],
    form: Form,
    resolution: int,
    stature: tuple[float, float] = (1.0, 0.0),
) -> np.ndarray:
    """Draw a species; return its plate at half the resolution, filtered for sampling.

    `stature` is how broad the figure is and how much it broadens downwards (`Form.stature`).

    Shape (R/2, R/2, 8): five inks (premultiplied: their sum is the figure's opacity), the two
    slopes of the surface (premultiplied) and the opacity. The outermost samples are empty.
    """
    strips = []
    for first in range(0, resolution, _STRIP):
        strip = Plate(resolution, first, min(_STRIP, resolution - first))
        breadth, taper = stature
        strip.x = strip.x / (breadth * (1 + taper * strip.y))
        plan(strip, form)
        strips.append(strip)
    inks = np.concatenate([strip.inks for strip in strips], axis=1)
    relief = np.concatenate([strip.relief for strip in strips])
    slope_x, slope_y = np.zeros_like(relief), np.zeros_like(relief)
    scale = _RELIEF * resolution / (2 * EXTENT)
    slope_x[:, 1:-1] = (relief[:, 2:] - relief[:, :-2]) * scale
    slope_y[1:-1] = (relief[2:] - relief[:-2]) * scale
    opacity = inks[0] + inks[1] + inks[2] + inks[3] + inks[4]
    slopes = [np.clip(slope, -1, 1) * opacity for slope in (slope_x, slope_y)]
    half = resolution // 2
    texture = np.zeros((half, half, INKS + 3), np.float32)
    for channel, plane in enumerate((*inks, *slopes, opacity)):
        texture[1:-1, 1:-1, channel] = _halve(plane)
    return texture


def _halve(plane: Field) -> Field:
    """Average 2×2 samples, then smooth with (1 2 1)/4 both ways; the edge samples are lost."""
    rows = plane[::2] + plane[1::2]
    half = (rows[:, ::2] + rows[:, 1::2]) * 0.25
    rows = (half[:-2] + half[1:-1] * 2 + half[2:]) * 0.25
    return (rows[:, :-2] + rows[:, 1:-1] * 2 + rows[:, 2:]) * 0.25
