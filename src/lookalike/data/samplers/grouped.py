"""Groups of four of a class in a row, with mined negatives: RAML's symmetric training."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike.data.samplers.base import BatchSampler, check_m, label_column, rows_by_class
from lookalike.data.samplers.mining import mine_negatives
from lookalike.errors import ConfigError, DataError, counted


class GroupedSampler(BatchSampler):
    """Anchors in groups of m of a class, each followed by its negatives, as RAML orders an epoch.

    Every class gives as many images as the smallest kept class has, in whole groups of m; the
    groups go round the shuffled classes. A batch is ``batch_size`` anchors and then, once
    `set_negatives` was called for the epoch, ``negatives`` rows for each anchor in turn.

    Args:
        labels: int64 ``(N,)``, or ``(N, L)`` with ``level``; −1 is left out.
        m: images of a class in a row; classes with fewer are left out and counted.
        batch_size: anchors of a global batch; a multiple of m.
        seed: of all draws (numpy's legacy generator; epoch 0 is bit-equal to RAML's under it).
        level: label column of the classes.
        query_size: anchors of an epoch at most.
        pool_size: images that negatives are drawn from, at most.
        negatives: negatives of each anchor; 0 for none.
        published: draw negatives exactly as RAML does, see `mining.distance_weights`.
        rank: this process's number.
        world: how many processes there are.

    Raises:
        ConfigError: batch size no multiple of m or of the processes.
        DataError: no class with m images, or fewer anchors than a batch.

    Example:
        Before each epoch: ``rows = sampler.rows_to_embed(epoch)``, embed them, then
        ``sampler.set_negatives(epoch, rows, embeddings)``.
    """

    def __init__(
        self,
        labels: Any,
        m: int = 4,
        batch_size: int = 8,
        seed: int = 0,
        *,
        level: int = 0,
        query_size: int = 8000,
        pool_size: int = 20000,
        negatives: int = 0,
        published: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, rank, world)
        check_m(m, batch_size)
        if negatives < 0:
            raise ConfigError(f"sampler.negatives: {negatives} must be at least 0")
        self.m, self.level, self.negatives, self.published = m, level, negatives, published
        self.query_size, self.pool_size = query_size, pool_size
        column = label_column(labels, level)
        values, sizes = np.unique(column[column >= 0], return_counts=True)
        self.kept = np.flatnonzero(np.isin(column, values[sizes >= m]))
        if not len(self.kept):
            raise DataError(f"sampler: no class has {counted(m, 'image')}")
        self.column = column[self.kept]
        self.values = values[sizes >= m]
        self.per_class = int(sizes[sizes >= m].min()) // m * m
        self.length = min(query_size, len(self.kept), self.per_class * len(self.values))
        if self.length < batch_size:
            raise DataError(
                f"sampler: {counted(self.length, 'anchor')} cannot fill a batch of {batch_size}"
            )
        self._mined: tuple[int, np.ndarray] | None = None
        small = int((sizes < m).sum())
        batches = counted(len(self), "batch", "batches")
        fewer = counted(small, "class has", "classes have")
        self.notes = (
            f"{batches} an epoch of {counted(batch_size, 'anchor')}, {m} of a class in a row,"
            f" {counted(negatives, 'negative')} each; {counted(self.per_class, 'image')} of each"
            " class",
            *([f"{fewer} fewer than {counted(m, 'image')}, left out"] if small else []),
        )

    def __len__(self) -> int:
        return self.length // self.batch_size

    def plan(self, epoch: int) -> np.ndarray:
        """``(batches, batch_size · (1 + negatives))`` row numbers: anchors, then negatives."""
        anchors = self._order(epoch)[0][: len(self) * self.batch_size]
        batches = self.kept[anchors].reshape(len(self), -1)
        if not self.negatives:
            return batches
        if self._mined is None or self.wants_negatives(epoch):
            raise DataError(
                f"sampler: the negatives of epoch {epoch} are not mined; call set_negatives with"
                " the embeddings of rows_to_embed(epoch), or set sampler.negatives=0"
            )
        mined = self._mined[1][: len(anchors)].reshape(len(self), -1)
        return np.concatenate([batches, mined], axis=1)

    def share(self, batch: np.ndarray) -> np.ndarray:
        """This process's anchors and their negatives."""
        parts = np.split(batch, [self.batch_size])
        return np.concatenate([np.split(part, self.world)[self.rank] for part in parts])

    def wants_negatives(self, epoch: int) -> bool:
        """Whether `set_negatives` is still to be called for an epoch."""
        return self.negatives > 0 and (self._mined is None or self._mined[0] != epoch)

    def rows_to_embed(self, epoch: int) -> np.ndarray:
        """Rows whose embeddings `set_negatives` needs: the epoch's anchors and its pool."""
        anchors, pool, _ = self._order(epoch)
        return self.kept[np.unique(np.concatenate([anchors, pool]))]

    def set_negatives(self, epoch: int, rows: np.ndarray, embeddings: np.ndarray) -> None:
        """Draw the negatives of an epoch.

        Args:
            epoch: the epoch they are for.
            rows: row numbers, at least those of `rows_to_embed`, rising.
            embeddings: unit vectors ``(len(rows), D)``.
        """
        anchors, pool, rng = self._order(epoch)
        places = np.searchsorted(rows, self.kept)
        missing = np.setdiff1d(self.kept[np.concatenate([anchors, pool])], rows)
        if len(missing):
            raise DataError(f"sampler: no embedding of row {missing[0]} ({len(missing)} missing)")
        chosen = mine_negatives(
            embeddings[places[anchors]],
            self.column[anchors],
            embeddings[places[pool]],
            self.column[pool],
            self.negatives,
            rng,
            published=self.published,
        )
        self._mined = (epoch, self.kept[pool][chosen])

    def state_dict(self, batch: int | None = None) -> dict[str, Any]:
        """Where iteration stands, with the mined negatives."""
        mined = None if self._mined is None else (self._mined[0], self._mined[1].tolist())
        return {**super().state_dict(batch), "mined": mined}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a state says; one without ``mined`` leaves the negatives as they are."""
        super().load_state_dict(state)
        if "mined" not in state:
            return
        mined = state["mined"]
        self._mined = None if mined is None else (int(mined[0]), np.array(mined[1]))

    def _order(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.random.RandomState]:
        """Positions in ``kept`` of anchors and of the pool, and the generator after both draws."""
        rng = np.random.RandomState(self.seed if epoch == 0 else [self.seed, epoch])
        members = [rng.permutation(rows) for rows in rows_by_class(self.column)]
        table = np.array([rows[: self.per_class] for rows in members])
        table = table[rng.permutation(len(table))]
        rounds = table.reshape(len(table), -1, self.m).transpose(1, 0, 2)
        pool = rng.permutation(len(self.kept))[: self.pool_size]
        return rounds.reshape(-1)[: self.length], pool, rng
