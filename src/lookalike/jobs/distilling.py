"""A run with a teacher: who it is, what both networks are shown, the step that compares them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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

MODES = ("ts_aug", "ts_reg")


@dataclass(frozen=True)
class Distillation:
    """What :class:`~lookalike.jobs.training.Training` needs beside a student.

    Attributes:
        loader: of the student's pictures, and in ``ts_aug`` of the teacher's too.
        teacher: asked about every view (``ts_aug``), or None.
        targets: its embeddings of the training rows, ``(N, D)`` (``ts_reg``), or None.
    """

    loader: Loader
    teacher: Teacher | None = None
    targets: Tensor | None = None

    def step(self, **parts: Any) -> DistillStep:
        """The step of such a run."""
        return DistillStep(teacher=self.teacher, targets=self.targets, **parts)


def distillation(
    config: Config,
    student: Embedder,
    loss: nn.Module,
    training: Table,
    sampler: Sampler[list[int]],
    device: torch.device,
) -> Distillation:
    """The teacher of ``teacher=`` and the pictures it shares with a student.

    Raises:
        ConfigError: an unknown mode, a loss that asks no teacher, embeddings of two widths.
        ModelError: a teacher that cannot be loaded.
    """
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
    asked = Teacher(model, building.pick_precision(c.precision, device))
    if c.mode == "ts_aug":
        return Distillation(_coupled_loader(config, training, sampler), teacher=asked)
    loader = train_loader(
        training,
        student.transform(),
        sampler,
        workers=config.workers,
        seed=config.seed,
        broken=building.broken_policy(config),
    )
    return Distillation(loader, targets=_targets(config, model, asked.precision, training))


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
