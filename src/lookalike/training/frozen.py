"""A backbone that stands still for the whole run: each image passes it once, and its head learns.

What the backbone makes of the training images and of the splits to be measured is kept in
``features/`` of the run until that is finished, so that a killed run goes on with the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from lookalike import distributed
from lookalike.config import Config
from lookalike.data import transforms
from lookalike.data.build import broken_policy
from lookalike.data.dataset import Key
from lookalike.data.loader import Loader, eval_loader, view_loader
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, counted
from lookalike.files import remove_tree
from lookalike.models.embedder import Embedder
from lookalike.models.embedding_store import Embedded, EmbeddingStore, collect
from lookalike.models.precision import at_least_float32, autocast
from lookalike.models.preprocessing import side
from lookalike.search.source import stamps


def is_frozen(config: Config) -> bool:
    """Whether the backbone stands still for the whole run."""
    c = config.optimizer
    return "backbone" in c.freeze and c.freeze_epochs == 0


def is_stored(config: Config) -> bool:
    """Whether each image passes the frozen backbone once, instead of in every step."""
    return is_frozen(config) and config.views != 0 and config.teacher is None


def check(config: Config) -> None:
    """Refuse ``views`` where images pass the backbone in every step anyway.

    Raises:
        ConfigError: says what to change.
    """
    if config.views is not None and not is_frozen(config):
        raise ConfigError(
            f"views={config.views}: only a frozen backbone sees each image once. Add "
            "optimizer.freeze=[backbone], or leave views out."
        )
    if config.views and config.teacher is not None:
        raise ConfigError(
            f"views={config.views}: beside teacher= images pass the network in every step. Leave it"
            " out."
        )
    if config.feature_cache is not None and not is_stored(config):
        raise ConfigError(
            f"feature_cache={config.feature_cache}: it keeps the features of a frozen backbone. Add"
            " optimizer.freeze=[backbone], or leave it out."
        )


class FromFeatures(nn.Module):
    """An embedder that begins behind its backbone: stored features in, embeddings out.

    Args:
        model: the embedder.
        maps: the features are maps that its pooling has yet to see.
    """

    def __init__(self, model: Embedder, *, maps: bool) -> None:
        super().__init__()
        self.model, self.maps = model, maps

    def forward(self, features: Tensor) -> Tensor:
        """``(B, C)``, or maps ``(B, C, H, W)`` or ``(B, N, C)`` → ``(B, width)`` unit vectors."""
        pooled = self.model.pooled(features) if self.maps else self.model.thinned(features)
        return self.model.from_pooled(pooled)


class FrozenBackbone:
    """The features of a run's images, each computed once.

    ``views=1``: each training image as evaluation sees it. ``views=K``: beside it K − 1 random
    views by ``transform.train``; each time an image is drawn, one of its views is drawn with it.

    Args:
        config: of the run.
        model: whose backbone stands still.
        training: the training rows.
        sampler: of the batches.
        folder: of the run.
        precision: autocast's type.

    Attributes:
        loader: batches of features in place of images.
        network: what the step trains.
    """

    def __init__(
        self,
        config: Config,
        model: Embedder,
        training: Table,
        sampler: Sampler[list[int]],
        folder: Path,
        precision: torch.dtype | None,
    ) -> None:
        self.config, self.model, self.training = config, model, training
        self.precision = precision
        self.folder = Path(config.feature_cache or folder / "features").expanduser()
        # A pooling that learns must see the maps; else the pooled features are all there is.
        learns = any(True for _ in model.pool.parameters())
        self.maps = learns and "pool" not in config.optimizer.freeze
        self.views = config.views or 1
        self.network = FromFeatures(model, maps=self.maps)
        self.dataset = FeatureDataset(training, self.views, config.seed)
        self.loader = Loader(self.dataset, sampler, 0)  # pyright: ignore[reportArgumentType]
        self._splits: dict[str, Embedded] = {}

    def prepare(self, on_batch: Callable[[int], None] | None = None) -> None:
        """Embed the training images; with several processes all must call this."""
        parts = []
        for view in range(self.views):
            found = self._features(self.training, view, on_batch)
            whole = np.zeros((len(self.training), found.vectors.shape[1]), found.vectors.dtype)
            whole[found.rows] = found.vectors
            parts.append(torch.from_numpy(whole))
            self.loader.broken |= found.unreadable
        self.dataset.fill(torch.stack(parts, dim=1), self._shape, set(self.loader.broken))

    def embeddings(
        self,
        model: Embedder,
        table: Table,
        split: str,
        on_batch: Callable[[int], None] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The embeddings of a split by a model with the same backbone, and their rows."""
        if split not in self._splits:
            self._splits[split] = self._features(table.split(split), 0, on_batch)
        found = self._splits[split]
        network, was_training = FromFeatures(model, maps=self.maps), model.training
        model.eval()
        parts = []
        with torch.inference_mode():
            for start in range(0, len(found.rows), self.config.evaluation.batch_size):
                part = found.vectors[start : start + self.config.evaluation.batch_size]
                features = torch.from_numpy(part).reshape(len(part), *self._shape)
                with autocast(model.device, self.precision):
                    parts.append(network(features.to(model.device)).float().cpu().numpy())
        model.train(was_training)
        vectors = np.concatenate(parts) if parts else np.empty((0, model.width), np.float32)
        return vectors, found.rows

    def pooled(self, most: int = 10_000) -> Tensor:
        """Pooled features of the training images as evaluation sees them, at most so many."""
        rows = np.linspace(0, len(self.training) - 1, min(most, len(self.training))).astype(int)
        features = self.dataset.features[rows, 0]
        with torch.inference_mode():
            found = features.reshape(len(rows), *self._shape).to(self.model.device)
            return (self.model.pool(found) if self.maps else found).cpu()

    def remove(self) -> None:
        """The run is finished: its features are not needed any more, those of a cache may be."""
        if self.config.feature_cache is None:
            remove_tree(self.folder, self.folder.parent)

    def _features(self, rows: Table, view: int, on_batch: Callable[[int], None] | None) -> Embedded:
        store = EmbeddingStore(self.folder / self._name(rows, view), len(rows))
        loader = self._loader(rows, view, store.done)
        parts = self._pass(loader, rows)
        return collect(parts, self._width, store=store, on_batch=on_batch)

    def _loader(self, rows: Table, view: int, done: np.ndarray) -> Loader:
        c = self.config
        options: dict[str, Any] = {
            "batch_size": c.evaluation.batch_size, "workers": c.workers, "done": done,
            "broken": broken_policy(c), "rank": distributed.rank(),
            "world": distributed.world_size(),
        }  # fmt: skip
        if view == 0:
            return eval_loader(rows, self.model.transform(), **options)
        drawn = transforms.train(side(c), **c.transform.train)
        return view_loader(rows, drawn, seed=c.seed, epoch=view, **options)

    def _pass(self, loader: Loader, rows: Table) -> Iterator[Embedded]:
        model, told = self.model, set[int]()
        was_training = model.training
        model.eval()
        for batch in loader:
            images = batch["pictures"].to(model.device, non_blocking=True)
            with torch.inference_mode(), autocast(model.device, self.precision):
                found = model.feature_map(images)
                found = at_least_float32(found if self.maps else model.pool(found))
            new = {row: why for row, why in loader.broken.items() if row not in told}
            told |= new.keys()
            yield Embedded(found.flatten(1).cpu().numpy(), batch["index"].numpy(), new)
        model.train(was_training)

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        """Of one image's features."""
        pixels = torch.zeros(1, 3, self.model.spec.size, self.model.spec.size)
        was_training = self.model.training
        with torch.inference_mode():
            found = self.model.eval().feature_map(pixels.to(self.model.device))
            found = found if self.maps else self.model.pool(found)
        self.model.train(was_training)
        return tuple(found.shape[1:])

    @property
    def _width(self) -> int:
        return int(np.prod(self._shape))

    def _name(self, rows: Table, view: int) -> str:
        """Tells apart whatever gives other features."""
        c = self.config
        digest = hashlib.sha256(repr((
            rows.fingerprint, self.maps, str(self.precision), self.model.spec.backbone,
            self.model.spec.pool, self.model.spec.options, repr(self.model.transform()),
            repr(self.model.mean), repr(self.model.std),
            (view, c.seed, side(c), c.transform.train) if view else 0,
            int(pd.util.hash_pandas_object(stamps(rows.paths), index=False).sum() >> 1),
        )).encode())  # fmt: skip
        for tensor in [*self.model.backbone.state_dict().values(), *self.model.pool.buffers()]:
            digest.update(
                tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
            )
        return digest.hexdigest()[:16]


