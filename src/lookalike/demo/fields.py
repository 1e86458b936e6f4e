"""Signed distance fields: shapes as arrays that are negative inside and positive outside.

Only operations that IEEE 754 rounds exactly are used (+ - × ÷ √ floor min max), in float32, so the
same field comes out bit for bit on every machine; numpy's sin, exp and matrix products do not
promise that. Angles are in turns.
"""

import numpy as np

from lookalike.demo.chance import cosine, sine

Field = np.ndarray


def length(x: Field, y: Field) -> Field:
    """Return √(x² + y²)."""
    return np.sqrt(x * x + y * y)


def angle(x: Field, y: Field) -> Field:
    """Return the direction of (x, y) in turns, in [-½, ½], 0 along +x (error under 10⁻⁵ turns)."""
    ax, ay = np.abs(x), np.abs(y)
    low, high = np.minimum(ax, ay), np.maximum(ax, ay)
    t = low / (high + 1e-12)
    s = t * t
    # A least-squares polynomial of atan on [0, 1].
    turn = (
        t * (0.99986 + s * (-0.33030 + s * (0.18014 + s * (-0.08513 + s * 0.02084)))) * 0.159154943
    )
    turn = np.where(ay > ax, 0.25 - turn, turn)
    turn = np.where(x < 0, 0.5 - turn, turn)
    return np.where(y < 0, -turn, turn)


def rotate(x: Field, y: Field, turns: float) -> tuple[Field, Field]:
    """Return the coordinates in a frame turned by `turns`."""
    c, s = cosine(turns), sine(turns)
    return c * x + s * y, c * y - s * x


def wave(t: Field) -> Field:
    """Return a cosine-like wave of period 1: 1 at whole numbers, -1 half way."""
    ramp = np.abs(2 * (t - np.floor(t)) - 1)
    return ramp * ramp * (6 - 4 * ramp) - 1


def saw(t: Field) -> Field:
    """Return the distance from t to the nearest whole number plus ½: 0 at ½, ½ at whole numbers."""
    return np.abs(t - np.floor(t) - 0.5)


def ellipse(x: Field, y: Field, a: float, b: float) -> Field:
    """Return about the distance to an ellipse of half-axes a, b (exact on its edge)."""
    u, v = x / a, y / b
    k = length(u, v)
    return k * (k - 1) / (length(u / a, v / b) + 1e-6)


def capsule(
    x: Field,
    y: Field,
    start: tuple[float, float],
    end: tuple[float, float],
    radius: float,
    taper: float = 1.0,
) -> Field:
    """Return the distance to a line of thickness `radius`, at its end `radius · taper`."""
    px, py = x - start[0], y - start[1]
    dx, dy = end[0] - start[0], end[1] - start[1]
    t = np.clip((px * dx + py * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
    return length(px - t * dx, py - t * dy) - radius * (1 + (taper - 1) * t)


def strand(
    x: Field, y: Field, points: list[tuple[float, float]], radius: float, taper: float = 1.0
) -> Field:
    """Return the distance to a line through the points that thins to `radius · taper`."""
    steps = len(points) - 1
    field = None
    for i in range(steps):
        at = 1 + (taper - 1) * i / steps
        to = 1 + (taper - 1) * (i + 1) / steps
        piece = capsule(x, y, points[i], points[i + 1], radius * at, to / at)
        field = piece if field is None else np.minimum(field, piece)
    if field is None:
        raise ValueError(f"a strand needs two points, got {len(points)}")
    return field


def curl(
    start: tuple[float, float], heading: float, reach: float, bend: float, steps: int = 7
) -> list[tuple[float, float]]:
    """Return points of a curve that leaves `start` and turns more and more, `bend` turns in all."""
    points = [start]
    x, y = start
    for i in range(steps):
        turn = heading + bend * ((i + 0.5) / steps) * ((i + 0.5) / steps)
        x += cosine(turn) * reach / steps
        y += sine(turn) * reach / steps
        points.append((x, y))
    return points


def join(a: Field, b: Field, softness: float) -> Field:
    """Return the union of two shapes, its crease rounded over `softness` (a smooth minimum)."""
    h = np.maximum(softness - np.abs(a - b), 0) / softness
    return np.minimum(a, b) - h * h * (softness / 4)


def coverage(field: Field, width: float) -> Field:
    """Return how much of each sample of `width` the shape covers, in [0, 1]."""
    return np.clip(0.5 - field / width, 0, 1)
