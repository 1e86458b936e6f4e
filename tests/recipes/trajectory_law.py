"""Images, labels and first weights of the recorded trainings, from numpy's legacy generator alone.

``tests/golden/trajectories/README.md`` says which record uses which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

CLASSES, PER_CLASS = 12, 8
VIEW_CLASSES = 4


def images(seed: int, size: int) -> np.ndarray:
    """uint8 ``(96, 3, size, size)``: a coarse pattern a class, one an image, and noise."""
    draw = np.random.RandomState(seed)
    pattern = draw.randint(0, 256, (CLASSES, 3, 4, 4)).repeat(PER_CLASS, axis=0)
    own = draw.randint(-60, 61, (CLASSES * PER_CLASS, 3, 4, 4))
    large = enlarged(np.clip(pattern + own, 0, 255), size)
    noise = draw.randint(-20, 21, (len(large), 1, size, size))
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def first_weights(
    seed: int, shapes: Iterable[tuple[str, tuple[int, ...]]]
) -> dict[str, np.ndarray]:
    """Weights by name, drawn in the order given, each exactly a float32."""
    draw = np.random.RandomState(seed)
    return {
        name: _scaled(name, draw.standard_normal(shape)).astype(np.float32).astype(np.float64)
        for name, shape in shapes
    }


def _scaled(name: str, z: np.ndarray) -> np.ndarray:
    if name.endswith("running_var"):
        return 1.0 + 0.2 * np.abs(z)
    if name == "pool.p":
        return 3.0 + 0.0 * z
    if name == "proxies":
        return z / np.sqrt(z.shape[1])
    if name in ("cls_token", "pos_embed"):
        return 0.2 * z
    if z.ndim > 1:
        return z * np.sqrt(1.5 / np.prod(z.shape[1:]))
    return 1.0 + 0.1 * z if name.endswith("weight") else 0.1 * z


def view(seed: int, labels: Sequence[int] | np.ndarray, *sizes: int) -> list[np.ndarray]:
    """uint8 ``(n, 3, size, size)`` of the same images for each size, drawn in that order."""
    base = np.random.RandomState(0).randint(0, 256, (VIEW_CLASSES, 3, 4, 4))
    draw = np.random.RandomState(seed)
    small = (3 * base[np.asarray(labels)] + 2 * draw.randint(0, 256, (len(labels), 3, 4, 4))) // 5
    found = []
    for size in sizes:
        noise = draw.randint(-15, 16, (len(small), 3, size, size))
        found.append(np.clip(enlarged(small, size) + noise, 0, 255).astype(np.uint8))
    return found


def enlarged(small: np.ndarray, size: int) -> np.ndarray:
    """Every place of a 4 × 4 pattern as a square of pixels."""
    side = size // small.shape[-1]
    return small.repeat(side, axis=2).repeat(side, axis=3)