class FeatureDataset(Dataset[dict[str, Any]]):
    """Stored features in place of images: an item as `PictureDataset` has it.

    Args:
        table: the training rows.
        views: of each image.
        seed: of which view comes when; it depends on (seed, epoch, row, draw) alone.
    """

    def __init__(self, table: Table, views: int, seed: int) -> None:
        self.labels = torch.from_numpy(table.labels)
        self.views, self.seed = views, seed
        self.features = torch.empty(0)
        self._instead: dict[int, int] = {}  # an unreadable row → another of its class

    def fill(self, features: Tensor, shape: tuple[int, ...], broken: Collection[int]) -> None:
        """Take the features, ``(N, views, …)``; for rows without, the next of their class stand in.

        Raises:
            DataError: a class of which no image can be read.
        """
        self.features, self._shape = features, shape
        first = self.labels[:, 0]
        for row in sorted(broken):
            mates = [
                m for m in torch.nonzero(first == first[row])[:, 0].tolist() if m not in broken
            ]
            if not mates:
                raise DataError(f"no image of the class of row {row} can be read; drop the class")
            self._instead[row] = next((m for m in mates if m > row), mates[0])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        row, epoch, draw = key if isinstance(key, tuple) else (int(key), 0, 0)
        view = transforms.picture_seed(self.seed, epoch, row, draw) % self.views
        row = self._instead.get(row, row)
        features = self.features[row, view].reshape(self._shape)
        return {"picture": features, "label": self.labels[row], "index": row, "broken": {}}


def words(config: Config, training: Table) -> str:
    """What is said of such a run when it begins."""
    views = config.views or 1
    times = "once" if views == 1 else f"in {counted(views, 'view')}"
    return f"frozen   the backbone sees {counted(len(training), 'image')} {times}; its head learns"
