"""Which weights of a run under way are measured and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike import distributed
from lookalike.data.build import broken_policy
from lookalike.data.loader import eval_loader
from lookalike.models.embedder import Embedder
from lookalike.training.averaging import refresh_batch_norm

if TYPE_CHECKING:
    from lookalike.training.trainer import Training


def evaluated_model(run: Training) -> Embedder:
    """The averaged weights where there are some, else those in training."""
    # Without synchronised batch norm every process has statistics of its own.
    distributed.copy_buffers(run.model)
    if run.sharded is not None:
        return run.sharded.gather()
    if run.average is None or not run.average.begun:
        return run.model
    model = run.average.model
    distributed.copy_buffers(model)
    if run.config.average.name == "swa" and not run.config.model.freeze_batch_norm:
        loader = eval_loader(
            run.training,
            model.transform(),
            batch_size=run.config.evaluation.batch_size,
            workers=run.config.workers,
            broken=broken_policy(run.config),
        )
        images = (batch["pictures"].to(run.device) for batch in loader)
        refresh_batch_norm(model, images)
    return model
