"""What ``model.json`` must hold, and what it may name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, field

from lookalike import trust
from lookalike.documents import Digest, Document
from lookalike.errors import ModelError
from lookalike.stored_config import is_import_path

KIND = "model"  # of its mark
Width = Annotated[int, Meta(ge=1, le=65_536)]
Colours = Annotated[list[float], Meta(min_length=3, max_length=3)]
# Arguments of timm's create_model that read other files, or fetch them.
_REACHING = (
    "checkpoint_path",
    "cache_dir",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
)


class SpecPart(Document):
    """The ``spec`` of ``model.json``; see `lookalike.models.embedder.Spec`."""

    backbone: str
    pool: str = "auto"
    embedding_size: Width | None = 128
    head_norm: bool | str = False
    head_bias: bool = True
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    freeze_batch_norm: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    size: Annotated[int, Meta(ge=1, le=16_384)] = 224
    evaluation: dict[str, Any] = field(default_factory=dict)
    projection: Width | None = None
    whitening: Width | None = None
    widths: list[Width] = field(default_factory=list)
    mean: Colours | None = None
    std: Colours | None = None


class ModelFile(Document):
    """``model.json``."""

    format: Annotated[int, Meta(ge=1)]
    sha256: Digest
    spec: SpecPart
    teacher: Digest | None = None


def refuse_foreign(about: dict[str, Any], file: Path) -> None:
    """Refuse what only this user may name: networks that are imported, options that fetch.

    Args:
        about: the content of ``model.json``, checked.
        file: where it stands.

    Raises:
        ModelError: a network of one's own that nobody trusts, or an option that reaches beyond the
            folder.
    """
    if trust.is_sealed(about, KIND):
        return
    spec = about["spec"]
    if is_import_path(spec["backbone"]):
        trust.refuse_import(spec["backbone"], f"{file}: spec.backbone", ModelError)
    for option in spec.get("options", {}):
        if option in _REACHING:
            raise ModelError(
                f"{file}: spec.options.{option} reaches beyond the folder, which a model that "
                "does not bear your mark may not."
            )
