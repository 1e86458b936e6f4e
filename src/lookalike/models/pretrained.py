"""A backbone's first weights from a file: timm's, torchvision's or lookalike's keys, no head."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from lookalike.errors import ModelError, counted
from lookalike.files import sha256
from lookalike.models import hub, published

_STATE = dict[str, Tensor]
# Layers behind the features, as timm, torchvision and others call them.
_HEADS = ("classifier", "fc", "head", "heads", "last_linear", "linear", "aux1", "aux2")
_COUNTER = "num_batches_tracked"  # of batch norm: old files lack it, and it weighs nothing
_LEAVES = ("weight", "bias", "running_mean", "running_var")
# torchvision's vision transformers under timm's names.
_TRANSFORMER = (
    (r"^class_token$", "cls_token"),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"^encoder\.ln\.", "norm."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(linear_1|0)\.", ".mlp.fc1."),
    (r"\.mlp\.(linear_2|3)\.", ".mlp.fc2."),
)


@dataclass(frozen=True)
class WeightsFile:
    """A file that a backbone's first weights came from.

    Attributes:
        file: its path.
        sha256: of its content.
        left_over: keys that the backbone has no place for, such as those of a classifier.
        in_order: whether the keys are another library's, matched by their order and shapes.
    """

    file: str
    sha256: str
    left_over: tuple[str, ...]
    in_order: bool = False

    def __str__(self) -> str:
        words = f"{self.file}, sha256 {self.sha256[:12]}…"
        if self.in_order:
            words += ", another library's keys matched by order and shape"
        if self.left_over:
            shown = ", ".join(self.left_over[:3])
            more = len(self.left_over) - 3
            words += f"; left over: {shown}{f' and {more} more' if more > 0 else ''}"
        return words


def load_backbone(network: nn.Module, path: str | Path, name: str) -> WeightsFile:
    """Fill a backbone from a file; a classifier or an embedder's head is left out.

    Args:
        network: the backbone.
        path: a safetensors file, a checkpoint that holds tensors alone (``.pth``, ``.pt``,
            ``.bin``, ``.ckpt``, ``.tar``), a run or model folder of lookalike, or
            ``hf://OWNER/NAME``.
        name: the backbone's, for messages.

    Raises:
        DataError: a checkpoint that is damaged.
        ModelError: no such file, or weights of another network.
    """
    file = _file(path)
    state = read(file)
    own = network.state_dict()
    found = next((fit for fit in _candidates(state, network) if not _differences(fit, own)), None)
    in_order = found is None
    if found is None:
        found = _by_order(state, network)
    if found is None:
        raise ModelError(
            f"model.pretrained={path}: not the weights of {name}: {_closest(state, network)}. "
            "Name the network that they were trained in."
        )
    used = {tensor.data_ptr() for key, tensor in found.items() if key in own}
    left_over = tuple(
        key
        for key, tensor in state.items()
        if tensor.data_ptr() not in used and not key.endswith(_COUNTER)
    )
    counters = {key: own[key] for key in own if key.endswith(_COUNTER) and key not in found}
    fitting = {key: found[key].reshape(own[key].shape) for key in own if key in found}
    network.load_state_dict(fitting | counters)
    return WeightsFile(str(path), sha256(file), left_over, in_order)


def read(file: Path) -> _STATE:
    """The tensors of a file under its own keys; nothing in it is run.

    Raises:
        DataError: a damaged checkpoint.
        ModelError: not a safetensors file.
    """
    if file.suffix in published.SUFFIXES:
        return published.read_raw(file)[0]
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ModelError(f"{file} is not a whole safetensors file ({error}).") from error


def model_folder(path: str | Path) -> Path | None:
    """The folder with ``model.json`` where the weights are those of a lookalike model."""
    path = hub.local(path)
    return next(
        (f for f in (path, path / "model") if all((f / n).is_file() for n in hub.FILES)), None
    )


def _file(path: str | Path) -> Path:
    folder = model_folder(path)
    if folder is not None:
        return folder / hub.FILES[1]
    file = Path(path).expanduser()
    if file.is_dir():
        raise ModelError(
            f"model.pretrained={path}: that folder holds no model of lookalike "
            f"({' and '.join(hub.FILES)}). Name the file with the weights."
        )
    if not file.is_file():
        published.refuse_a_bare_name(str(path), "model.pretrained")
        raise ModelError(f"model.pretrained={path}: there is no such file.")
    if file.suffix != ".safetensors" and file.suffix not in published.SUFFIXES:
        raise ModelError(
            f"model.pretrained={path}: give a .safetensors file or a checkpoint "
            f"({', '.join(published.SUFFIXES)})."
        )
    return file


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


def _candidates(state: _STATE, network: nn.Module) -> Iterable[_STATE]:
    """The state under the names it may mean, the likeliest first."""
    plain = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    yield plain
    yield {k.removeprefix("backbone."): v for k, v in plain.items() if k.startswith("backbone.")}
    yield {
        key.removeprefix("backbone."): tensor
        for key, tensor in published.own_names(plain).items()
        if key.startswith("backbone.")
    }
    yield {_renamed(key): tensor for key, tensor in plain.items()}
    # timm's own reader of other systems' checkpoints, and of positions for another image size.
    adapt: Callable[[_STATE, nn.Module], _STATE] | None = getattr(
        sys.modules[type(network).__module__], "checkpoint_filter_fn", None
    )
    if adapt is not None and type(network).__module__.startswith("timm."):
        try:
            yield dict(adapt(dict(plain), network))
        except (KeyError, AttributeError, ValueError, IndexError, RuntimeError):
            return  # a checkpoint of none of the systems that it knows


def _renamed(key: str) -> str:
    for pattern, name in _TRANSFORMER:
        key = re.sub(pattern, name, key)
    return key


def _differences(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Why a state does not fill a network; none: it does."""
    needed = [key for key in own if not key.endswith(_COUNTER)]
    missing = [key for key in needed if key not in state]
    if missing:
        return [f"missing {_few(missing)}"]
    shapes = [
        f"{key} is {tuple(state[key].shape)} there and {tuple(own[key].shape)} here"
        for key in needed
        if state[key].shape != own[key].shape
    ]
    if shapes:
        return [_few(shapes)]
    # A smaller network's names are all in a larger one's file.
    tops = {key.partition(".")[0] for key in needed} - {*_HEADS}
    larger = [k for k in state if k not in own and k.partition(".")[0] in tops]
    return [f"left over {_few(larger)}, as of a larger network"] if larger else []


