"""What all samplers share: a plan of the epoch, its slice for each process, and resuming."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from math import lcm
from typing import Any, TypeAlias

import numpy as np
from torch.utils.data import Sampler

from lookalike.calls import NamedArguments
from lookalike.errors import ConfigError, counted
from lookalike.ops.labels import DISTRACTOR, is_absent, label_columns

# Row numbers of each global batch: ``(batches, batch_size)``, or a list where the last is shorter.
Plan: TypeAlias = np.ndarray | Sequence[np.ndarray]


class BatchSampler(NamedArguments, Sampler[list[int]], ABC):
    """Batches of row numbers; subclasses say how an epoch is composed in `plan`.

    Attributes:
        batch_size: images of a global batch, over all processes.
        seed: of all draws.
        rank, world: this process's number and how many there are.
        epoch: the epoch that iteration gives, set by `set_epoch`.
        batch: the batch that the next iteration starts at (not 0 after a resume).
        notes: statements to print, such as the epoch length.
    """

    def __init__(self, batch_size: int, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        if batch_size < 1:
            raise ConfigError(f"sampler.batch_size: {batch_size} must be at least 1")
        if not 0 <= rank < world:
            raise ConfigError(
                f"sampler: rank {rank} of {counted(world, 'process', 'processes')} cannot be"
            )
        if batch_size % world:
            raise ConfigError(
                f"sampler.batch_size: {batch_size} cannot be split over"
                f" {counted(world, 'process', 'processes')};"
                f" give a multiple of {world}"
            )
        self.batch_size, self.seed, self.rank, self.world = batch_size, seed, rank, world
        self.epoch = 0
        self.batch = 0
        self.notes: tuple[str, ...] = ()

    @classmethod
    def fitting(cls, labels: Any, most: int, *, world: int = 1, **arguments: Any) -> int:
        """The largest batch, of at most ``most`` images, that this sampler can fill.

        Args:
            labels: as the constructor takes them.
            most: images that are wanted.
            world: processes over which the batch must divide.
            arguments: others of the constructor.
        """
        return multiple_below(most, world)

    @abstractmethod
    def plan(self, epoch: int) -> Plan:
        """Every global batch of an epoch as row numbers, the same on every process."""

    @abstractmethod
    def __len__(self) -> int:
        """Batches of an epoch."""

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.plan(self.epoch)[self.batch :]:
            yield self.share(rows).tolist()

    def share(self, batch: np.ndarray) -> np.ndarray:
        """This process's slice of a global batch."""
        local = self.batch_size // self.world
        return batch[self.rank * local : (self.rank + 1) * local]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to iterate; another epoch than the current one starts at batch 0."""
        if epoch != self.epoch:
            self.epoch, self.batch = epoch, 0

    def state_dict(self, batch: int | None = None) -> dict[str, Any]:
        """Where iteration stands; ``batch`` is how many batches of the epoch are done."""
        return {"epoch": self.epoch, "batch": self.batch if batch is None else batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a state says."""
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'; '.join(self.notes)})"


def multiple_below(most: int, *units: int) -> int:
    """The largest multiple of all units that is no larger; where there is none, ``most`` itself.

    >>> multiple_below(64, 5, 2), multiple_below(3, 4)
    (60, 3)
    """
    step = lcm(*units)
    return most // step * step or most


def draws(plan: Plan) -> list[np.ndarray]:
    """For each place of a plan, how often its image has come before in the epoch.

    >>> [d.tolist() for d in draws([np.array([5, 7]), np.array([7, 7])])]
    [[0, 0], [1, 2]]
    """
    sizes = [len(batch) for batch in plan]
    flat = np.concatenate([np.asarray(batch) for batch in plan])
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    run = np.repeat(first, np.diff(np.r_[first, len(flat)]))
    counts = np.empty(len(flat), np.int64)
    counts[order] = np.arange(len(flat)) - run
    return np.split(counts, np.cumsum(sizes)[:-1])


def label_column(labels: Any, level: int) -> np.ndarray:
    """One column of labels ``(N,)`` or ``(N, L)`` of any container; words as numbers."""
    columns = label_columns(labels, "sampler: labels")
    if not 0 <= level < len(columns):
        raise ConfigError(
            f"sampler.level: {level}, but the labels have {counted(len(columns), 'column')}"
        )
    column = columns[level]
    if column.dtype == np.int64:
        return column
    values, codes = np.unique(column, return_inverse=True)
    return np.where(is_absent(values)[codes], DISTRACTOR, codes)


def rows_by_class(column: np.ndarray) -> list[np.ndarray]:
    """Row numbers of each class of a label column, rising; −1 is not a class."""
    order = np.argsort(column, kind="stable")
    order = order[np.searchsorted(column[order], 0) :]
    return np.split(order, np.flatnonzero(np.diff(column[order])) + 1) if len(order) else []


def check_m(m: int, batch_size: int, what: str | None = None) -> None:
    """Refuse group and batch sizes that do not divide; ``what`` names the divisor in the error."""
    if m < 1:
        raise ConfigError(f"sampler.m: {m} must be at least 1")
    if batch_size % m:
        below = batch_size // m * m
        nearest = f"{below} or {below + m}" if below else f"{m}"
        raise ConfigError(
            f"sampler.batch_size: {batch_size} is not a multiple of {what or f'm={m}'};"
            f" give {nearest}"
        )
