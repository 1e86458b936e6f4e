"""From a config to the objects of a run, shared by the verbs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch

from lookalike import components
from lookalike.config import Config
from lookalike.data.dataset import Broken
from lookalike.data.sources import SOURCES
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError
from lookalike.losses.matryoshka import matryoshka
from lookalike.models import weights
from lookalike.models.embedder import Embedder, create_model


def pick_device(name: str) -> torch.device:
    """The device that ``device=`` names; ``auto`` is CUDA where there is one."""
    from lookalike import distributed

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device={name}: no such device. Write auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device={name}: torch sees no CUDA device here. Set device=cpu.")
    if device.type == "cuda" and device.index is None and distributed.is_active():
        return torch.device("cuda", torch.cuda.current_device())
    return device


def pick_precision(name: str, device: torch.device) -> torch.dtype | None:
    """The type of a network's arithmetic: ``auto`` is bfloat16 on CUDA and float32 on a CPU.

    None means float32, float64 a network whose weights are so; the others are autocast's.
    """
    types = {
        "auto": torch.bfloat16 if device.type == "cuda" else None,
        "fp32": None,
        "bf16": torch.bfloat16,
        "fp16": torch.float16,
        "fp64": torch.float64,
    }
    if name not in types:
        raise ConfigError(f"precision={name}: write one of {', '.join(types)}.")
    return types[name]


def broken_policy(config: Config) -> Broken:
    """What to do with a picture that cannot be read, checked."""
    if config.broken not in ("refuse", "skip"):
        raise ConfigError(f"broken={config.broken}: write refuse or skip.")
    return config.broken  # pyright: ignore[reportReturnType] (narrowed by the line above)


def build_table(config: Config, progress: Callable[[int, int], None] | None = None) -> Table:
    """The data set of a run, as a table.

    One that needs a folder and was given none is looked for below ``data_root``, under the name it
    unpacks to. One that must first draw or read for a while tells ``progress`` (done, of all).
    """
    given: dict[str, Any] = {"progress": progress}
    accepted, _ = components.parameters(components.check("dataset", config.dataset))
    needs = "root" in accepted and accepted["root"].default is inspect.Parameter.empty
    if needs and "root" not in config.dataset:
        name = str(config.dataset["name"])
        folder = SOURCES[name].folder if name in SOURCES else name
        given["root"] = str(Path(config.data_root) / folder)
    try:
        return components.build("dataset", config.dataset, **given)
    except DataError as error:
        if "root" not in given or Path(given["root"]).exists():
            raise
        raise DataError(
            f"{error}. It is looked for below data_root={config.data_root}: name another folder "
            "there, or its own as dataset.root=…"
        ) from None


def build_model(config: Config) -> Embedder:
    """The embedder of a run, from scratch, from published weights, or from a file."""
    c = config.model
    model = create_model(
        c.backbone,
        pool=c.pool,
        embedding_size=c.embedding_size,
        head_norm=c.head_norm,
        head_bias=c.head_bias,
        dropout=c.dropout,
        pretrained=c.pretrained and c.weights is None,
        freeze_batch_norm=c.freeze_batch_norm,
        options=c.options,
        size=config.transform.size,
        evaluation=config.transform.evaluation,
        whitening=c.whitening,
        widths=c.widths,
    )
    if c.weights is not None:
        weights.load_into(model, c.weights)
    _freeze(model, c.freeze)
    return model


def _freeze(model: Embedder, patterns: Sequence[str]) -> None:
    """Keep parts of the backbone as they are, named as in a shell: ``stem``, ``blocks.[0-9]``."""
    for pattern in patterns:
        named = model.backbone.named_parameters()
        found = [p for n, p in named if fnmatch(f"{n}.", f"{pattern}.*")]
        if not found:
            names = sorted({name.split(".")[0] for name, _ in model.backbone.named_parameters()})
            raise ConfigError(
                f"model.freeze: {model.spec.backbone} has no part '{pattern}'. "
                f"Its parts: {', '.join(names)}."
            )
        for parameter in found:
            parameter.requires_grad_(False)


def build_loss(config: Config, training: Table, width: int) -> torch.nn.Module:
    """The loss of a run; what it must know of the data is filled in."""
    taught = config.teacher is not None and config.distillation.mode != "compatible"
    if config.model.widths and not taught:  # a distilling step compares each width itself
        widths = sorted({*config.model.widths, width})
        return matryoshka({w: _loss(config, training, w) for w in widths})
    return _loss(config, training, width)


def _loss(config: Config, training: Table, width: int) -> torch.nn.Module:
    loss = components.build(
        "loss",
        config.loss,
        num_classes=training.num_classes(0),
        embedding_size=width,
        hierarchy=_hierarchy(training),
    )
    if not isinstance(loss, torch.nn.Module):
        raise ConfigError(f"loss={config.loss['name']} is no torch.nn.Module.")
    return loss


def training_rows(table: Table) -> Table:
    """The rows to train on.

    Raises:
        DataError: there are none, or they hold a single class.
    """
    if "train" not in table.splits:
        raise DataError(
            f"{table.name} has no 'train' split (it has: {', '.join(table.splits)}). Name a folder "
            "or fill the split column with 'train'."
        )
    training = table.split("train")
    if training.num_classes(0) < 2:
        raise DataError(f"{table.name}: the train split holds one class; a loss needs two.")
    return training


def _hierarchy(training: Table) -> torch.Tensor:
    """The label row of each fine class, ``(C, L)``."""
    rows = torch.zeros(training.num_classes(0), len(training.levels), dtype=torch.long)
    labels = torch.from_numpy(training.labels)
    labels = labels[labels[:, 0] >= 0]  # distractors are of no class
    rows[labels[:, 0]] = labels
    return rows
