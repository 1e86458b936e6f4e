"""The scene: one image of one individual, with everything that is not its species.

Pose (place, scale, rotation, shear, tilt, bend), colours, the light's direction and fall-off, the
shadow, the ground, what lies in front, the lens. Every amount scales with `nuisance`.
"""

from dataclasses import dataclass

import numpy as np

from lookalike.demo.chance import Chance, cosine, sine
from lookalike.demo.fields import Field, coverage
from lookalike.demo.palettes import NUMBER, individual, palette
from lookalike.demo.plate import EXTENT, INKS


@dataclass(frozen=True)
class Canvas:
    """Coordinates of the pixel centres in [-1, 1], y pointing down; x is (1, S), y is (S, 1)."""

    size: int
    x: Field
    y: Field

    @classmethod
    def of(cls, size: int) -> "Canvas":
        """Lay the coordinates of a square image."""
        axis = (np.arange(size, dtype=np.float32) * 2 + 1) * np.float32(1 / size) - 1
        return cls(size, axis[None, :], axis[:, None])


def photograph(texture: np.ndarray, size: int, chance: Chance, nuisance: float) -> np.ndarray:
    """Take one image of a plate; return uint8 (size, size, 3)."""
    canvas = Canvas.of(size)
    colours = individual(chance, nuisance)
    turn = chance.signed(0.06) * nuisance
    pixels, figure = _pose(texture, canvas, chance, turn, nuisance)
    ground = _ground(canvas, chance, colours.background, nuisance)
    light = chance.signed(0.5) * min(1.0, nuisance) - 0.33
    lift = 0.055 + chance.signed(0.03) * min(1.0, nuisance)
    image = _lit(pixels, figure, ground, colours.inks, light, light - turn, lift)
    _occlude(image, canvas, chance, nuisance)
    _expose(image, canvas, chance, light, nuisance)
    image = _blur(image, chance, nuisance)
    return np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0).copy()