def _closest(state: _STATE, network: nn.Module) -> str:
    own = network.state_dict()
    best = max(_candidates(state, network), key=lambda fit: len(fit.keys() & own.keys()))
    if not best.keys() & own.keys():
        return f"{counted(len(state), 'tensor')} of other names, such as {_few([*state])}"
    return _differences(best, own)[0]


def _few(words: list[str], most: int = 3) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


# ── by order ────────────────────────────────────────────────────────────────────────────────────


def _by_order(state: _STATE, network: nn.Module) -> _STATE | None:
    """torchvision's layers under the names of timm's, where both come in one order.

    Layers are compared one by one in the order of their numbers: each must hold the same kinds of
    tensors in the same shapes, places of extent 1 aside (a linear layer as a 1×1 convolution).
    """
    theirs = _layers({key: tensor for key, tensor in state.items() if not key.endswith(_COUNTER)})
    ours = _layers(
        {k: v for k, v in network.state_dict().items() if not k.endswith(_COUNTER)}, natural=False
    )
    if len(theirs) < len(ours):
        return None
    found: _STATE = {}
    for mine, its in zip(ours, theirs, strict=False):
        if len(mine) != len(its):
            return None
        for key, tensor in mine.items():
            leaf = key.rpartition(".")[2]
            same = [k for k in its if k.rpartition(".")[2] == leaf]
            if not same and leaf not in _LEAVES and len(its) == 1:
                same = [*its]
            if not same or _squeezed(its[same[0]]) != _squeezed(tensor):
                return None
            found[key] = its[same[0]]
    rest = [key for layer in theirs[len(ours) :] for key in layer]
    return found if all(key.partition(".")[0] in _HEADS for key in rest) else None


def _layers(state: _STATE, *, natural: bool = True) -> list[_STATE]:
    """The tensors of each layer; heads last."""
    layers: dict[str, _STATE] = {}
    for key, tensor in state.items():
        layers.setdefault(key.rpartition(".")[0], {})[key] = tensor
    names = sorted(layers, key=_natural) if natural else layers
    return [layers[name] for name in names]


def _natural(layer: str) -> tuple[bool, list[tuple[int, str]]]:
    parts = [(int(p), "") if p.isdigit() else (-1, p) for p in layer.split(".")]
    return layer.partition(".")[0] in _HEADS, parts


def _squeezed(tensor: Tensor) -> list[int]:
    return [n for n in tensor.shape if n != 1]
