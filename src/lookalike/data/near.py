"""Images that are nearly the same: resized, re-encoded or slightly changed copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.fft import dctn

# Pairs compared at a time: 16 million take 128 MiB.
_BLOCK = 1 << 24


def perceptual_hash(pixels: np.ndarray) -> tuple[int, np.ndarray]:
    """A 64-bit hash that small changes hardly move, and a small grey image to confirm with.

    The hash tells for each of the 64 lowest frequencies of the grey image at 32×32 (its discrete
    cosine transform) whether it is above their median.

    Args:
        pixels: uint8 ``(H, W, 3)``.

    Returns:
        The hash, and uint8 ``(16, 16)``.
    """
    grey = Image.fromarray(pixels).convert("L")
    small = np.asarray(grey.resize((32, 32), Image.Resampling.BOX), np.float64)
    low = np.asarray(dctn(small, norm="ortho"))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    value = int.from_bytes(np.packbits(bits).tobytes(), "big")
    thumbnail = small.reshape(16, 2, 16, 2).mean(axis=(1, 3)).round().astype(np.uint8)
    return value, thumbnail


def near_pairs(
    one: Sequence[int],
    other: Sequence[int],
    thumbnails_one: np.ndarray,
    thumbnails_other: np.ndarray,
    *,
    distance: int = 10,
    correlation: float = 0.95,
) -> list[tuple[int, int]]:
    """Pairs across two sets whose hashes differ in few bits and whose small images agree.

    Every pair is compared: 60,000 × 60,000 take some ten seconds.

    Args:
        one: hashes of the first set, ``(M,)``.
        other: hashes of the second set, ``(N,)``.
        thumbnails_one: uint8 ``(M, 16, 16)``.
        thumbnails_other: uint8 ``(N, 16, 16)``.
        distance: bits that may differ.
        correlation: of the small images, at least.

    Returns:
        Positions in the first and in the second set. Images of one flat grey match nothing.
    """
    a, b = np.asarray(one, np.uint64), np.asarray(other, np.uint64)
    if not len(a) or not len(b):
        return []
    rows = max(1, _BLOCK // len(b))
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(a), rows):
        differing = np.bitwise_count(a[start : start + rows, None] ^ b)
        i, j = np.nonzero(differing <= distance)
        agree = _correlation(thumbnails_one[start + i], thumbnails_other[j]) >= correlation
        pairs += zip((start + i[agree]).tolist(), j[agree].tolist(), strict=True)
    return pairs


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    a, b = (t.reshape(len(t), 256).astype(np.float64) for t in (one, other))
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    size = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    flat = np.minimum(a.std(axis=1), b.std(axis=1)) < 2
    return np.where(flat, 0.0, (a * b).sum(axis=1) / np.maximum(size, 1e-12))
