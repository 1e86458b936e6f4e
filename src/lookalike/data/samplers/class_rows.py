"""Rows grouped by class, and orders in which classes take turns."""

from __future__ import annotations

import numpy as np

from lookalike.data.samplers.base import draws
from lookalike.errors import ConfigError, DataError, counted


class ClassRows:
    """Rows grouped by class, in one flat array."""

    def __init__(self, labels: np.ndarray, singletons: str, rows: np.ndarray | None = None) -> None:
        numbers = np.arange(len(labels)) if rows is None else rows
        known = labels >= 0
        if not known.any():
            raise DataError("sampler: no image has a label; -1 marks a distractor")
        values, inverse, sizes = np.unique(labels[known], return_inverse=True, return_counts=True)
        self.single = int((sizes == 1).sum())
        self.singletons = singletons
        if singletons not in ("repeat", "drop", "refuse"):
            raise ConfigError(
                f"sampler.singletons: '{singletons}'; give 'repeat', 'drop' or 'refuse'"
            )
        if self.single and singletons == "refuse":
            raise DataError(
                f"sampler: {self.single:,} of {counted(len(values), 'class', 'classes')}"
                f" {'has' if self.single == 1 else 'have'} one image, which nothing can match;"
                " add images, or set sampler.singletons to 'drop' or 'repeat'"
            )
        kept = sizes > 1 if singletons == "drop" else np.ones(len(values), bool)
        if not kept.any():
            raise DataError(
                f"sampler: of {counted(len(values), 'class', 'classes')} none has more than one"
                " image; none is left"
            )
        order = np.argsort(inverse, kind="stable")
        order = order[kept[inverse[order]]]
        self.flat = numbers[known][order]
        self.sizes = sizes[kept]
        self.starts = np.cumsum(self.sizes) - self.sizes

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def total(self) -> int:
        """How many rows there are."""
        return len(self.flat)

    def rows(self, number: int) -> np.ndarray:
        """The rows of one class, by its place."""
        return self.flat[self.starts[number] :][: self.sizes[number]]

    def shuffled(self, rng: np.random.Generator) -> ClassRows:
        """The same classes, each with its rows in random order."""
        other = object.__new__(ClassRows)
        other.__dict__.update(self.__dict__)
        owner = np.repeat(np.arange(len(self)), self.sizes)
        other.flat = self.flat[np.lexsort((rng.random(self.total), owner))]
        return other

    def deal(self, order: np.ndarray, m: int) -> np.ndarray:
        """m rows for each turn in ``order``, every class going round its own rows."""
        turn = draws([order])[0]
        place = turn[:, None] * m + np.arange(m)
        sizes = self.sizes[order][:, None]
        return self.flat[self.starts[order][:, None] + place % sizes].ravel()

    def notes(self, m: int) -> list[str]:
        """What was done about small classes, counted."""
        notes = []
        small = int(((self.sizes < m) & (self.sizes > 1)).sum())
        if small:
            verbs = "has {0} and repeats" if small == 1 else "have {0} and repeat"
            words = verbs.format(f"2 to {counted(m - 1, 'image')}")
            notes.append(f"{counted(small, 'class', 'classes')} {words} them")
        if self.single:
            done = "left out" if self.singletons == "drop" else f"repeated {counted(m, 'time')}"
            verb = "has" if self.single == 1 else "have"
            classes = counted(self.single, "class", "classes")
            notes.append(f"{classes} {verb} one image, {done}")
        return notes


def class_passes(rng: np.random.Generator, count: int, per_batch: int, length: int) -> np.ndarray:
    """Random orders of all classes end to end, without a class twice in a batch."""
    order = np.empty(length + count, np.int64)
    done = 0
    while done < length:
        following = rng.permutation(count)
        open_batch = order[done // per_batch * per_batch : done]
        if len(open_batch):
            clash = np.isin(following, open_batch)
            ahead = np.flatnonzero(~clash)[: per_batch - len(open_batch)]
            following = np.concatenate([following[ahead], np.delete(following, ahead)])
        order[done : done + count] = following
        done += count
    return order[:length]
