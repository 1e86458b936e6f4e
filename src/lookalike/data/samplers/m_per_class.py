"""m images of each class of a batch."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lookalike.data.samplers.base import BatchSampler, check_m, label_column, multiple_below
from lookalike.data.samplers.class_rows import ClassRows, class_passes
from lookalike.errors import ConfigError, counted


class MPerClassSampler(BatchSampler):
    """m images of each of ``batch_size / m`` classes; every class comes once per pass.

    A pass is a random order of all classes; a batch never holds a class twice. Within an epoch a
    class hands out its images in a random order, round and round, so that none comes again
    before all have come; a class with fewer than m images repeats them within its group.

    Args:
        labels: int64 ``(N,)``, or ``(N, L)`` with ``level``; −1 (distractors) are left out.
        m: images per class.
        batch_size: images of a global batch; a multiple of m.
        seed: of all draws.
        level: label column to balance.
        batches: batches of an epoch; by default as many as make N images, and at least one
            full pass.
        singletons: what to do with classes of one image, which no other can match: ``"repeat"``
            the image m times, ``"drop"`` the class, or ``"refuse"``.
        rank, world: this process's number and how many there are.

    Raises:
        ConfigError: batch size no multiple of m or of the processes, or more classes wanted than
            there are.
        DataError: with ``singletons="refuse"``, counting the classes of one image.

    Example:
        >>> sampler = MPerClassSampler([0, 0, 1, 1, 2, 2], m=2, batch_size=4)
        >>> len(sampler), [len(batch) for batch in sampler]
        (2, [4, 4])

    Relations:
        `HierarchicalSampler` fills a batch from two super-classes, which makes harder negatives.
    """

    def __init__(
        self,
        labels: Any,
        m: int = 4,
        batch_size: int = 128,
        seed: int = 0,
        *,
        level: int = 0,
        batches: int | None = None,
        singletons: Literal["repeat", "drop", "refuse"] = "repeat",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, rank, world)
        check_m(m, batch_size)
        self.m, self.level, self.singletons = m, level, singletons
        self.classes = ClassRows(label_column(labels, level), singletons)
        self.classes_per_batch = batch_size // m
        count = len(self.classes)
        if count < self.classes_per_batch:
            raise ConfigError(
                f"sampler: a batch of {batch_size} with m={m} needs"
                f" {counted(self.classes_per_batch, 'class', 'classes')}, but there are {count};"
                f" lower batch_size to {count * m} or raise m"
            )
        full_pass = -(-count // self.classes_per_batch)
        if batches is not None and batches < 1:
            raise ConfigError(f"sampler.batches: {batches} must be at least 1")
        self.batches = batches or max(full_pass, self.classes.total // batch_size)
        turns = self.batches * self.classes_per_batch / count
        words = counted(self.batches, "batch", "batches")
        self.notes = (
            f"{words} an epoch, each {counted(self.classes_per_batch, 'class', 'classes')} ×"
            f" {counted(m, 'image')};"
            f" each of {counted(count, 'class', 'classes')} comes {turns:.1f} times",
            *self.classes.notes(m),
        )

    @classmethod
    def fitting(
        cls,
        labels: Any,
        most: int,
        *,
        world: int = 1,
        m: int = 4,
        level: int = 0,
        singletons: Literal["repeat", "drop", "refuse"] = "repeat",
        **arguments: Any,
    ) -> int:
        """The largest batch of at most ``most`` images: no more classes than there are.

        >>> MPerClassSampler.fitting([0, 0, 1, 1, 2], 64, m=2)
        6
        """
        count = len(ClassRows(label_column(labels, level), singletons))
        return multiple_below(min(most, count * m), m, world)

    def __len__(self) -> int:
        return self.batches

    def plan(self, epoch: int) -> np.ndarray:
        """``(batches, batch_size)`` row numbers."""
        rng = np.random.default_rng([self.seed, epoch])
        per_batch = self.classes_per_batch
        order = class_passes(rng, len(self.classes), per_batch, self.batches * per_batch)
        return self.classes.shuffled(rng).deal(order, self.m).reshape(self.batches, -1)
