"""Which weights of a run under way are measured and kept, and how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lookalike import distributed
from lookalike.data.build import broken_policy
from lookalike.data.loader import eval_loader
from lookalike.evaluation import evaluator
from lookalike.evaluation.evaluator import SplitResult
from lookalike.evaluation.widths import narrower
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


def measured_splits(run: Training, model: Embedder, splits: Sequence[str]) -> list[SplitResult]:
    """Splits of a run's data, measured with a model of it; also at its narrower widths."""
    found: list[SplitResult] = []
    for split in splits:
        found.append(_measured(run, model, split))
        found += narrower(found[-1], model, run.config.evaluation)
    return found


def _measured(run: Training, model: Embedder, split: str) -> SplitResult:
    c = run.config
    with run.console.embedding(split, len(run.table.split(split))) as advance:
        if run.frozen is not None and list(c.evaluation.scales) == [1.0]:
            vectors, kept = run.frozen.embeddings(model, run.table, split, advance)
            rows = evaluator.readable(evaluator.with_roles(run.table.split(split)), kept)
            return evaluator.measure_vectors(split, rows, vectors, c.evaluation)
        return evaluator.measure(
            model,
            run.table,
            split,
            c.evaluation,
            workers=c.workers,
            broken=broken_policy(c),
            precision=run.precision,
            on_batch=advance,
        )
