"""Body plans of six legs: the moth and the beetle."""

import numpy as np

from lookalike.demo.fields import (
    angle,
    capsule,
    curl,
    ellipse,
    join,
    length,
    rotate,
    strand,
    wave,
)
from lookalike.demo.form import Form, count, span
from lookalike.demo.patterns import Patch, mark
from lookalike.demo.plate import ACCENT, BASE, DARK, LIGHT, SECOND, Plate

_LOWER = 0.08  # the beetle sits a little low, to leave room for its feelers


def moth(plate: Plate, form: Form) -> None:
    """Four wings spread, seen from above; species differ in the wings' hem and the antennae."""
    x, y = np.abs(plate.x), plate.y
    stretch = span(form.build(0), 0.95, 1.08)
    hem = count(form.detail(3), 5, 11)
    frill = span(form.detail(4), 0.008, 0.03)
    _antennae(plate, form)

    u, v = rotate(x - 0.05, y - 0.06, span(form.proportion(0), 0.11, 0.18))
    reach = span(form.proportion(1), 0.52, 0.66)
    turn, away = angle(u, v), length(u, v)
    wing = ellipse(u - reach * 0.52, v, reach * 0.58, span(form.proportion(2), 0.24, 0.34))
    if form.proportion(3) > 0.5:
        tail = span(form.proportion(4), 0.78, 0.98)
        wing = join(wing, capsule(x, y, (0.3, 0.5), (0.42, tail), 0.06, 0.6), 0.12)
    wing = wing + frill * wave(turn * hem * 2.2) * np.clip(away / reach, 0, 1)
    inside = plate.part(wing, SECOND, bulge=0.16)
    away = away / reach
    field = plate.cover(wing + 0.085) * plate.cover(0.3 - away) * inside
    mark(plate, form, Patch(field, away - 0.28, v * (1 / 0.3), reach * 1.5, 0.3))
    plate.paint(plate.cover((away - 0.34) * reach) * inside * 0.8, ACCENT)
    plate.paint(plate.cover(np.abs(wing + 0.075) - 0.014) * inside, DARK)
    beads = length(turn * 2 * hem - np.floor(turn * 2 * hem) - 0.5, (wing + 0.04) * 14)
    plate.paint(plate.cover((beads - 0.22) * 0.07) * inside, LIGHT)

    u, v = rotate(x - 0.05, y + 0.12, span(form.proportion(4), -0.12, -0.07))
    reach = span(form.proportion(5), 0.82, 0.96) * stretch
    turn, away = angle(u, v), length(u, v)
    broad = span(form.proportion(2), 0.26, 0.36)
    wing = ellipse(u - reach * 0.5, v - 0.02, reach * 0.52, broad)
    tip = ellipse(u - reach * 0.8, v + broad * 0.45, reach * 0.22, broad * 0.5)
    wing = join(wing, tip, 0.2) + frill * wave(turn * hem * 3) * np.clip(away / reach, 0, 1)
    inside = plate.part(wing, BASE, bulge=0.16)
    field = plate.cover(wing + 0.09) * inside
    mark(plate, form, Patch(field, u / reach, v / broad, reach, broad))
    plate.paint(plate.cover(np.abs(wing + 0.085) - 0.01) * inside, DARK)
    beads = length(turn * 3 * hem - np.floor(turn * 3 * hem) - 0.5, (wing + 0.045) * 12)
    plate.paint(plate.cover((beads - 0.24) * 0.07) * inside, ACCENT)

    stout = span(form.proportion(3), 0.055, 0.085)
    body = capsule(x, y, (0.0, -0.22), (0.0, 0.42), stout, 0.45)
    body = join(body, ellipse(x, y + 0.2, stout * 1.3, 0.15), 0.05)
    inside = plate.part(join(body, length(x, y + 0.42) - 0.07, 0.03), ACCENT, bulge=0.09)
    rings = plate.cover((np.abs(wave(y * count(form.detail(5), 6, 10))) - 0.4) * 0.06)
    plate.paint(rings * inside * plate.cover(0.0 - y), DARK)


