"""A model that is ready to embed: one trained before, or a backbone as its authors left it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from lookalike.compose import compose
from lookalike.errors import ConfigError, ModelError, suggest
from lookalike.models import preprocessing, weights
from lookalike.models.backbones import OWN
from lookalike.models.build import build_model
from lookalike.models.embedder import Embedder
from lookalike.models.names import is_backbone


def open_model(source: str | Path, options: Sequence[str] = ()) -> Embedder:
    """The model of a folder; or a backbone alone, whose pooled features are the embedding.

    Args:
        source: a run or model folder, ``hf://OWNER/NAME``, or a backbone's name (any of timm's, one
            of `lookalike.models.backbones.OWN`, an import path).
        options: of a backbone, as on the command line: ``model.pretrained=FILE``,
            ``transform.size=160``. There is no head unless ``model.embedding_size`` asks for one.

    Returns:
        The embedder in evaluation mode.

    Raises:
        ConfigError: options beside a folder, whose ``model.json`` says all of its network.
        ModelError: nothing of that name, or weights that cannot be reached.
    """
    if not is_backbone(source):
        if options:
            raise ConfigError(
                f"{options[0]}: {source} is a folder whose model.json says all of its network. "
                "Leave the option out."
            )
        return weights.load(source)
    _refuse_unknown(str(source))
    config = preprocessing.resolved(
        compose([f"model={source}", "model.embedding_size=null", *options])
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)  # of a network without weights, so that it is found again
        return build_model(config).to("cpu").eval()


def introduce(source: str | Path, model: Embedder, say: Callable[[str], None]) -> None:
    """Say what a backbone that was opened by its name is; of a folder's model, nothing."""
    if not is_backbone(source):
        return
    say(f"model    {source}, {model.width}-d embeddings")
    if model.weights_file is not None:
        say(f"weights  {model.weights_file}")
    say(f"images   {preprocessing.words(model)}")


def _refuse_unknown(name: str) -> None:
    import timm

    base = name.split(".")[0]
    if name in OWN or timm.is_model(base):
        return
    parts = name.split(".")
    if len(parts) > 1 and all(part.isidentifier() for part in parts):
        return  # an import path
    raise ModelError(
        f"{name} does not exist. Give a run folder, a model folder, hf://OWNER/NAME or the name of "
        f"a backbone, such as resnet50. {suggest(base, [*OWN, *timm.list_models()])}"
    )