def _pose(
    texture: np.ndarray, canvas: Canvas, chance: Chance, turn: float, nuisance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Place the individual; return what `_sample` does."""
    scale = 0.98 * (1 - chance.uniform(0, 0.2) * nuisance)
    shift_x, shift_y = (chance.signed(0.6 * (1 - scale) + 0.04) * nuisance for _ in range(2))
    shear = chance.signed(0.12) * nuisance
    narrow = 1 + chance.uniform(0, 0.18) * nuisance
    tilt = chance.signed(0.1) * nuisance
    bend = chance.signed(0.09) * nuisance
    x, y = (canvas.x - shift_x) * (1 / scale), (canvas.y - shift_y) * (1 / scale)
    c, s = cosine(turn), sine(turn)
    u, v = c * x + s * y, c * y - s * x
    u, v = u * narrow + shear * v, v
    u, v = u * (1 + tilt * u), v + bend * u * u
    return _sample(texture, u, v)


def _sample(texture: np.ndarray, u: Field, v: Field) -> tuple[np.ndarray, np.ndarray]:
    """Look at the plate at figure coordinates, bilinearly, where there is anything to see.

    Return the pixels (row-major positions, shape (n,)) and what they show, shape (8, n).
    """
    resolution = texture.shape[0]
    scale = resolution / (2 * EXTENT)
    column = np.clip((u + EXTENT) * scale - 0.5, 0, resolution - 1.001).ravel()
    row = np.clip((v + EXTENT) * scale - 0.5, 0, resolution - 1.001).ravel()
    at = row.astype(np.int32) * resolution + column.astype(np.int32)
    opacity = texture[..., -1].ravel()
    seen = opacity > 0
    # A pixel between four samples sees the figure if any of the four does.
    beside = seen.copy()
    beside[:-1] |= seen[1:]
    near = beside.copy()
    near[:-resolution] |= beside[resolution:]
    pixels = np.flatnonzero(near[at])
    at, column, row = at[pixels], column[pixels], row[pixels]
    across, down = (column - np.floor(column))[:, None], (row - np.floor(row))[:, None]
    flat = texture.reshape(-1, texture.shape[2])
    upper = flat[at]
    upper += (flat[at + 1] - upper) * across
    at += resolution
    lower = flat[at]
    lower += (flat[at + 1] - lower) * across
    upper += (lower - upper) * down
    return pixels, np.ascontiguousarray(upper.T)


def _ground(canvas: Canvas, chance: Chance, colour: np.ndarray, nuisance: float) -> np.ndarray:
    """Paint the background: mottled, streaked or pebbled noise in shades of one colour."""
    kinds = ((4, 4, 11, 11), (3, 19, 5, 31), (23, 4, 37, 7), (9, 9, 26, 26))
    rows, columns, fine_rows, fine_columns = kinds[chance.integer(len(kinds))]
    coarse = _noise(canvas, chance, rows, columns)
    fine = _noise(canvas, chance, fine_rows, fine_columns)
    texture = (coarse * 0.16 + fine * 0.12) * nuisance
    other = palette(chance.integer(NUMBER)).background
    blend = np.clip(_noise(canvas, chance, 3, 3) * 0.8 * nuisance, 0, 0.6)
    planes = [(a + (b - a) * blend) * (1 + texture) for a, b in zip(colour, other, strict=True)]
    return np.ascontiguousarray(planes)


def _noise(canvas: Canvas, chance: Chance, rows: int, columns: int) -> Field:
    """Return value noise in [-1, 1] with about rows × columns bumps, the same at any size."""
    lattice = chance.lattice(rows + 2, columns + 2)
    top, down = _steps(canvas.y.ravel(), rows)
    left, across = _steps(canvas.x.ravel(), columns)
    tall = lattice[top] + (lattice[top + 1] - lattice[top]) * down[:, None]
    # take, unlike [:, left], leaves rows together in memory.
    first, second = tall.take(left, axis=1), tall.take(left + 1, axis=1)
    return first + (second - first) * across


def _steps(axis: Field, cells: int) -> tuple[np.ndarray, Field]:
    """Return the lattice cell of each coordinate and how far through it lies, smoothed."""
    at = (axis + 1) * np.float32(cells / 2)
    whole = at.astype(np.int32)
    t = at - whole.astype(np.float32)
    return whole, t * t * (3 - 2 * t)


def _lit(
    pixels: np.ndarray,
    figure: np.ndarray,
    ground: np.ndarray,
    inks: np.ndarray,
    light: float,
    leaning: float,
    lift: float,
) -> np.ndarray:
    """Colour the figure, light its relief, drop its shadow, lay it on the ground (in place)."""
    size = ground.shape[-1]
    slope_x, slope_y, opacity = figure[INKS], figure[INKS + 1], figure[INKS + 2]
    facing = slope_x * -cosine(leaning) - slope_y * sine(leaning)
    shade = 1 + 0.62 * facing
    gloss = np.clip(facing - 0.25, 0, 1) * 0.5
    shadow = np.zeros(size * size, np.float32)
    shadow[pixels] = opacity
    reach = lift * size / 2
    shadow = _shift(shadow.reshape(size, size), -cosine(light) * reach, -sine(light) * reach)
    ground *= 1 - 0.42 * shadow
    clear = 1 - opacity
    for band in range(3):
        colour = figure[0] * inks[0, band]
        for ink in range(1, INKS):
            colour += figure[ink] * inks[ink, band]
        plane = ground[band].reshape(-1)
        plane[pixels] = plane[pixels] * clear + colour * shade + gloss
    return ground


def _shift(plane: Field, right: float, down: float) -> Field:
    """Move a plane by any fraction of a pixel; what enters is empty."""
    for axis, by in ((1, right), (0, down)):
        whole = int(by // 1)
        rest = by - whole
        plane = _roll(plane, whole, axis) * (1 - rest) + _roll(plane, whole + 1, axis) * rest
    return plane


def _roll(plane: Field, by: int, axis: int) -> Field:
    moved = np.zeros_like(plane)
    size = plane.shape[axis]
    keep = max(0, size - abs(by))
    source, target = slice(max(0, -by), max(0, -by) + keep), slice(max(0, by), max(0, by) + keep)
    if axis:
        moved[:, target] = plane[:, source]
    else:
        moved[target] = plane[source]
    return moved


def _occlude(image: np.ndarray, canvas: Canvas, chance: Chance, nuisance: float) -> None:
    """Lay up to three blades of grass over the image."""
    for _ in range(3):
        present = chance.uniform() < 0.25 * nuisance
        turn, offset = chance.uniform(), chance.signed(0.85)
        bow, width = chance.signed(0.3), chance.uniform(0.025, 0.075)
        green = (chance.uniform(0.15, 0.6), chance.uniform(0.3, 0.65), chance.uniform(0.1, 0.35))
        if not present:
            continue
        c, s = cosine(turn), sine(turn)
        along, across = c * canvas.x + s * canvas.y, c * canvas.y - s * canvas.x
        side = across - offset - bow * along * along
        edge = np.abs(side) - width * np.clip(0.8 - 0.5 * along, 0.2, 1.2)
        blade = coverage(edge, 2 / canvas.size).ravel()
        pixels = np.flatnonzero(blade)
        blade, side = blade[pixels], side.ravel()[pixels]
        glint = 0.85 + 0.4 * np.clip(side * (1 / width), -1, 1)
        for band in range(3):
            plane = image[band].reshape(-1)
            plane[pixels] += (glint * green[band] - plane[pixels]) * blade


def _expose(
    image: np.ndarray, canvas: Canvas, chance: Chance, light: float, nuisance: float
) -> None:
    """Tint the light, let it fall off away from its source, and set the exposure."""
    fall = chance.uniform(0.0, 0.28) * nuisance
    exposure = 1 + chance.signed(0.14) * nuisance
    fade = (canvas.x * cosine(light) + canvas.y * sine(light)) * fall + exposure
    for band in range(3):
        image[band] *= fade * (1 + chance.signed(0.13) * nuisance)


def _blur(image: np.ndarray, chance: Chance, nuisance: float) -> np.ndarray:
    """Put some images out of focus: a tent of up to 1 % of the image, both ways."""
    soft, reach = chance.uniform() < 0.35 * nuisance, chance.uniform(0.003, 0.01)
    if not soft:
        return image
    reach *= image.shape[1]
    taps = int(reach) + 1
    weights = [max(0.0, 1 + reach - abs(i)) for i in range(-taps, taps + 1)]
    weights = [weight / sum(weights) for weight in weights]
    size = image.shape[1]
    padded = np.pad(image, ((0, 0), (taps, taps), (taps, taps)), mode="edge")
    rows = padded[:, :size] * weights[0]
    for i in range(1, 2 * taps + 1):
        rows += padded[:, i : i + size] * weights[i]
    blurred = rows[:, :, :size] * weights[0]
    for i in range(1, 2 * taps + 1):
        blurred += rows[:, :, i : i + size] * weights[i]
    return blurred
