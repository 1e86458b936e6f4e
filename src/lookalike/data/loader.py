"""Batches of images for training and for evaluation, decoded by any number of workers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from lookalike.data.dataset import Broken, Key, PictureDataset, collate
from lookalike.data.samplers.base import BatchSampler, draws
from lookalike.data.table import Table
from lookalike.data.transforms import Transform
from lookalike.data.workers import obey_parent
from lookalike.errors import ConfigError, DataError, dead_worker

__all__ = ["Loader", "PictureDataset", "eval_loader", "train_loader"]


class Loader:
    """Batches as dictionaries: ``pictures``, ``labels``, ``index``.

    Attributes:
        dataset: the `PictureDataset` behind it.
        sampler: the batch sampler.
        broken: row → reason of every file skipped so far.
        done: batches of the present epoch handed out so far.
    """

    def __init__(self, dataset: PictureDataset, sampler: Sampler[list[int]], workers: int) -> None:
        self.dataset, self.sampler, self.workers = dataset, sampler, workers
        self.broken: dict[int, str] = {}
        self.done = 0
        self._keys = _Keys(sampler)
        self._loader: DataLoader[Any] | None = None

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.sampler)  # pyright: ignore[reportArgumentType]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.done = getattr(self.sampler, "batch", 0)
        for batch in self._batches():
            self.broken |= batch.pop("broken")
            self.done += 1
            if batch:
                yield batch
        self.done = 0
        if isinstance(self.sampler, BatchSampler):
            self.sampler.batch = 0

    def close(self) -> None:
        """End the workers; the next iteration starts others."""
        self._loader = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; a resumed epoch goes on where it stopped."""
        if epoch != self._keys.epoch:
            self.done = 0
        self._keys.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The epoch, how many of its batches were handed out, and what else the sampler keeps."""
        if isinstance(self.sampler, BatchSampler):
            return self.sampler.state_dict(self.done)
        return {"epoch": self._keys.epoch, "batch": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the batches of a state."""
        if not isinstance(self.sampler, BatchSampler):
            raise DataError(
                f"{type(self.sampler).__name__} cannot resume inside an epoch; use a sampler of"
                " lookalike.data.samplers"
            )
        self.sampler.load_state_dict(state)
        self.done = int(state["batch"])

    def _batches(self) -> Iterator[dict[str, Any]]:
        if self._loader is None:
            self._loader = self._start()
        batches = iter(self._loader)
        while (batch := _next(batches)) is not None and "error" not in batch:
            yield batch
        if batch is not None:
            # Left to the garbage collector, the workers would end at an odd moment, or hang.
            del batches
            self.close()
            raise DataError(batch["error"])

    def _start(self) -> DataLoader[Any]:
        return DataLoader(
            _Quiet(self.dataset),
            batch_sampler=self._keys,
            num_workers=self.workers,
            collate_fn=_collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
            # Its own: torch would draw the workers' seed from the global state, once an iteration,
            # and a run resumed in the middle of an epoch would have drawn once more.
            generator=torch.Generator(),
            worker_init_fn=obey_parent if self.workers > 0 else None,
        )


def train_loader(
    table: Table,
    transform: Transform,
    sampler: Sampler[list[int]],
    workers: int = 0,
    seed: int = 0,
    *,
    broken: Broken = "refuse",
) -> Loader:
    """Batches that a sampler composes from the rows of a table.

    The same seed gives the same batches and the same views with any number of workers, on any
    number of processes, and after a resume. Call ``set_epoch`` before each epoch.

    Args:
        table: the training rows, the ones whose labels the sampler got.
        transform: such as `lookalike.data.transforms.train`.
        sampler: yields lists of row numbers: one of `lookalike.data.samplers`, or any other.
        workers: processes that decode; 0 decodes in this one.
        seed: of the augmentation.
        broken: ``"refuse"`` an unreadable file, or ``"skip"``: another image of its class, the
            same one each time, and an entry in ``loader.broken``.
    """
    return Loader(
        PictureDataset(table, transform, broken=broken, replace=True, seed=seed), sampler, workers
    )


