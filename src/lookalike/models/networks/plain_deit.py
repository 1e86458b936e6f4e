"""DeiT's distilled weights in the plain body, as ROADMAP, HAPPIER and SupRank use them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lookalike.models.timm_weights import create_with_weights


def deit_small_distilled(pretrained: bool = False, **options: Any) -> nn.Module:
    """DeiT-S without distillation token (Touvron et al., ICML 2021), 384 numbers a token.

    Args:
        pretrained: with the distilled model's weights, the distillation token left out.
        **options: handed to timm's constructor.
    """
    return _plain("deit_small", pretrained, options)


def deit_base_distilled(pretrained: bool = False, **options: Any) -> nn.Module:
    """DeiT-B in the same way, 768 numbers a token.

    Args:
        pretrained: with the distilled model's weights, the distillation token left out.
        **options: handed to timm's constructor.
    """
    return _plain("deit_base", pretrained, options)


def _plain(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    import timm

    create: Callable[..., nn.Module] = timm.create_model
    network = create(f"{name}_patch16_224", num_classes=0, global_pool="", **options)
    if pretrained:
        published = create_with_weights(f"{name}_distilled_patch16_224", options)
        network.load_state_dict(without_distillation(published.state_dict()), strict=True)
    return network


def without_distillation(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A distilled model's weights for the plain body: no second token, no place for it, no heads.

    >>> positions = torch.tensor([[[0.0], [1.0], [2.0]]])  # class, distillation, one patch
    >>> without_distillation({"pos_embed": positions, "dist_token": positions})
    {'pos_embed': tensor([[[0.],
             [2.]]])}
    """
    kept = {k: v for k, v in state.items() if not k.startswith(("dist_token", "head"))}
    positions = kept["pos_embed"]
    kept["pos_embed"] = torch.cat([positions[:, :1], positions[:, 2:]], dim=1)
    return kept
