"""Objects of one's own that a training takes in place of names: model, table, loss, sampler, …."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from lookalike.components import OBJECT
from lookalike.config import BATCH_SIZE, Config, ModelConfig
from lookalike.runs import Run

if TYPE_CHECKING:
    import torch

    from lookalike.data.samplers.base import BatchSampler
    from lookalike.data.table import Table
    from lookalike.models.embedder import Embedder
    from lookalike.training.callback import Callback

MakesOptimizer = Callable[[Iterable[Any]], "torch.optim.Optimizer"]


@dataclass(frozen=True)
class Given:
    """What the caller hands over as objects; None: as the configuration names it.

    Attributes:
        model: the embedder to train; it is trained in place.
        table: the images.
        loss: called ``loss(embeddings, labels)``.
        sampler: the batches of an epoch.
        optimizer: parameters (or parameter groups) → optimiser; proxies of the loss are among
            them.
        callbacks: told of every step, epoch and evaluation.
    """

    model: Embedder | None = None
    table: Table | None = None
    loss: torch.nn.Module | None = None
    sampler: BatchSampler | None = None
    optimizer: MakesOptimizer | None = None
    callbacks: Sequence[Callback] = ()

    def describe(self, config: Config) -> Config:
        """The configuration as the run keeps it: what is an object has no name to build it by."""
        config = replace(config)
        if self.model is not None:
            spec = self.model.spec
            shared = {f.name for f in fields(ModelConfig)} & {f.name for f in fields(spec)}
            kept = {name: getattr(spec, name) for name in shared}
            config.model = replace(
                config.model, **kept, pretrained=False, weights=None, head_init="random"
            )
            config.transform = replace(
                config.transform, size=spec.size, evaluation=dict(spec.evaluation)
            )
        if self.loss is not None:
            config.loss = _object(self.loss)
        if self.sampler is not None:
            config.sampler = _object(self.sampler)
            config.batch_size = getattr(self.sampler, "batch_size", config.batch_size or BATCH_SIZE)
        if self.optimizer is not None:
            config.optimizer = replace(config.optimizer, name=OBJECT)
        if self.table is not None and config.run is not None:
            config.dataset = {"name": "table_file", "root": str(Run(config.run).table)}
        return config


def _object(of: object) -> dict[str, Any]:
    """How the configuration of a run names an object; see `lookalike.components.OBJECT`."""
    return {"name": OBJECT, "type": type(of).__qualname__}
