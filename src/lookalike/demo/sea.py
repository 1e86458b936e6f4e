"""Body plans of open water: the fish and the medusa."""

import numpy as np

from lookalike.demo.fields import (
    angle,
    capsule,
    ellipse,
    join,
    length,
    rotate,
    saw,
    strand,
    wave,
)
from lookalike.demo.form import Form, count, span
from lookalike.demo.patterns import Patch, mark
from lookalike.demo.plate import ACCENT, BASE, DARK, LIGHT, SECOND, Plate


def fish(plate: Plate, form: Form) -> None:
    """Side view, head to the left; species differ in fin rays, the fins' notches and gill dots."""
    x, y = plate.x, plate.y
    tall = span(form.proportion(0), 0.28, 0.5) * span(form.build(0), 0.94, 1.08)
    rays = count(form.detail(3), 5, 11)

    fork = span(form.proportion(1), 0.08, 0.42)
    spread = span(form.proportion(2), 0.4, 0.62)
    fin_u, fin_v = x - 0.46, np.abs(y)
    tail = np.maximum(
        fin_v - spread * np.clip(fin_u / 0.5 + 0.12, -0.1, 1),
        fin_u - 0.52 + fork * (1 - fin_v / spread),
    )
    _fin(plate, tail * 0.8, angle(fin_u + 0.25, y) * rays * 3.2)

    high = span(form.proportion(3), 0.12, 0.34)
    crest = ellipse(
        x - span(form.proportion(4), -0.1, 0.15), y + tall * 0.72, 0.42, tall * 0.35 + high
    )
    notch = span(form.detail(4), 0.01, 0.035)
    _fin(plate, crest + notch * wave(x * rays * 1.1), x * rays * 1.1 + 0.4 * y)
    belly = ellipse(x - 0.18, y - tall * 0.75, 0.22, tall * 0.3 + high * 0.55)
    _fin(plate, belly + notch * wave(x * rays * 1.1), x * rays * 1.1 - 0.4 * y)

    body = ellipse(x + 0.14, y, 0.76, tall)
    stem = capsule(x, y, (0.2, 0.0), (0.56, 0.0), tall * 0.42, 0.42)
    body = join(body, stem, 0.16)
    inside = plate.part(body, BASE, bulge=0.3)
    plate.paint(plate.cover(-(y - tall * 0.45)) * inside * 0.55, LIGHT)
    gill_u = x + span(form.proportion(5), 0.42, 0.5)
    gill = length(gill_u + 0.3, y * 0.75) - 0.3
    field = plate.cover(-gill) * plate.cover(body + 0.03) * inside
    height = tall * (1 - 0.5 * np.clip(x + 0.1, 0, 0.65))
    mark(plate, form, Patch(field, (x + 0.52) / 1.12, y / height, 1.12, tall))
    plate.paint(plate.cover(gill) * inside, SECOND)
    plate.paint(plate.cover(np.abs(gill) - 0.012) * inside, DARK)

    dots = count(form.detail(5), 1, 4)
    for i in range(dots):
        at = (i - (dots - 1) / 2) * 0.11
        plate.paint(plate.cover(length(x + 0.5, y - 0.06 - at) - 0.034) * inside, ACCENT)
    side = ellipse(*rotate(x + 0.24, y - tall * 0.3, 0.05), 0.18, 0.085)
    _fin(plate, side, angle(x + 0.5, y - tall * 0.2) * rays * 4)
    eye = length(x + 0.66, y + tall * 0.2)
    plate.part(eye - 0.085, LIGHT, bulge=0.1)
    plate.paint(plate.cover(eye - 0.05), DARK)
    plate.paint(plate.cover(length(x + 0.675, y + tall * 0.2 + 0.02) - 0.018), LIGHT)
    plate.paint(plate.cover(capsule(x, y, (-0.92, 0.1), (-0.76, 0.14), 0.013)) * inside, DARK)


def _fin(plate: Plate, field: np.ndarray, rays: np.ndarray) -> None:
    inside = plate.part(field, ACCENT, bulge=0.12)
    plate.paint(plate.cover((saw(rays) - 0.13) * 0.1) * inside, SECOND)


def medusa(plate: Plate, form: Form) -> None:
    """A jellyfish: bell and tentacles; species differ in the hem and the tentacles' beads."""
    x, y = plate.x, plate.y
    wide = span(form.proportion(0), 0.56, 0.82)
    tall = span(form.proportion(1), 0.48, 0.7) * span(form.build(0), 0.94, 1.06)
    _tentacles(plate, form, wide)
    lobes = count(form.detail(3), 5, 12)
    depth = span(form.detail(4), 0.025, 0.06)
    across = x / wide
    hem = 0.1 * (1 - across * across) + depth * np.abs(wave(across * lobes / 2))
    dome = ellipse(x, y, wide, tall + 0.08)
    bell = np.maximum(dome, y - hem)
    inside = plate.part(bell, BASE, bulge=0.34)
    plate.paint(plate.cover(bell + 0.07) * inside * 0.35, LIGHT)
    along = (y + tall) / tall
    squeeze = np.sqrt(np.clip(along * (2.05 - along), 0.05, 1.0))
    field = plate.cover(bell + 0.05) * plate.cover(y + 0.07) * inside
    mark(plate, form, Patch(field, np.clip(along, 0, 1), across / squeeze, tall, wide))
    band = plate.cover(np.abs(y - hem + 0.1) - 0.035) * inside
    plate.paint(band, SECOND)
    bead = length(
        (across * lobes / 2 - np.floor(across * lobes / 2) - 0.5) * 2 * wide / lobes, y - hem + 0.1
    )
    plate.paint(plate.cover(bead - 0.028) * inside, ACCENT)


def _tentacles(plate: Plate, form: Form, wide: float) -> None:
    x, y = plate.x, plate.y
    arms = count(form.proportion(2), 4, 8)
    long = span(form.proportion(3), 0.7, 0.95)
    swing = span(form.proportion(4), 0.03, 0.09)
    beads = span(form.detail(5), 5.0, 10.0)
    for i in range(arms):
        at = (2 * i + 1) / arms - 1
        reach = long * (1 - 0.35 * at * at)
        t = np.clip(y / reach, 0, 1)
        centre = at * wide * 0.8 * (1 + 0.15 * t) + swing * wave(y * 1.6 + i * 0.37) * t
        thick = 0.045 * (1 - 0.65 * t)
        swell = 0.018 * np.maximum(wave(y * beads), 0)
        arm = np.maximum(np.abs(x - centre) - thick - swell, y - reach)
        plate.part(np.maximum(arm, -y - 0.1), ACCENT if i % 2 else SECOND, bulge=0.06, line=0.012)
    if form.proportion(5) > 0.45:
        frond = strand(x, y, [(0.0, 0.0), (0.06, 0.25), (-0.05, 0.5), (0.03, 0.72)], 0.14, 0.3)
        inside = plate.part(frond + 0.025 * wave(y * beads), LIGHT, bulge=0.12)
        plate.paint(plate.cover((saw(y * beads + x * 3) - 0.12) * 0.1) * inside, DARK)
