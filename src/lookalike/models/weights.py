"""Save and load embedders: ``model.safetensors`` with the JSON that rebuilds the network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lookalike import __version__, documents, trust
from lookalike.errors import LookalikeError, ModelError
from lookalike.files import replacing, sha256, write_text
from lookalike.models import hub, published
from lookalike.models.description import KIND, ModelFile, refuse_foreign
from lookalike.models.embedder import Embedder, Spec

WEIGHTS = "model.safetensors"
SPEC = "model.json"
FORMAT = 1
_METADATA = {"format": "pt"}


def save(model: Embedder, folder: str | Path) -> None:
    """Write weights and spec to a folder, each whole or not at all.

    Args:
        model: what to save.
        folder: made when missing; a model already there is replaced.

    Raises:
        RunError: the disk refuses; the model that was there is untouched.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    with replacing(folder / WEIGHTS) as part:
        save_file(_state(model), part, metadata=_METADATA)
        digest = sha256(part)
    about = {
        "format": FORMAT,
        "lookalike": __version__,
        "width": model.width,
        "sha256": digest,
        "teacher": model.teacher,
        "spec": model.spec.to_dict(),
    }
    write_text(folder / SPEC, json.dumps(trust.sealed(about, KIND), indent=2) + "\n")


def load(path: str | Path, device: str = "cpu") -> Embedder:
    """Rebuild an embedder from a run folder or a model folder.

    Args:
        path: a run folder (its best model is taken), a folder with ``model.json``, or
            ``hf://OWNER/NAME``.
        device: where to put it.

    Returns:
        The embedder in evaluation mode.

    Raises:
        ModelError: no model there, a file changed or cut since it was written, or weights that do
            not fit the network.
    """
    folder = model_folder(path)
    about = read_about(folder)
    if sha256(folder / WEIGHTS) != about["sha256"]:
        raise ModelError(
            f"{folder / WEIGHTS} is not the file that {SPEC} describes: it was changed, or cut "
            "short. Copy the model again, or train again."
        )
    known = {f.name for f in fields(Spec)}
    spec = Spec(**{key: value for key, value in about["spec"].items() if key in known})
    model = _built(spec, folder / SPEC)
    load_state(model, folder / WEIGHTS)
    model.teacher = about.get("teacher")
    model.pretrained = True
    return model.to(device).eval()


def digest(model: Embedder) -> str:
    """The SHA-256 that the weights' file has once it is saved."""
    from safetensors.torch import save as serialised

    return hashlib.sha256(serialised(_state(model), metadata=_METADATA)).hexdigest()


def load_into(model: Embedder, path: str | Path) -> None:
    """Start a network from weights.

    Args:
        model: the network, of the same kind.
        path: a safetensors file, a run folder, or a checkpoint of one of the five published
            systems (``.pth``, ``.ckpt``, ``.tar``, …), see `lookalike.models.published`.

    Raises:
        DataError: a checkpoint that is damaged.
        ModelError: nothing there, or weights of another network.
    """
    name, path = str(path), Path(path).expanduser()
    if not path.exists():
        published.refuse_a_bare_name(name)
    if path.suffix in published.SUFFIXES and not path.is_dir():
        state = published.complete(published.read(path), model.state_dict())
        fit_state(model, state, str(path))
        return
    load_state(model, path if path.suffix == ".safetensors" else model_folder(path) / WEIGHTS)


def model_folder(path: str | Path) -> Path:
    """The folder that holds ``model.json``: the path itself, its ``model/``, or a hub's copy."""
    path = hub.local(path)
    for folder in (path, path / "model"):
        if (folder / SPEC).is_file() and (folder / WEIGHTS).is_file():
            return folder
    if not path.exists():
        raise ModelError(f"{path} does not exist. Give a run folder or a model folder.")
    raise ModelError(
        f"{path} holds no model ({SPEC} and {WEIGHTS}). Give a run folder that has finished at "
        "least one evaluation."
    )


def read_about(folder: Path) -> dict[str, Any]:
    """The JSON beside the weights, checked; see `lookalike.models.description`.

    Raises:
        ModelError: absent, damaged, of a newer format, or one that a stranger may not write.
    """
    about = documents.read_json(folder / SPEC, ModelFile, fault=ModelError)
    if about["format"] > FORMAT:
        raise ModelError(
            f"{folder / SPEC} has format {about['format']}, newer than this lookalike "
            f"({__version__}). Update lookalike."
        )
    refuse_foreign(about, folder / SPEC)
    return about


def _built(spec: Spec, file: Path) -> Embedder:
    """The network of a description, whatever numbers stand in it."""
    try:
        model = Embedder(spec)
        model.transform()
    except LookalikeError as error:
        raise type(error)(f"{file}: {error}") from error
    except (RuntimeError, TypeError, ValueError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(f"{file}: no network can be built by it ({reason}).") from error
    return model


def load_state(model: nn.Module, path: str | Path) -> None:
    """Fill a network from a safetensors file; every name and shape must fit.

    Raises:
        ModelError: names the first keys that are missing, left over, or of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if not path.is_file():
        raise ModelError(f"model.weights: {path} does not exist.")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} is not a whole safetensors file ({error}).") from error
    fit_state(model, state, str(path))


def fit_state(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """``load_state_dict`` with an error that says which keys differ and how.

    Raises:
        ModelError: the state is of another model.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)} there and {tuple(own[key].shape)} here"
        for key in own
        if key in state and own[key].shape != state[key].shape
    ]
    parts = []
    if missing:
        parts.append(f"missing {_few(missing)}")
    if extra:
        parts.append(f"left over {_few(extra)}")
    if shapes:
        parts.append(_few(shapes))
    if parts:
        raise ModelError(f"{source} is of another model: {'; '.join(parts)}.")
    model.load_state_dict(state)


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}


def _few(words: list[str], most: int = 3) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
