"""Chance without surprises: the same numbers on every machine, numpy version and platform.

Everything the images owe to chance comes from SplitMix64 (Steele, Lea and Flood, 2014), an
integer hash, not from `numpy.random`, whose distributions may change between versions.
"""

import math

import numpy as np

_MASK = 0xFFFFFFFFFFFFFFFF
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def mix(*keys: int) -> int:
    """Hash whole numbers into 64 bits; the order of the keys counts."""
    state = 0
    for key in keys:
        state = (state ^ (key & _MASK)) + _GOLDEN & _MASK
        state = (state ^ state >> 30) * _FIRST & _MASK
        state = (state ^ state >> 27) * _SECOND & _MASK
        state ^= state >> 31
    return state


def fraction(*keys: int) -> float:
    """Hash whole numbers into [0, 1), a multiple of 2⁻⁵³."""
    return (mix(*keys) >> 11) * 2.0**-53


class Chance:
    """A stream of random numbers that depends on its keys alone."""

    def __init__(self, *keys: int) -> None:
        self.key = mix(*keys)
        self.drawn = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return the next number of [low, high)."""
        self.drawn += 1
        return low + (high - low) * fraction(self.key, self.drawn)

    def signed(self, reach: float) -> float:
        """Return the next number of [-reach, reach)."""
        return self.uniform(-reach, reach)

    def integer(self, count: int) -> int:
        """Return the next of 0 … count - 1."""
        return int(self.uniform(0, count))

    def lattice(self, rows: int, columns: int) -> np.ndarray:
        """Return a (rows, columns) float32 array of numbers of [-1, 1)."""
        self.drawn += 1
        state = np.arange(1, rows * columns + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        state += np.uint64(mix(self.key, self.drawn))
        state = (state ^ state >> np.uint64(30)) * np.uint64(_FIRST)
        state = (state ^ state >> np.uint64(27)) * np.uint64(_SECOND)
        state ^= state >> np.uint64(31)
        # 24 bits fit a float32 exactly.
        whole = (state >> np.uint64(40)).astype(np.float32)
        return (whole * np.float32(2.0**-23) - np.float32(1)).reshape(rows, columns)


def cosine(turns: float) -> float:
    """Return cos(2π·turns), rounded to 2⁻³⁰ so that C libraries agree on every bit."""
    return round(math.cos(2 * math.pi * turns) * 2**30) / 2**30


def sine(turns: float) -> float:
    """Return sin(2π·turns), rounded like `cosine`."""
    return cosine(turns - 0.25)
