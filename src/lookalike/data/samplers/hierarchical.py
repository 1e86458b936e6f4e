"""Batches from a few super-classes, so that the negatives are hard."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from lookalike.data.samplers.base import BatchSampler, check_m, label_column, multiple_below
from lookalike.data.samplers.class_rows import ClassRows
from lookalike.errors import ConfigError, counted


class HierarchicalSampler(BatchSampler):
    """Batches from two super-classes at a time: half the batch each, m images per class.

    For every combination of ``supers`` super-classes there are ``batches_per_super_pair`` batches
    (66 pairs × 10 = 660 for Stanford Online Products), in random order. This makes the negatives
    of a batch hard (Cakir et al., FastAP, CVPR 2019).

    Args:
        labels: int64 ``(N, L)``.
        m: images per class; None: whole classes, the last one cut.
        batch_size: images of a global batch; a multiple of ``supers · m``.
        seed: of all draws.
        level, super_level: label columns of class and super-class.
        batches_per_super_pair: batches for each combination.
        supers: super-classes in a batch.
        batches: use only this many batches of an epoch, a random choice of them.
        rank, world: this process's number and how many there are.

    Raises:
        ConfigError: sizes that do not divide, or fewer super-classes than ``supers``.

    Relations:
        `MPerClassSampler` draws from all classes alike.
    """

    def __init__(
        self,
        labels: Any,
        m: int | None = 4,
        batch_size: int = 128,
        seed: int = 0,
        *,
        level: int = 0,
        super_level: int = 1,
        batches_per_super_pair: int = 4,
        supers: int = 2,
        batches: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, rank, world)
        fine, coarse = label_column(labels, level), label_column(labels, super_level)
        check_m((m or 1) * supers, batch_size, f"supers × m = {supers} × {m or 1}")
        self.m, self.level, self.super_level = m, level, super_level
        self.batches_per_super_pair, self.supers = batches_per_super_pair, supers
        self.per_super = batch_size // supers
        self.members = {
            int(s): np.flatnonzero((coarse == s) & (fine >= 0))
            for s in np.unique(coarse[fine >= 0])
        }
        if len(self.members) < supers:
            raise ConfigError(
                f"sampler: a batch needs {supers} super-classes, but level {super_level} has"
                f" {len(self.members)}"
            )
        self.fine = fine
        self.tuples = list(combinations(self.members, supers))
        whole = len(self.tuples) * batches_per_super_pair
        if batches is not None and not 1 <= batches <= whole:
            raise ConfigError(
                f"sampler.batches: {batches} of {counted(whole, 'batch', 'batches')} cannot be"
            )
        self.batches = batches
        small = sum(len(rows) < self.per_super for rows in self.members.values())
        repeating = (
            "{} super-class has fewer than {} images and repeats them"
            if small == 1
            else "{} super-classes have fewer than {} images and repeat them"
        )
        words = counted(len(self), "batch", "batches")
        pairs = counted(len(self.tuples), "combination")
        self.notes = (
            f"{words} an epoch: {pairs} of {supers} of"
            f" {len(self.members)} super-classes × {batches_per_super_pair}",
            *([repeating.format(small, self.per_super)] if small else []),
        )

    @classmethod
    def fitting(
        cls,
        labels: Any,
        most: int,
        *,
        world: int = 1,
        m: int | None = 4,
        supers: int = 2,
        **arguments: Any,
    ) -> int:
        """The largest batch of at most ``most`` images, a multiple of ``supers · m``."""
        return multiple_below(most, (m or 1) * supers, world)

    def __len__(self) -> int:
        return self.batches or len(self.tuples) * self.batches_per_super_pair

    def plan(self, epoch: int) -> np.ndarray:
        """``(batches, batch_size)`` row numbers."""
        rng = np.random.default_rng([self.seed, epoch])
        homes = {s: ClassRows(self.fine[rows], "repeat", rows) for s, rows in self.members.items()}
        out = []
        for pair in self.tuples:
            for _ in range(self.batches_per_super_pair):
                batch = np.concatenate([self._fill(rng, homes[s]) for s in pair])
                out.append(rng.permutation(batch))
        return np.stack(out)[rng.permutation(len(out))[: len(self)]]

    def _fill(self, rng: np.random.Generator, home: ClassRows) -> np.ndarray:
        if self.m is not None:
            groups = self.per_super // self.m
            order = np.concatenate(
                [rng.permutation(len(home)) for _ in range(-(-groups // len(home)))]
            )[:groups]
            return home.shuffled(rng).deal(order, self.m)
        taken: list[np.ndarray] = []
        while sum(map(len, taken)) < self.per_super:
            taken += [rng.permutation(home.rows(c)) for c in rng.permutation(len(home))]
        return np.concatenate(taken)[: self.per_super]
