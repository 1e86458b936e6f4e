"""``lookalike.train``: the command line's training, with objects where it takes names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.errors import ConfigError
from lookalike.training.callback import Callback
from lookalike.training.given import Given, MakesOptimizer
from lookalike.training.requeue import Resume
from lookalike.training.result import TrainingResult
from lookalike.training.run import run_training

if TYPE_CHECKING:
    import torch

    from lookalike.data.samplers.base import BatchSampler
    from lookalike.models.embedder import Embedder


def train(
    model: Embedder | str | None = None,
    dataset: Any = None,
    loss: torch.nn.Module | str | Mapping[str, Any] | None = None,
    *,
    sampler: BatchSampler | str | Mapping[str, Any] | None = None,
    optimizer: MakesOptimizer | str | Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    recipe: str | None = None,
    run: str | Path | None = None,
    resume: Resume = False,
    overwrite: bool = False,
    trace: str | Path | None = None,
    **options: Any,
) -> TrainingResult:
    """Train a model and return what its run folder holds.

    Args:
        model: an embedder, trained in place; or a backbone's name.
        dataset: a table, a data frame, a Hugging Face data set; or a name, folder or table file.
        loss: a module called ``loss(embeddings, labels)``; or a name.
        sampler: the batches of an epoch; or a name.
        optimizer: parameter groups → optimiser, such as ``partial(torch.optim.SGD, lr=0.1)``; or
            a name.
        callbacks: told of every step, epoch and evaluation.
        recipe: a published training, such as ``"roadmap/sop"``.
        run: the run folder; default: a new one below ``runs/``.
        resume: go on with the run in ``run``; ``"auto"``: begin it, go on, or be done.
        overwrite: replace the run that is there.
        trace: file for losses, rates, norms and batches of every step.
        options: any option of the command line by its name: ``epochs=10``,
            ``optimizer={"lr": 1e-3}``, ``**{"evaluation.monitor": "recall_at_1"}``.

    Raises:
        ConfigError: an option that is not valid.
        DataError: data that cannot be used.
        RunError: a run folder that is in the way, or cannot be resumed.

    Example::

        import lookalike as la

        table = la.data.folder("photos/")
        model = la.create_model("resnet18", pretrained=False, embedding_size=128)
        run = la.train(model, table, la.losses.SmoothAP(tau=0.01), epochs=10, run="runs/mine")
        run.metrics["recall_at_1"], run.report
    """
    named: dict[str, Any] = {}
    if recipe is not None:
        named["recipe"] = recipe
    if run is not None:
        named["run"] = str(run)
    objects: dict[str, Any] = {"callbacks": tuple(callbacks)}
    given = {"model": model, "loss": loss, "sampler": sampler, "optimizer": optimizer}
    if isinstance(dataset, str | Path | Mapping):
        given["dataset"] = str(dataset) if isinstance(dataset, Path) else dataset
    elif dataset is not None:
        from lookalike.data.tables import as_table

        objects["table"] = as_table(dataset)
    for name, value in given.items():
        if isinstance(value, str | Mapping):
            named |= _named(name, value)
        elif value is not None:
            objects[name] = _checked(name, value)
    words = [f"{key}={text(value)}" for key, value in _flat(named | options)]
    folder = run_training(
        words,
        resume=resume,
        overwrite=overwrite,
        trace=trace,
        given=Given(**objects),
        library=True,
    )
    return TrainingResult(folder)


def _named(name: str, value: str | Mapping[str, Any]) -> dict[str, Any]:
    """A name, or a name with options, as the command line's words."""
    key = "optimizer.name" if name == "optimizer" else name
    if isinstance(value, str):
        return {key: value}
    found = {f"{name}.{option}": v for option, v in value.items() if option != "name"}
    return ({key: value["name"]} if "name" in value else {}) | found


# What makes an object one that a training can use, and how to say so.
_NEEDS = {
    "model": ("spec", "an Embedder; name a network of your own by its import path, "
              'create_model("package.module.Network")'),
    "loss": ("forward", "a torch.nn.Module called loss(embeddings, labels)"),
    "sampler": ("__iter__", "a batch sampler"),
    "optimizer": ("__call__", "a function: parameter groups → torch.optim.Optimizer, such as "
                  "partial(torch.optim.SGD, lr=0.1)"),
}  # fmt: skip


def _checked(name: str, value: Any) -> Any:
    attribute, words = _NEEDS[name]
    if not hasattr(value, attribute):
        raise ConfigError(f"{name}: got {type(value).__name__}; give a name, or {words}.")
    return value


def _flat(options: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in options.items():
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


def text(value: Any) -> str:
    """A Python value as the command line writes it.

    >>> text(True), text([1, 2]), text(None), text(1e-3)
    ('true', '[1,2]', 'null', '0.001')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{','.join(text(one) for one in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{text(one)}" for key, one in value.items()) + "}"
    return str(value)
