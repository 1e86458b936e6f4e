"""Every image once an epoch, or several views of each, in random order."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.data.samplers.base import BatchSampler, check_m, multiple_below
from lookalike.errors import ConfigError, counted


class RandomSampler(BatchSampler):
    """Shuffled images, each at most once an epoch.

    Args:
        labels: labels of the images, of which only the number matters, or that number.
        batch_size: images of a global batch.
        seed: of all draws.
        views: how often each image stands in its batch, side by side and each time augmented
            anew: 2 for :class:`~lookalike.losses.SelfSupervised`.
        limit: images of an epoch at most, others each time; None: all. RAML's ``query-size``.
        drop_last: leave out what does not fill a batch; several processes need it.
        rank, world: this process's number and how many there are.

    Raises:
        ConfigError: fewer images than a batch, or ``drop_last=False`` with several processes.
    """

    def __init__(
        self,
        labels: Any,
        batch_size: int = 128,
        seed: int = 0,
        *,
        views: int = 1,
        limit: int | None = None,
        drop_last: bool = True,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, rank, world)
        check_m(views, batch_size, f"views={views}")
        self.pictures = labels if isinstance(labels, int) else len(labels)
        if limit is not None and limit < batch_size:
            raise ConfigError(f"sampler.limit: {limit} is below batch_size={batch_size}")
        self.views = views
        self.chosen = self.pictures if limit is None else min(limit, self.pictures)
        self.length = self.chosen * views
        self.drop_last = drop_last
        if not drop_last and world > 1:
            raise ConfigError("sampler.drop_last: several processes need whole batches; set true")
        if self.length < batch_size and drop_last:
            raise ConfigError(
                f"sampler: {counted(self.length, 'image does', 'images do')} not fill one batch"
                f" of {batch_size}; lower batch_size"
            )
        left = self.length % batch_size if drop_last else 0
        dropped = f", {counted(left, 'image')} left out" if left else ""
        self.notes = (f"{counted(len(self), 'batch', 'batches')} an epoch, random{dropped}",)

    @classmethod
    def fitting(
        cls,
        labels: Any,
        most: int,
        *,
        world: int = 1,
        views: int = 1,
        limit: int | None = None,
        **arguments: Any,
    ) -> int:
        """The largest batch of at most ``most`` images: no more than an epoch has."""
        images = labels if isinstance(labels, int) else len(labels)
        return multiple_below(min(most, min(images, limit or images) * views), views, world)

    def __len__(self) -> int:
        whole = self.length // self.batch_size
        return whole if self.drop_last else -(-self.length // self.batch_size)

    def plan(self, epoch: int) -> list[np.ndarray]:
        """Row numbers of each batch."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.pictures)[: self.chosen]
        order = np.repeat(order, self.views)
        return [order[i * self.batch_size :][: self.batch_size] for i in range(len(self))]
