"""How much the kernels work on at a time: what fits a CPU's cache, or a card's memory.

A CPU is fast while a chunk stays in its cache. A GPU is fast while it is never waiting: each
operation should have millions of numbers to work on, so that starting it (some microseconds) and
asking for a result (some tens) cost little beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

_GIB = 1 << 30


@dataclass(frozen=True)
class Sizes:
    """Bytes and numbers of one piece of work.

    Attributes:
        resident: bytes of the largest score matrix that is kept whole.
        chunk: bytes of scores ranked at a time, and computed at a time where they stream.
        table: numbers in the ``P × P`` tables of one group of rows.
        entries: positives of one group where no table of their pairs is made, but some dozen arrays
            with a number for each.
        padding: the share of a group's positives that may be padding.
        group: bytes of a group of rows whose points are sorted onto lines.
        tile: bytes of a tile of differences between scores and pivots.
        block: side of the squares in which a matrix meets its transpose.
    """

    resident: int
    chunk: int
    table: int
    entries: int
    padding: float
    group: int
    tile: int
    block: int


# Scores of a chunk, a table and a group should stay in the last-level cache, a tile in a core's.
CPU = Sizes(
    resident=256 << 20,
    chunk=8 << 20,
    table=1 << 22,
    entries=1 << 17,
    padding=0.0,
    group=8 << 20,
    tile=1 << 20,
    block=512,
)


def of_memory(memory: int) -> Sizes:
    """For a device with so many bytes of its own: shares of them, up to where more gains nothing.

    >>> of_memory(80 << 30).resident >> 20, of_memory(8 << 30).resident >> 20
    (4096, 512)
    """
    chunk = min(_GIB, memory // 64)
    return Sizes(
        resident=min(4 * _GIB, memory // 16),
        chunk=chunk,
        table=chunk // 16,
        entries=chunk // 128,
        padding=0.3,  # to take rows apart copies their scores twice
        group=2 * chunk,
        tile=chunk // 4,
        block=8192,
    )


def sizes(device: torch.device) -> Sizes:
    """What fits a device.

    >>> sizes(torch.device("cpu")).resident >> 20
    256
    """
    return _sizes(device.type, device.index)


@cache
def _sizes(kind: str, index: int | None) -> Sizes:
    if kind == "cpu":
        return CPU
    if kind == "cuda":
        # Of all memory, not of what is free: the same run must be cut into the same pieces.
        return of_memory(torch.cuda.get_device_properties(index).total_memory)
    return of_memory(16 * _GIB)
