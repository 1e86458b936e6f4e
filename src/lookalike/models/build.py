"""From a config to the embedder of a run, its device and its precision."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch

import torch

from lookalike import distributed
from lookalike.config import Config
from lookalike.errors import ConfigError
from lookalike.models import weights
from lookalike.models.create import create_model
from lookalike.models.embedder import Embedder
from lookalike.models.preprocessing import side


def pick_device(name: str) -> torch.device:
    """The device that ``device=`` names; ``auto`` is CUDA where there is one."""
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
        pretrained=c.pretrained if c.weights is None else False,
        freeze_batch_norm=c.freeze_batch_norm,
        options=c.options,
        size=side(config),
        evaluation=config.transform.evaluation,
        whitening=c.whitening,
        widths=c.widths,
        mean=c.mean,
        std=c.std,
    )
    if c.weights is not None:
        weights.load_into(model, c.weights)
        model.pretrained = True
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
