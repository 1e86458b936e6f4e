"""Memory that tile after tile writes anew."""

from __future__ import annotations

import numpy as np


class Scratch:
    """Arrays of int64 taken by name, again and again.

    An array of some megabytes goes back to the system when it is dropped, and the next one is
    cleared page by page before it is written: for the lists of a tile's relevant items that is a
    tenth of an evaluation. What was taken under a name holds until the name is taken again.

    >>> scratch = Scratch()
    >>> first = scratch.take("ranks", 4)
    >>> np.shares_memory(first, scratch.take("ranks", 3)), len(scratch.take("ranks", 8))
    (True, 8)
    """

    def __init__(self) -> None:
        self._held: dict[str, np.ndarray] = {}

    def take(self, name: str, size: int) -> np.ndarray:
        """``(size,)`` int64, not set."""
        held = self._held.get(name)
        if held is None or len(held) < size:
            # Tiles differ a little: with an eighth to spare, few find it too small.
            held = self._held[name] = np.empty(size + size // 8, np.int64)
        return held[:size]
