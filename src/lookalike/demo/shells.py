"""Body plans of the shore: the ammonite and the scallop."""

import math

import numpy as np

from lookalike.demo.chance import sine
from lookalike.demo.fields import angle, ellipse, join, length, rotate, saw, wave
from lookalike.demo.form import Form, count, span
from lookalike.demo.patterns import Patch, mark
from lookalike.demo.plate import ACCENT, BASE, DARK, LIGHT, SECOND, Plate


def ammonite(plate: Plate, form: Form) -> None:
    """A coiled shell: whorls s = w·√r − θ; species differ in ribs and the beads of the keel."""
    whorls = span(form.proportion(0), 2.6, 4.2) * span(form.build(0), 0.95, 1.05)
    end = whorls * 0.95 - 0.9
    # Turned so that the mouth of every shell opens at the same place.
    x, y = rotate(plate.x + 0.02, plate.y - 0.04, 0.3 - end)
    turn = angle(x, y)
    turn = turn - np.floor(turn)
    radius = length(x, y)
    coil = whorls * np.sqrt(radius) - turn
    along = np.floor(coil) + turn
    across = coil - np.floor(coil)
    ribs = count(form.detail(3), 9, 17)
    bumps = span(form.proportion(1), 0.0, 0.08)
    # The distance to the end of the coil, then to its outer edge, both in figure units.
    breadth = 2 * np.sqrt(radius) / whorls
    inner = whorls * np.sqrt(radius) - turn - math.floor(end)
    limit = (turn < end - math.floor(end)).astype(np.float32)
    outside = (inner - limit) * breadth * 0.9 + bumps * (0.5 + 0.5 * wave(along * ribs))
    lip = ellipse(x, y, 1.0, 1.0)
    shell = np.maximum(outside, lip - 0.08)
    inside = plate.part(shell, BASE, bulge=0.1)
    dome = 4 * across * (1 - across)
    plate.relief = plate.relief * 0.4 + inside * np.sqrt(np.clip(dome, 0, 1)) * breadth * 0.38
    v = 2 * across - 1
    grown = np.clip(along / (end + 0.2), 0, 1)
    mark(plate, form, Patch(inside, grown, v, 2.6, 0.2))
    ridge = np.maximum(wave(along * ribs + 0.25 * v * v), 0)
    plate.relief += inside * ridge * breadth * span(form.detail(4), 0.04, 0.1)
    fine = plate.cover((saw(along * ribs + 0.5 + 0.25 * v * v) - 0.1) * breadth * 0.8)
    plate.paint(fine * inside * plate.cover((np.abs(v) - 0.75) * 0.1), ACCENT)
    plate.paint(plate.cover((np.minimum(across, 1 - across) - 0.07) * breadth) * inside, DARK)
    keel = count(form.detail(5), 0, 2)
    if keel:
        beads = length(
            (along * ribs * keel - np.floor(along * ribs * keel) - 0.5) * 0.12,
            (across - 0.84) * breadth,
        )
        plate.paint(plate.cover(beads - 0.022) * inside, LIGHT)
    plate.part(radius - 0.05, SECOND, bulge=0.06)


def scallop(plate: Plate, form: Form) -> None:
    """A fan of ribs; species differ in their number, growth lines and the teeth of the rim."""
    open_ = span(form.proportion(0), 0.12, 0.19) * span(form.build(0), 0.96, 1.04)
    reach = min(span(form.proportion(1), 1.25, 1.6), 0.98 / sine(open_))
    x, y = plate.x, plate.y - 0.5 * reach - 0.02
    turn = angle(-y, x)
    away = length(x, y)
    ribs = count(form.detail(3), 7, 15)
    t = turn / open_
    teeth = span(form.detail(4), 0.02, 0.06)
    bow = span(form.proportion(2), 0.05, 0.3)
    edge = reach * (1 - bow * t * t) + teeth * (0.5 + 0.5 * wave(t * ribs / 2))

    ear = span(form.proportion(3), 0.24, 0.42)
    wings = np.maximum(np.abs(x) - ear, np.abs(y + 0.1) - 0.13)
    plate.part(wings, SECOND, bulge=0.12)
    plate.paint(plate.cover((saw(x * 16) - 0.14) * 0.06) * plate.cover(wings + 0.03), DARK)
    fan = np.maximum((np.abs(turn) - open_) * 5.0 * np.maximum(away, 0.1), away - edge)
    fan = join(fan, length(x, y + 0.08) - 0.12, 0.1)
    inside = plate.part(fan, BASE, bulge=0.34)
    field = plate.cover(fan + 0.05) * inside
    mark(plate, form, Patch(field, np.clip(away / reach, 0, 1), t, reach, 0.6))
    groove = plate.cover((saw(t * ribs / 2) - 0.09) * away * open_ * 12 / ribs)
    plate.paint(groove * inside, DARK)
    plate.relief += inside * wave(t * ribs / 2) * away * 0.035
    lines = count(form.detail(5), 2, 5)
    growth = plate.cover((saw(np.clip(away / edge, 0, 1) * lines) - 0.05) * reach / lines)
    plate.paint(growth * inside * 0.8, ACCENT)
    plate.paint(plate.cover(away - 0.16) * inside, LIGHT)