def eval_loader(
    table: Table | Sequence[str | Path],
    transform: Transform,
    batch_size: int = 64,
    workers: int = 0,
    broken: Broken = "refuse",
    *,
    rank: int = 0,
    world: int = 1,
    done: np.ndarray | None = None,
) -> Loader:
    """All images of a table, or of a list of files, in order.

    A batch holds the same images whatever ``world`` and ``done``: a network may give an image
    other bits in other company.

    Args:
        table: a `Table` or paths; rows of paths have the label −1.
        transform: such as `lookalike.data.transforms.evaluation`; it must end in one size.
        batch_size: images of a batch on this process.
        workers: processes that decode; 0 decodes in this one.
        broken: ``"refuse"`` an unreadable file, or ``"skip"``: its row is missing from the batch
            (``index`` tells which rows are there) and has an entry in ``loader.broken``.
        rank: which of ``world`` runs of batches, nearly equal in length, this process takes.
        world: how many processes share the batches.
        done: ``(N,)`` rows that need not be read again; batches with any of them are left out.
    """
    rows = np.arange(len(table))
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    if done is not None:
        batches = [batch for batch in batches if not done[batch].any()]
    mine = slice(len(batches) * rank // world, len(batches) * (rank + 1) // world)
    return Loader(PictureDataset(table, transform, broken=broken), _InOrder(batches[mine]), workers)


def view_loader(
    table: Table,
    transform: Transform,
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    workers: int,
    broken: Broken,
    rank: int,
    world: int,
    done: np.ndarray,
) -> Loader:
    """As `eval_loader`, but each image as training would see it in an epoch."""
    loader = eval_loader(
        table, transform, batch_size, workers, broken, rank=rank, world=world, done=done
    )
    loader.dataset.seed = seed
    loader.set_epoch(epoch)
    return loader


class _InOrder(Sampler[list[int]]):
    def __init__(self, batches: list[np.ndarray]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch.tolist()


class _Keys(Sampler[list[Key]]):
    """A sampler's batches with epoch and draw beside each row, which is what seeds its view."""

    def __init__(self, sampler: Sampler[list[int]]) -> None:
        self.sampler = sampler
        self._epoch = 0

    @property
    def epoch(self) -> int:
        return getattr(self.sampler, "epoch", self._epoch)

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)  # pyright: ignore[reportAttributeAccessIssue]

    def __len__(self) -> int:
        return len(self.sampler)  # pyright: ignore[reportArgumentType]

    def __iter__(self) -> Iterator[list[Key]]:
        if isinstance(self.sampler, BatchSampler):
            yield from self._planned(self.sampler)
            return
        seen: Counter[int] = Counter()
        for rows in self.sampler:
            keys: list[Key] = []
            for row in rows:
                keys.append((int(row), self.epoch, seen[int(row)]))
                seen[int(row)] += 1
            yield keys

    def _planned(self, sampler: BatchSampler) -> Iterator[list[Key]]:
        plan = sampler.plan(self.epoch)
        for rows, drawn in list(zip(plan, draws(plan), strict=True))[sampler.batch :]:
            mine = sampler.share(rows).tolist(), sampler.share(drawn).tolist()
            yield [(row, self.epoch, draw) for row, draw in zip(*mine, strict=True)]


def _next(batches: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    """The next batch; None: there is none."""
    try:
        return next(batches, None)
    except (ConnectionError, EOFError, FileNotFoundError) as error:
        # A worker died while it handed a batch over. torch's own word of it comes by a signal a
        # moment later: here, and not where it would break into what is done about the failure.
        time.sleep(1)
        raise dead_worker("A DataLoader worker died while it handed over a batch") from error


class _Quiet(torch.utils.data.Dataset[dict[str, Any]]):
    """Hands an error over as data: raised in a worker it would reach the user as a traceback."""

    def __init__(self, dataset: PictureDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        try:
            return self.dataset[key]
        except (DataError, ConfigError) as e:
            return {"error": str(e)}

    def __getitems__(self, keys: list[Key]) -> list[dict[str, Any]]:
        """A batch at once where the dataset has a way of its own, else image by image."""
        whole = getattr(self.dataset, "__getitems__", None)
        if whole is None:
            return [self[key] for key in keys]
        try:
            return whole(keys)
        except DataError as e:
            return [{"error": str(e)}]


def _collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [item["error"] for item in items if "error" in item]
    if errors:
        return {"error": errors[0]}
    try:
        return collate(items)
    except DataError as e:
        return {"error": str(e)}