def _antennae(plate: Plate, form: Form) -> None:
    bend = span(form.detail(5), -0.15, 0.75)
    points = curl((0.03, -0.44), -0.17, 0.62, bend, steps=9)
    line = strand(np.abs(plate.x), plate.y, points, 0.022, 0.7)
    club = length(np.abs(plate.x) - points[-1][0], plate.y - points[-1][1]) - 0.035
    plate.part(np.minimum(line, club), DARK, bulge=0.03, line=0.0)


def beetle(plate: Plate, form: Form) -> None:
    """Wing cases closed over the back; species differ in the legs' spines and the feelers."""
    x, y = np.abs(plate.x), plate.y - _LOWER
    wide = span(form.proportion(0), 0.38, 0.52)
    long = span(form.proportion(1), 0.56, 0.68) * span(form.build(0), 0.92, 1.05)
    middle = 0.24
    _legs(plate, form, wide)
    bend = span(form.detail(4), -0.55, 0.45)
    feeler = strand(x, y, curl((0.1, -0.76), -0.07, 0.42, bend), 0.024, 0.8)
    plate.part(feeler, DARK, bulge=0.03, line=0.0)

    jaw = span(form.proportion(2), 0.0, 0.26)
    if jaw > 0.08:
        horn = strand(x, y, curl((0.1, -0.78), -0.2, jaw, -0.25, steps=5), 0.05, 0.3)
        plate.part(horn, SECOND, bulge=0.05)
    plate.part(ellipse(x, y + 0.72, 0.2, 0.15), SECOND, bulge=0.14)
    plate.part(length(x - 0.16, y + 0.76) - 0.045, LIGHT, bulge=0.05)
    collar = span(form.proportion(3), 0.78, 1.0) * wide
    inside = plate.part(
        join(ellipse(x, y + 0.46, collar, 0.2), ellipse(x, y + 0.4, collar * 0.9, 0.16), 0.1),
        SECOND,
        bulge=0.2,
    )
    dots = count(form.detail(3), 1, 5)
    across = plate.x / collar * dots / 1.5 + 0.5 * dots
    spot = length((across - np.floor(across) - 0.5) * collar * 1.5 / dots, y + 0.46)
    within = plate.cover(x - collar * 0.75)
    plate.paint(plate.cover(spot - min(0.05, 0.4 * collar / dots)) * inside * within, LIGHT)

    point = span(form.proportion(4), 0.0, 0.14)
    case = ellipse(x, y - middle, wide, long) + point * np.clip(y - 0.45, 0, 1)
    case = np.maximum(case, -(y + 0.34))
    inside = plate.part(case, BASE, bulge=0.34)
    field = plate.cover(case + 0.05) * inside
    mark(
        plate,
        form,
        Patch(field, (y + 0.34) / (long + middle + 0.34), x / wide * 2 - 1, long * 2, wide / 2),
    )
    seam = plate.cover(x - 0.012) * inside
    plate.paint(seam, DARK)
    plate.engrave(plate.cover(x - 0.02) * inside, 0.04)
    rim = plate.cover(np.abs(case + 0.035) - 0.008) * inside
    plate.paint(rim, ACCENT)


def _legs(plate: Plate, form: Form, wide: float) -> None:
    x, y = np.abs(plate.x), plate.y - _LOWER
    spines = count(form.detail(5), 0, 4)
    for foot, (root, knee, end) in enumerate(
        (
            (-0.45, (wide + 0.16, -0.62), (wide + 0.24, -0.86)),
            (-0.05, (wide + 0.26, 0.02), (wide + 0.38, 0.24)),
            (0.35, (wide + 0.2, 0.52), (wide + 0.24, 0.88)),
        )
    ):
        leg = strand(x, y, [(wide * 0.6, root), knee, end], 0.042, 0.45)
        for i in range(spines):
            t = (i + 0.8) / (spines + 0.6)
            at = (knee[0] + (end[0] - knee[0]) * t, knee[1] + (end[1] - knee[1]) * t)
            lift = -0.05 if foot == 0 else 0.05
            leg = np.minimum(leg, capsule(x, y, at, (at[0] + 0.085, at[1] - lift), 0.016, 0.5))
        plate.part(leg, DARK, bulge=0.04, line=0.0)
