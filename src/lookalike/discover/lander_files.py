"""LANDER networks on disk: ours as safetensors, published checkpoints without running them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lookalike.data import unpickle
from lookalike.discover.edge_lander import EdgeLander
from lookalike.discover.lander import Lander
from lookalike.errors import ModelError
from lookalike.files import write_with


def save_lander(network: Lander | EdgeLander, file: str | Path) -> None:
    """Write the weights, whole or not at all; their shapes say all of the architecture.

    Args:
        network: what to save.
        file: such as ``lander.safetensors``.

    Raises:
        RunError: the disk refuses.
    """
    from safetensors.torch import save_file

    state = {name: t.detach().contiguous().cpu() for name, t in network.state_dict().items()}
    write_with(Path(file), lambda part: save_file(state, part, metadata={"format": "pt"}))


def load_lander(file: str | Path, device: str | torch.device = "cpu") -> Lander | EdgeLander:
    """Read a network, ours (``.safetensors``) or a published checkpoint (``.pth``, ``.pt``).

    A checkpoint of ``torch.save`` is read with ``weights_only``: nothing in it runs.

    Args:
        file: the weights.
        device: where to put it.

    Returns:
        The network in evaluation mode.

    Raises:
        ModelError: no such file, a damaged one, or weights of another network.
        DataError: a pickle that asks for more than tensors.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "lander.safetensors"
        >>> save_lander(Lander(8, hidden=4, attention=False), file)
        >>> load_lander(file).hidden
        4
    """
    path = Path(file)
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    state = _read(path)
    network = _network(state, path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"{path} holds no LANDER: {str(error).splitlines()[-1].strip()}") from None
    return network.to(device).eval()


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ModelError(f"{path} is not a whole safetensors file ({error}).") from None
    state = unpickle.load(path)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path} holds no state dict of tensors; export the network's alone")
    # Training on several GPUs prefixes every name.
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def _network(state: dict[str, Tensor], path: Path) -> Lander | EdgeLander:
    """An empty network of the architecture that the shapes tell."""
    if "spread" in state and "head.0.weight" in state:
        return EdgeLander(len(state["head.0.weight"]))
    layers = len({name.split(".")[1] for name in state if name.startswith("conv.")})
    try:
        hidden = 2 * len(state["src_mlp.weight"])
        if "conv.0.gcn_layer.fc.weight" in state:
            width = state["conv.0.gcn_layer.fc.weight"].shape[1]
            heads = state["conv.0.gcn_layer.attn_l"].shape[1]
            network = Lander(width, hidden, layers, heads=heads)
        else:
            width = state["conv.0.gcn_layer.mlp.weight"].shape[1] // 2
            network = Lander(width, hidden, layers, attention=False)
    except KeyError as error:
        raise ModelError(f"{path} holds no LANDER: {error.args[0]} is missing") from None
    return network.to(state["src_mlp.weight"].dtype)
