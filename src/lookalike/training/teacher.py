"""Who teaches a run: a run or model folder, a published checkpoint, or a timm name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lookalike import components
from lookalike.config import Config
from lookalike.errors import ConfigError
from lookalike.evaluation.asymmetric import load_model
from lookalike.models import published, published_network, weights
from lookalike.models.create import create_model
from lookalike.models.embedder import Embedder

FOLDER = "teacher"  # of a run folder: a teacher that has no model folder of its own


@dataclass(frozen=True)
class Tutor:
    """A teacher, loaded.

    Attributes:
        model: its network, prepared for images of ``distillation.teacher_size``.
        sha256: of its weights' file, by which an index it built knows its students.
        folder: whether it came from a model folder, so that an index can be built with it as it is.
        notes: what a person should know of it.
    """

    model: Embedder
    sha256: str
    folder: bool
    notes: tuple[str, ...] = ()

    def keep(self, run: Path) -> None:
        """Save a teacher that has no folder of its own into a run's, to build an index with."""
        if not self.folder:
            weights.save(self.model, run / FOLDER)


def tutor_of(config: Config, student: Embedder) -> Tutor | None:
    """The teacher of a config, and the student brought into its space; None without a teacher.

    The student's embedding is projected to the teacher's width where they differ, and its manifest
    is going to name the teacher.

    Raises:
        ConfigError, ModelError: as `load_teacher`.
    """
    found = load_teacher(config)
    if found is None:
        return None
    student.teacher = found.sha256
    teacher, width = found.model, found.model.width
    notes = [f"teacher  {teacher.spec.backbone}, {width}-wide embeddings, {teacher.spec.size} px"]
    if student.width != width:
        notes.append(
            f"         student embeddings are projected from {student.width:,}-d to {width:,}-d"
        )
        student.project(width)
        student.to(student.device)
    return replace(found, notes=tuple(notes))


def check(config: Config) -> None:
    """Refuse a teacher that cannot be, before anything is loaded.

    Raises:
        ConfigError: no such folder or file, or one that does not say all of itself.
        ModelError: the bare name of published weights.
    """
    c, name = config.distillation, str(config.teacher)
    path = Path(name).expanduser()
    if path.is_dir():
        if c.teacher_model:
            raise ConfigError(
                f"distillation.teacher_model: teacher={name} is a folder, whose model.json says "
                "all of its network. Drop the option."
            )
        return
    if c.teacher_size is None:
        raise ConfigError(
            f"distillation.teacher_size: {name} does not say at which size it was trained. Set it, "
            "such as distillation.teacher_size=448."
        )
    _said(config)
    if path.is_file():
        if path.suffix not in published.SUFFIXES:
            raise ConfigError(
                f"teacher={name}: give a run or model folder, a checkpoint "
                f"({', '.join(published.SUFFIXES)}) or a timm name."
            )
    elif "/" in name:
        raise ConfigError(f"teacher={name}: there is no such run or model folder, and no such file")
    else:
        published.refuse_a_bare_name(name, option="teacher")


def load_teacher(config: Config) -> Tutor | None:
    """The teacher that ``teacher=`` names; None without one.

    Raises:
        ConfigError, ModelError: as `check`; no such network, or weights that cannot be reached, or
            do not fit.
    """
    if config.teacher is None:
        return None
    check(config)
    c, name = config.distillation, str(config.teacher)
    path = Path(name).expanduser()
    if path.is_dir():
        model = load_model(path, c.teacher_size, "distillation.teacher_size")
        known = weights.read_about(weights.model_folder(path))["sha256"]
        return Tutor(model, known, folder=True)
    as_backbone = config.transform.as_backbone  # of the teacher's own, and not of the student's
    evaluation = None if as_backbone else config.transform.evaluation
    options: dict[str, Any] = dict(size=c.teacher_size, evaluation=evaluation, **_said(config))
    if path.is_file():
        model = published_network.load(path, **options)
    else:
        model = create_model(name, **{"embedding_size": None, **options})
    return Tutor(model, weights.digest(model), folder=False)


def _said(config: Config) -> dict[str, Any]:
    """What the person says of the teacher's network, checked."""
    said = dict(config.distillation.teacher_model)
    taken = ("size", "evaluation")
    for key in said:
        if key in taken:
            raise ConfigError(
                f"distillation.teacher_model.{key}: set distillation.teacher_size, or "
                "transform.evaluation."
            )
    components.check_arguments(create_model, said, "distillation.teacher_model")
    return said
