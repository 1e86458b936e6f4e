"""What a run learns from, labels or a teacher: the pictures it is shown and the step it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

from lookalike import distributed
from lookalike.config import Config
from lookalike.data import transforms
from lookalike.data.coupled import CoupledDataset, CoupledViews
from lookalike.data.loader import Loader, eval_loader, train_loader
from lookalike.data.table import Table
from lookalike.errors import ConfigError, suggest
from lookalike.jobs import building
from lookalike.losses import AsymmetricDistillation
from lookalike.models import weights
from lookalike.models.embedder import Embedder, create_model
from lookalike.models.encode import embed_rows
from lookalike.train.distill import DistillStep, Teacher
from lookalike.train.step import SupervisedStep

MODES = ("ts_aug", "ts_reg")


@dataclass(frozen=True)
class Lesson:
    """What :class:`~lookalike.jobs.training.Training` needs beside a model and a loss.

    Attributes:
        loader: the batches.
        step: makes the step, from the fields of :class:`~lookalike.train.step.SupervisedStep`.
    """

    loader: Loader
    step: Callable[..., SupervisedStep]


def lesson(
    config: Config,
    model: Embedder,
    loss: nn.Module,
    training: Table,
    sampler: Sampler[list[int]],
    device: torch.device,
) -> Lesson:
    """The lesson of a config: distillation where ``teacher=`` is given, else labels.

    Raises:
        ConfigError: a loss, a mode or a width that does not go with the teacher, or its absence.
        ModelError: a teacher that cannot be loaded.
    """
    if config.teacher is not None:
        return _distillation(config, model, loss, training, sampler, device)
    if isinstance(loss, AsymmetricDistillation):
        raise ConfigError(
            f"loss={config.loss['name']} learns from a teacher. Name it: teacher=RUN, a run or "
            "model folder or a timm model."
        )
    transform = transforms.train(config.transform.size, **config.transform.train)
    negatives = getattr(sampler, "negatives", 0)
    return Lesson(
        _loader(config, training, transform, sampler), partial(SupervisedStep, negatives=negatives)
    )


def _distillation(
    config: Config,
    student: Embedder,
    loss: nn.Module,
    training: Table,
    sampler: Sampler[list[int]],
    device: torch.device,
) -> Lesson:
    c = config.distillation
    if c.mode not in MODES:
        raise ConfigError(f"distillation.mode={c.mode}: no such mode. {suggest(c.mode, MODES)}")
    if not isinstance(loss, AsymmetricDistillation):
        raise ConfigError(
            f"loss={config.loss['name']}: it learns from labels, and would never ask the teacher. "
            "Set loss=asymmetric_distillation, or drop teacher=."
        )
    model = load_teacher(config).to(device)
    if model.width != student.width:
        raise ConfigError(
            f"The student's embeddings have {student.width} numbers and the teacher's "
            f"{model.width}. Set model.embedding_size={model.width}."
        )
    teacher = Teacher(model, building.pick_precision(c.precision, device))
    if c.mode == "ts_aug":
        loader = _coupled_loader(config, training, sampler)
        return Lesson(loader, partial(DistillStep, teacher=teacher))
    targets = _targets(config, model, teacher.precision, training)
    loader = _loader(config, training, student.transform(), sampler)
    return Lesson(loader, partial(DistillStep, targets=targets))


def _loader(
    config: Config, training: Table, transform: transforms.Transform, sampler: Sampler[list[int]]
) -> Loader:
    return train_loader(
        training,
        transform,
        sampler,
        workers=config.workers,
        seed=config.seed,
        broken=building.broken_policy(config),
    )


def load_teacher(config: Config) -> Embedder:
    """A run folder, a model folder, or a timm name with its published weights."""
    name = str(config.teacher)
    if Path(name).expanduser().exists():
        return weights.load(Path(name).expanduser())
    if "/" in name:
        raise ConfigError(f"teacher={name}: there is no such run or model folder.")
    return create_model(name, embedding_size=None, size=config.distillation.teacher_size)


def _coupled_loader(config: Config, training: Table, sampler: Sampler[list[int]]) -> Loader:
    c = config.distillation
    share = config.batch_size // distributed.world_size()
    if c.mixup and distributed.is_active() and share % c.group:
        raise ConfigError(
            f"distillation.group={c.group}: each process has {share} pictures of a batch, and a "
            "group of partners in mix-up must lie within one. Set a group that divides it."
        )
    options = config.transform.train
    views = CoupledViews(
        student=transforms.train(config.transform.size, **options),
        teacher=transforms.train(c.teacher_size, **options),
        count=c.views,
        mixup=c.mixup,
    )
    dataset = CoupledDataset(
        training,
        views,
        group=c.group,
        broken=building.broken_policy(config),
        seed=config.seed,
    )
    return Loader(dataset, sampler, config.workers)


def _targets(
    config: Config, teacher: Embedder, precision: torch.dtype | None, training: Table
) -> Tensor:
    """The teacher's embeddings of all training rows, each seen once as evaluation sees it."""
    options = teacher.spec.evaluation
    loader = eval_loader(
        training,
        transforms.evaluation(config.distillation.teacher_size, **options),
        batch_size=config.evaluation.batch_size,
        workers=config.workers,
        broken=building.broken_policy(config),
    )
    found, rows = embed_rows(teacher, loader, precision=precision)
    # A row that cannot be read is never trained on either: another of its class stands in.
    embeddings = np.zeros((len(training), teacher.width), np.float32)
    embeddings[rows] = found
    return torch.from_numpy(embeddings)
