"""What a run learns from, labels or a teacher: the images it is shown and the step it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch.utils.data import Sampler

from lookalike import components, distributed
from lookalike.config import Config
from lookalike.data import transforms
from lookalike.data.build import broken_policy
from lookalike.data.coupled import CoupledDataset, CoupledViews
from lookalike.data.loader import Loader, train_loader
from lookalike.data.table import Table
from lookalike.errors import ConfigError, counted, suggest
from lookalike.losses import AsymmetricDistillation, CrossBatchMemory, SelfSupervised
from lookalike.losses.calling import takes_pairs
from lookalike.models.build import pick_precision
from lookalike.models.embedder import Embedder
from lookalike.models.preprocessing import side
from lookalike.training import teacher as teachers
from lookalike.training.compatible import CompatibleStep
from lookalike.training.distill import DistillStep, Ranking, Stored, Teacher
from lookalike.training.step import SupervisedStep
from lookalike.training.teacher import Tutor
from lookalike.training.teacher_cache import store

MODES = ("ts_aug", "ts_reg", "compatible")


@dataclass(frozen=True)
class Lesson:
    """What :class:`~lookalike.training.trainer.Training` needs beside a model and a loss.

    Attributes:
        loader: the batches.
        step: makes the step, from the fields of :class:`~lookalike.training.step.SupervisedStep`.
        notes: what a person should know of it.
    """

    loader: Loader
    step: Callable[..., SupervisedStep]
    notes: tuple[str, ...] = ()


def lesson(
    config: Config,
    model: Embedder,
    tutor: Tutor | None,
    training: Table,
    sampler: Sampler[list[int]],
) -> Lesson:
    """The lesson of a config: distillation where there is a teacher, else labels.

    Raises:
        ConfigError: a loss that ranks no gallery, or groups that no process holds whole.
        DataError: an image that the teacher cannot be shown.
    """
    if tutor is not None:
        return _taught(config, model, tutor, training, sampler)
    return _labelled(config, training, sampler)


def check(config: Config) -> None:
    """Refuse what does not go with a teacher, with its absence, or with the mode.

    Raises:
        ConfigError: says what to change.
        ModelError: a teacher that is the bare name of published weights.
    """
    loss = components.check("loss", config.loss, complete=True)
    components.check("sampler", config.sampler, complete=True)
    if config.miner:
        components.check("miner", config.miner, complete=True)
        if isinstance(loss, type) and not (takes_pairs(loss) or loss is CrossBatchMemory):
            raise ConfigError(
                f"miner={config.miner['name']}: loss={config.loss['name']} reads no mined pairs. "
                "Set loss=multi_similarity or loss=triplet, or miner=none."
            )
    if loss is SelfSupervised and config.sampler.get("views", 1) < 2:
        raise ConfigError(
            "loss=self_supervised compares views of an image, and a batch has one of each. Set "
            "sampler=random sampler.views=2."
        )
    taught = isinstance(loss, type) and issubclass(loss, AsymmetricDistillation)
    if config.teacher is not None:
        teachers.check(config)
        _check_mode(config, taught)
    elif taught:
        raise ConfigError(
            f"loss={config.loss['name']} learns from a teacher. Name it: teacher=RUN, a run or "
            "model folder, a published checkpoint or a timm model."
        )


def _labelled(
    config: Config,
    training: Table,
    sampler: Sampler[list[int]],
    step: Callable[..., SupervisedStep] = SupervisedStep,
) -> Lesson:
    transform = transforms.train(side(config), **config.transform.train)
    negatives = getattr(sampler, "negatives", 0)
    loader = _loader(config, training, transform, sampler)
    return Lesson(loader, partial(step, negatives=negatives))


def _taught(
    config: Config,
    student: Embedder,
    tutor: Tutor,
    training: Table,
    sampler: Sampler[list[int]],
) -> Lesson:
    c, device = config.distillation, student.device
    tutor.model.to(device)
    teacher = Teacher(tutor.model, pick_precision(c.precision, device))
    ranking = _ranking(config, training, student.width)
    step = partial(DistillStep, ranking=ranking, widths=sorted(student.spec.widths))
    if c.mode == "ts_aug":
        loader = _coupled_loader(config, tutor, training, sampler)
        return Lesson(loader, partial(step, teacher=teacher))
    stored, words = store(config, tutor, training, teacher.precision)
    tutor.model.cpu()  # it has said all it is asked
    notes = (f"         {words}",)
    if ranking is not None:
        stored = Stored(*(x.to(device) for x in (stored.embeddings, stored.labels, stored.known)))
    if c.mode == "compatible":
        taught = partial(CompatibleStep, stored=stored, ranking=ranking)
        return replace(_labelled(config, training, sampler, taught), notes=notes)
    loader = _loader(config, training, student.transform(), sampler)
    return Lesson(loader, partial(step, stored=stored), notes)


def _check_mode(config: Config, taught: bool) -> None:
    """What does not go with the mode; ``taught``: the loss learns from a teacher."""
    c = config.distillation
    if c.mode not in MODES:
        raise ConfigError(f"distillation.mode={c.mode}: no such mode. {suggest(c.mode, MODES)}")
    if c.mode != "compatible" and not taught:
        raise ConfigError(
            f"loss={config.loss['name']}: it learns from labels, and would never ask the teacher. "
            "Set loss=asymmetric_distillation, or distillation.mode=compatible, or drop teacher=."
        )
    if c.mode == "compatible" and taught:
        raise ConfigError(
            f"distillation.mode=compatible learns from labels; loss={config.loss['name']} reads "
            "none. Set loss=smooth_ap or another of labels."
        )
    if c.mode == "ts_aug" and c.rank and c.mixup:
        raise ConfigError(
            f"distillation.rank beside distillation.mixup={c.mixup}: a view mixed of two images "
            "has no label to be ranked by. Set distillation.mixup=0."
        )
    if c.mode == "ts_aug" and c.cache is not None:
        raise ConfigError(
            f"distillation.cache={c.cache}: in the mode ts_aug the teacher sees new random views "
            "in every epoch, so nothing of it can be kept. Drop the option, or set "
            "distillation.mode=ts_reg."
        )


def _ranking(config: Config, training: Table, width: int) -> Ranking | None:
    """The loss that ranks the teacher's gallery, if there is to be one."""
    c = config.distillation
    node = c.rank or ({"name": "smooth_ap"} if c.mode == "compatible" else {})
    if not node:
        return None
    loss = components.build(
        "loss",
        node,
        path="distillation.rank",
        num_classes=training.num_classes(0),
        embedding_size=width,
    )
    if isinstance(loss, AsymmetricDistillation) or any(True for _ in loss.parameters()):
        raise ConfigError(
            f"distillation.rank.name={node['name']}: it compares no images with a gallery. Give "
            "a rank or pair loss, such as smooth_ap."
        )
    return Ranking(loss, c.rank_weight)


def _loader(
    config: Config, training: Table, transform: transforms.Transform, sampler: Sampler[list[int]]
) -> Loader:
    return train_loader(
        training,
        transform,
        sampler,
        workers=config.workers,
        seed=config.seed,
        broken=broken_policy(config),
    )


def _coupled_loader(
    config: Config, tutor: Tutor, training: Table, sampler: Sampler[list[int]]
) -> Loader:
    c = config.distillation
    assert config.batch_size is not None  # settled with the sampler
    share = config.batch_size // distributed.world_size()
    if c.mixup and distributed.is_active() and share % c.group:
        raise ConfigError(
            f"distillation.group={c.group}: each process has {counted(share, 'image')} of a"
            " batch, and a "
            "group of partners in mix-up must lie within one. Set a group that divides it."
        )
    options = config.transform.train
    views = CoupledViews(
        student=transforms.train(side(config), **options),
        teacher=transforms.train(tutor.model.spec.size, **options),
        count=c.views,
        mixup=c.mixup,
    )
    dataset = CoupledDataset(
        training,
        views,
        group=c.group,
        broken=broken_policy(config),
        seed=config.seed,
    )
    return Loader(dataset, sampler, config.workers)
