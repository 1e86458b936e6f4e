"""What an evaluation is going to take, said before it takes it."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.errors import counted


@dataclass(frozen=True)
class Outlook:
    """Time and memory of a pass, from its first few queries.

    Attributes:
        queries: those still to be ranked by this process.
        items: size of the gallery.
        tile: queries ranked together.
        nbytes: what the pass holds beside the vectors.
        seconds: how long it is going to take.
        done: queries that an earlier, killed evaluation had ranked.

    >>> print(Outlook(1_000_000, 1_000_000, 128, 2_100_000_000, 8000.0))
    1,000,000 queries against 1,000,000 items: about 2 h 13 min, 2.1 GB beside the vectors, tiles \
of 128 queries
    """

    queries: int
    items: int
    tile: int
    nbytes: int
    seconds: float
    done: int = 0

    def __str__(self) -> str:
        before = f"; {self.done:,} were ranked before" if self.done else ""
        return (
            f"{counted(self.queries, 'query', 'queries')} against {counted(self.items, 'item')}: "
            f"about {_duration(self.seconds)}, {_size(self.nbytes)} beside the vectors, "
            f"tiles of {counted(self.tile, 'query', 'queries')}{before}"
        )


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 1:
        return "a second"
    if whole < 120:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _size(nbytes: float) -> str:
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.0f} MB"
