"""Body plans that stand still: the blossom and the leaf."""

import numpy as np

from lookalike.demo.fields import angle, capsule, length, saw, wave
from lookalike.demo.form import Form, count, span
from lookalike.demo.patterns import Patch, mark
from lookalike.demo.plate import ACCENT, BASE, DARK, LIGHT, SECOND, Plate


def blossom(plate: Plate, form: Form) -> None:
    """Two whorls of petals; species differ in the petals' teeth and the stamens."""
    petals = 4 + (form.genus + count(form.build(0), 0, 4)) % 5
    teeth = count(form.detail(3), 3, 7)
    depth = span(form.detail(4), 0.01, 0.04)
    fat = span(form.proportion(1), 0.3, 0.7)
    point = span(form.proportion(2), -0.18, 0.24)
    under = span(form.proportion(3), 0.82, 0.95)
    _whorl(plate, form, petals, under, fat, point, 0.5, (teeth, depth), SECOND)
    _whorl(
        plate,
        form,
        petals,
        under * span(form.proportion(4), 0.68, 0.9),
        fat,
        point,
        0.0,
        (teeth, depth),
        BASE,
    )

    x, y = plate.x, plate.y
    away, turn = length(x, y), angle(x, y)
    eye = span(form.proportion(5), 0.17, 0.25)
    inside = plate.part(away - eye, ACCENT, bulge=0.14)
    stamens = count(form.detail(5), 6, 14)
    t = turn * stamens
    dot = length((t - np.floor(t) - 0.5) * 6.28 * eye * 0.68 / stamens, away - eye * 0.68)
    plate.paint(plate.cover(dot - 0.028) * inside, DARK)
    plate.part(away - eye * 0.36, LIGHT, bulge=0.08)


def _whorl(
    plate: Plate,
    form: Form,
    petals: int,
    reach: float,
    fat: float,
    point: float,
    shift: float,
    hem: tuple[int, float],
    ink: int,
) -> None:
    x, y = plate.x, plate.y
    away = length(x, y)
    t = angle(x, y) * petals + shift
    v = 2 * (t - np.floor(t)) - 1
    tip = 1 - v * v
    edge = reach * (1 - fat + fat * np.sqrt(tip) + point * np.abs(v) * (np.abs(v) - 0.6))
    edge = edge + hem[1] * wave(v * hem[0]) * tip
    field = (away - edge) * 0.72
    inside = plate.part(field, ink, bulge=0.22)
    plate.paint(plate.cover((1 - np.abs(v)) * away * 3.1 / petals - 0.012) * inside, DARK)
    plate.relief += inside * tip * 0.1
    plate.paint(plate.cover((np.abs(v) - 0.05) * away * 3.1 / petals - 0.004) * inside, DARK)
    if ink == BASE:
        half = 0.5 * reach * 3.1 / petals
        mark(plate, form, Patch(plate.cover(field + 0.04) * inside, away / reach, v, reach, half))


def leaf(plate: Plate, form: Form) -> None:
    """Blade, midrib and veins; species differ in the veins and the teeth of the edge."""
    x, y = plate.x, plate.y
    x = x - 0.1 * (y * y - 0.3) * (1 if form.proportion(5) > 0.5 else -1)
    top, base = -0.95, 0.68
    u = np.clip((base - y) / (base - top), 0, 1)
    wide = span(form.proportion(0), 0.4, 0.66) * span(form.build(0), 0.95, 1.05)
    round_ = form.proportion(1)
    teeth = count(form.detail(3), 6, 13)
    bite = span(form.detail(4), 0.02, 0.06)
    lobes = count(form.proportion(2), 0, 3)
    oval = 2 * np.sqrt(np.clip(u * (1 - u), 0, 1))
    pointed = 2.6 * np.sqrt(u) * (1 - u)
    half = wide * (oval * round_ + pointed * (1 - round_))
    if lobes:
        depth = span(form.proportion(3), 0.12, 0.3)
        half = half * (1 - depth * (0.5 + 0.5 * wave(u * (lobes + 1))))
    t = u * teeth + 0.8 * np.abs(x)
    ragged = half + bite * (t - np.floor(t) - 0.4) * np.clip(half * 6, 0, 1)
    stalk = capsule(x, y, (0.0, base - 0.1), (0.02, 1.02), 0.035, 0.7)
    plate.part(stalk, SECOND, bulge=0.04)
    blade = np.maximum(np.abs(x) - ragged, np.maximum(top - y, y - base)) * 0.8
    inside = plate.part(blade, BASE, bulge=0.2)
    field = plate.cover(blade + 0.04) * inside
    broad = np.maximum(ragged, 0.05)
    mark(plate, form, Patch(field, u, np.abs(x) / broad * 2 - 1, 1.5, wide / 2))
    veins = count(form.detail(5), 4, 9)
    slope = span(form.proportion(4), 0.25, 0.7)
    t = u * veins - np.abs(x) * veins * slope / 1.6
    thin = plate.cover((saw(t) * 1.5 / veins) - 0.011) * inside
    plate.paint(thin, LIGHT)
    plate.engrave(thin, 0.02)
    plate.paint(plate.cover(np.abs(x) - 0.026 * (1.2 - u)) * inside, ACCENT)
    plate.relief += inside * np.clip(np.abs(x) / broad, 0, 1) * 0.06
