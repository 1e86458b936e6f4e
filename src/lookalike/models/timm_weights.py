"""timm's networks with their published weights, or at once the reason why not."""

from __future__ import annotations

import socket
import urllib.parse
import urllib.request
from typing import Any

from torch import nn


def create_with_weights(name: str, arguments: dict[str, Any]) -> nn.Module:
    """``timm.create_model(name, pretrained=True)``, failing at once without a network.

    Raises:
        Exception: whatever the hub's client raises.
    """
    import timm

    _refuse_without_network(name)
    return timm.create_model(name, pretrained=True, **arguments)


def _refuse_without_network(name: str) -> None:
    """Fail where the hub's name cannot be resolved: its client would retry for a minute."""
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    settings = timm.get_pretrained_cfg(name)
    repository = getattr(settings, "hf_hub_id", None)
    if not repository or urllib.request.getproxies() or constants.HF_HUB_OFFLINE:
        return
    files = (constants.SAFETENSORS_SINGLE_FILE, constants.PYTORCH_WEIGHTS_NAME)
    if any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
        return
    socket.getaddrinfo(urllib.parse.urlsplit(constants.ENDPOINT).hostname, 443)
