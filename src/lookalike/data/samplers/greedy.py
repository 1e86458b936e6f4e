"""The batch builder that the papers published: first classes first, until they are used up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from lookalike.data.samplers.base import BatchSampler, check_m, label_column, rows_by_class
from lookalike.errors import ConfigError, counted


class GreedyMPerClassSampler(BatchSampler):
    """m images per class as Smooth-AP, ROADMAP, HAPPIER, SupRank and PSS build their batches.

    Classes are shuffled once an epoch; each batch scans them in that order and takes m unused
    images of every class that still has them, until it is full; the epoch ends with the first
    batch that cannot be filled. Early classes are used up first, so neighbouring batches hold the
    same classes, classes of fewer than m images never come, and a seventh to a quarter of the
    images stays unused: take it to reproduce published numbers.

    How many batches that gives varies a little with the draw. Here every epoch has as many as
    epoch 0, so that schedules and progress count what there is: later epochs are cut, or go on
    with a fresh pass. But for that, no image comes twice in an epoch.

    Args:
        labels: int64 ``(N,)``, or ``(N, L)`` with ``level``; −1 is left out.
        m: images per class.
        batch_size: images of a global batch; a multiple of m.
        seed: of all draws (Python's generator; epoch 0 is bit-equal to Smooth-AP's under it).
        level: label column to balance.
        reduce_per_class: use at most this many images of a class in an epoch, drawn anew each
            epoch (SupRank on GLDv2: 8).
        rank: this process's number.
        world: how many processes there are.

    Raises:
        ConfigError: batch size no multiple of m or of the processes, or too few classes of m
            images for a batch.

    Relations:
        `MPerClassSampler` gives every class its turn.
    """

    def __init__(
        self,
        labels: Any,
        m: int = 4,
        batch_size: int = 128,
        seed: int = 0,
        *,
        level: int = 0,
        reduce_per_class: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, rank, world)
        check_m(m, batch_size)
        if reduce_per_class is not None and reduce_per_class < m:
            raise ConfigError(f"sampler.reduce_per_class: {reduce_per_class} is below m={m}")
        self.m, self.level, self.reduce_per_class = m, level, reduce_per_class
        column = label_column(labels, level)
        self.classes = rows_by_class(column)
        large = sum(len(rows) >= m for rows in self.classes)
        if large * m < batch_size:
            raise ConfigError(
                f"sampler: a batch of {batch_size} with m={m} needs"
                f" {counted(batch_size // m, 'class', 'classes')} of at"
                f" least {counted(m, 'image')}, but there are {large}; lower batch_size or m"
            )
        self.batches = len(self._pass(random.Random(seed)))
        unused = sum(len(rows) for rows in self.classes) - self.batches * batch_size
        batches = counted(self.batches, "batch", "batches")
        fewer = counted(len(self.classes) - large, "class has", "classes have")
        come = "comes" if len(self.classes) - large == 1 else "come"
        self.notes = (
            f"{batches} an epoch, {counted(batch_size // m, 'class', 'classes')} ×"
            f" {counted(m, 'image')};"
            f" {counted(unused, 'image')} unused",
            *([f"{fewer} fewer than {counted(m, 'image')} and never {come}"]
              if large < len(self.classes) else []),
        )  # fmt: skip

    def __len__(self) -> int:
        return self.batches

    def plan(self, epoch: int) -> list[np.ndarray]:
        """Row numbers of each batch."""
        rng = random.Random(self.seed if epoch == 0 else f"{self.seed}/{epoch}")
        batches = self._pass(rng)
        while len(batches) < self.batches:
            batches += self._pass(rng)
        return [np.array(batch) for batch in batches[: self.batches]]

    def _pass(self, rng: random.Random) -> list[list[int]]:
        classes = [rows.tolist() for rows in self.classes]
        return greedy_batches(classes, self.m, self.batch_size, rng, self.reduce_per_class)


def greedy_batches(
    classes: Sequence[list[int]],
    m: int,
    batch_size: int,
    rng: random.Random,
    limit: int | None = None,
) -> list[list[int]]:
    """One epoch of batches from the rows of each class, which are shuffled in place.

    Args:
        classes: rows of each class.
        m: rows per class and batch.
        batch_size: rows of a batch.
        rng: first shuffles every class in turn, then the classes, then the batches.
        limit: use at most this many rows of a class.
    """
    for rows in classes:
        rng.shuffle(rows)
    order = list(range(len(classes)))
    rng.shuffle(order)
    free = [len(rows) if limit is None else min(limit, len(rows)) for rows in classes]
    taken = [0] * len(classes)
    order = [c for c in order if free[c] >= m]
    groups = batch_size // m
    batches = []
    while len(order) >= groups:
        batch: list[int] = []
        for c in order[:groups]:
            batch += classes[c][taken[c] : taken[c] + m]
            taken[c] += m
        # Classes that are used up leave the scan, which would else cost its square.
        order = [c for c in order[:groups] if free[c] - taken[c] >= m] + order[groups:]
        batches.append(batch)
    rng.shuffle(batches)
    return batches
