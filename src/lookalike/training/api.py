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
    named: dict[str, Any] = {"recipe": recipe, "run": None if run is None else str(run)}
    objects: dict[str, Any] = {"callbacks": tuple(callbacks)}
    for name, value in (("model", model), ("loss", loss), ("sampler", sampler)):
        _sort(name, value, name, named, objects)
    _sort("optimizer", optimizer, "optimizer.name", named, objects)
    if isinstance(dataset, str | Path | Mapping):
        _sort(
            "dataset",
            str(dataset) if isinstance(dataset, Path) else dataset,
            "dataset",
            named,
            objects,
        )
    elif dataset is not None:
        from lookalike.data.tables import as_table

        objects["table"] = as_table(dataset)
    words = [f"{key}={text(value)}" for key, value in _flat(named | options) if value is not None]
    folder = run_training(
        words,
        resume=resume,
        overwrite=overwrite,
        trace=trace,
        given=Given(**objects),
        library=True,
    )
    return TrainingResult(folder)


def _sort(name: str, value: Any, key: str, named: dict[str, Any], objects: dict[str, Any]) -> None:
    if value is None:
        return
    if isinstance(value, str):
        named[key] = value
    elif isinstance(value, Mapping):
        value = dict(value)
        chosen = value.pop("name", None)
        named |= {key: chosen, **{f"{name}.{option}": v for option, v in value.items()}}
    elif callable(value) or name == "sampler":
        objects[name] = value
    else:
        raise ConfigError(f"{name}: {type(value).__name__} is not a name, a mapping or an object.")


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
