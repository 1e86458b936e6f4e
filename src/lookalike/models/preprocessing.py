"""How a backbone's images are prepared: as in its own training, where nothing else is said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lookalike import documents
from lookalike.config import Config
from lookalike.errors import ModelError
from lookalike.models import pretrained as files
from lookalike.models.description import ModelFile
from lookalike.models.timm_weights import settings

if TYPE_CHECKING:
    from lookalike.models.embedder import Embedder

SIZE = 224  # of a backbone that says nothing
_INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest")
_IN_TRAINING = ("bilinear", "bicubic", "nearest")


@dataclass(frozen=True)
class Preprocessing:
    """The size of a backbone's images, and how they come to it.

    Attributes:
        size: side in pixels.
        crop: share of the resized image's side that is kept; None: the whole image is squeezed.
        interpolation: of the resize.
        exact: options of the evaluation transform that hold at ``size`` as they are; they win.
    """

    size: int = SIZE
    crop: float | None = 0.875
    interpolation: str = "bilinear"
    exact: Mapping[str, Any] = field(default_factory=dict)

    def evaluation(self, size: int) -> dict[str, Any]:
        """Options of `lookalike.data.transforms.evaluation` for images of a size.

        >>> Preprocessing(224, 0.875, "bicubic").evaluation(160)
        {'interpolation': 'bicubic', 'resize': 182}
        """
        if self.exact and size == self.size:
            return dict(self.exact)
        options: dict[str, Any] = {"interpolation": self.interpolation}
        if self.crop is None:
            return options | {"crop": False}
        return options | {"resize": max(size, math.floor(size / self.crop + 1e-6))}


def of_backbone(
    name: str, pretrained: bool | str, options: Mapping[str, Any] | None = None
) -> Preprocessing | None:
    """What is known of the images that a backbone was trained on.

    A folder of lookalike says all of itself in its ``model.json``; of a timm network its
    ``pretrained_cfg`` does, an overlay among the options included.

    Args:
        name: of the backbone.
        pretrained: as in `lookalike.models.create_model`.
        options: handed to the backbone's constructor.

    Returns:
        None: nothing is known of it, or it has learned nothing.
    """
    import timm

    if pretrained is False:
        return None
    if isinstance(pretrained, str) and (folder := files.model_folder(pretrained)) is not None:
        spec = documents.read_json(folder / "model.json", ModelFile, fault=ModelError)["spec"]
        return Preprocessing(spec.get("size", SIZE), exact=spec.get("evaluation", {}))
    if not timm.is_model(name.split(".")[0]):
        return None
    return _of_settings(settings(name, options))


def _of_settings(about: Mapping[str, Any]) -> Preprocessing:
    """As timm evaluates a network at the size that it was trained at.

    >>> _of_settings({"input_size": (3, 288, 288), "interpolation": "bicubic", "crop_pct": 1.0})
    Preprocessing(size=288, crop=1.0, interpolation='bicubic', exact={})
    """
    known = about.get("interpolation", "bilinear")
    whole = about.get("crop_mode") == "squash"
    return Preprocessing(
        size=int(about.get("input_size", (3, SIZE, SIZE))[-1]),
        crop=None if whole else float(about.get("crop_pct") or 0.875),
        interpolation=known if known in _INTERPOLATIONS else "bilinear",
    )


def resolved(config: Config) -> Config:
    """The configuration with ``transform=auto`` spelt out: the backbone's own, where it has some.

    What is said of size, crop or interpolation stays.
    """
    c, m = config.transform, config.model
    if not c.as_backbone:
        return config if c.size is not None else _sized(config, SIZE)
    start = m.pretrained if m.weights is None else m.weights
    own = of_backbone(m.backbone, start, m.options)
    if own is None:
        return _sized(config, c.size or SIZE)
    size = c.size or own.size
    evaluation = own.evaluation(size)
    if c.evaluation.get("crop") is False or "resize" in c.evaluation:
        evaluation = {k: v for k, v in evaluation.items() if k == "interpolation"}
    evaluation |= c.evaluation
    seen = evaluation.get("interpolation", "bilinear")
    train = {"interpolation": seen} if seen in _IN_TRAINING else {}
    transform = replace(c, size=size, evaluation=evaluation, train=train | c.train)
    return replace(config, transform=transform)


def side(config: Config) -> int:
    """The side of a run's images in pixels."""
    return config.transform.size or SIZE


def record(model: Embedder) -> dict[str, Any]:
    """How images become a model's input, as a run's manifest keeps it."""
    mean, std = ([round(float(x) / 255, 6) for x in t.flatten()] for t in (model.mean, model.std))
    return {"mean": mean, "std": std, "size": model.spec.size, "transform": repr(model.transform())}


def words(model: Embedder) -> str:
    """The same in a line for people."""
    if model.spec.backbone == "vectors":
        return f"none: {model.spec.options.get('width')}-d vectors"
    about, c = record(model), model.spec.evaluation
    mean, std = (" ".join(f"{x:g}" for x in about[name]) for name in ("mean", "std"))
    size, resize = about["size"], c.get("resize")
    if c.get("crop") is False:
        way = "the whole image squeezed"
    else:
        way = f"the middle of {round(size * 8 / 7) if resize is None else resize} px"
    way += f", {c.get('interpolation', 'bilinear')}"
    return f"{size} px, {way}; mean {mean}, std {std}"


def _sized(config: Config, size: int) -> Config:
    return replace(config, transform=replace(config.transform, size=size))
