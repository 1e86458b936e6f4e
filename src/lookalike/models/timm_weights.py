"""timm's networks: what it knows of them, and their weights, or at once the reason why not."""

from __future__ import annotations

import socket
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import nn


def settings(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """timm's ``pretrained_cfg`` of a network: where its weights lie, how images are prepared.

    Args:
        name: of timm.
        options: of its constructor; a ``pretrained_cfg_overlay`` among them is laid over.

    >>> settings("resnet18", {"pretrained_cfg_overlay": {"crop_pct": 1.0}})["crop_pct"]
    1.0
    """
    import timm

    known = timm.get_pretrained_cfg(name)
    overlay = dict((options or {}).get("pretrained_cfg_overlay") or {})
    return (asdict(known) if known is not None else {}) | overlay


def create_with_weights(name: str, arguments: dict[str, Any]) -> nn.Module:
    """``timm.create_model(name, pretrained=True)``, failing at once without a network.

    A file that ``pretrained_cfg_overlay`` names, and what an earlier download left in the cache of
    the Hugging Face hub, need none.

    Raises:
        Exception: whatever the hub's client raises.
    """
    import timm

    about = settings(name, arguments)
    if not _is_local(about) and not _online(about):
        file = _cached(about)
        if file is None:
            socket.getaddrinfo(_hub(), 443)  # its error says why
        else:
            overlay = {**(arguments.get("pretrained_cfg_overlay") or {}), "file": file}
            arguments = {**arguments, "pretrained_cfg_overlay": overlay}
    return timm.create_model(name, pretrained=True, **arguments)


def _is_local(about: Mapping[str, Any]) -> bool:
    """Whether the weights lie on this machine, or at an address that is not the hub's."""
    given = about.get("state_dict") or about.get("file") or about.get("source") == "local-dir"
    return bool(given) or not about.get("hf_hub_id")


def _online(about: Mapping[str, Any]) -> bool:
    """Whether the hub can be asked: without a network its client would retry for a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(_hub(), 443)
    except OSError:
        return False
    return True


def _cached(about: Mapping[str, Any]) -> str | None:
    """The weights' file in the hub's cache; None: it is not there."""
    from huggingface_hub import constants, try_to_load_from_cache

    named = about.get("hf_hub_filename")
    names = (
        [named] if named else [constants.SAFETENSORS_SINGLE_FILE, constants.PYTORCH_WEIGHTS_NAME]
    )
    repository, _, revision = str(about["hf_hub_id"]).partition("@")
    found = (try_to_load_from_cache(repository, n, revision=revision or None) for n in names)
    return next((file for file in found if isinstance(file, str)), None)


def _hub() -> str | None:
    from huggingface_hub import constants

    return urllib.parse.urlsplit(constants.ENDPOINT).hostname
