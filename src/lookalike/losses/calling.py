"""How to call a loss that is ours, PML's or a user's: the one place that knows the difference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lookalike.losses.pairs import OwnCopies


def comes_from(loss: nn.Module, package: str) -> bool:
    """Whether a loss, or a class it builds on, is of a package."""
    return any(f"{kind.__module__}.".startswith(f"{package}.") for kind in type(loss).mro())


def takes_pairs(loss: nn.Module) -> bool:
    """Whether a loss reads ``indices_tuple``: ours say so, others do unless they deny it."""
    return bool(getattr(loss, "takes_pairs", not comes_from(loss, "lookalike")))


def call(
    loss: nn.Module,
    embeddings: Tensor,
    labels: Tensor,
    indices_tuple: Any = None,
    ref_emb: Tensor | None = None,
    ref_labels: Tensor | None = None,
) -> Tensor:
    """Call a loss by PML's convention and by its own needs.

    PML's losses know one label column and index vectors, and compute in whatever precision they
    are handed: they get the finest column, indices instead of masks, and float32.

    Args:
        loss: any module of PML's calling convention.
        embeddings: ``(B, D)``.
        labels: ``(B,)`` or ``(B, L)``.
        indices_tuple: ``OwnCopies``, PML's tuple, or None; handed only to losses that read it.
        ref_emb: ``(M, D)`` or None.
        ref_labels: ``(M,)`` or ``(M, L)`` or None.
    """
    pairs = indices_tuple if takes_pairs(loss) else None
    with torch.autocast(embeddings.device.type, enabled=False):
        if comes_from(loss, "lookalike"):
            return loss(embeddings, labels, pairs, ref_emb=ref_emb, ref_labels=ref_labels)
        if isinstance(pairs, OwnCopies):
            against = labels if ref_labels is None else ref_labels
            pairs = pairs.indices(_finest(labels), _finest(against))
        if comes_from(loss, "pytorch_metric_learning"):
            embeddings, labels = _full(embeddings), _finest(labels)
            ref_emb = None if ref_emb is None else _full(ref_emb).to(embeddings.dtype)
            ref_labels = None if ref_labels is None else _finest(ref_labels)
        # A wrapper such as PML's own memory has no reference arguments; hand it none.
        references = {} if ref_emb is None else {"ref_emb": ref_emb, "ref_labels": ref_labels}
        return loss(embeddings, labels, pairs, **references)


def _full(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _finest(labels: Tensor) -> Tensor:
    return labels if labels.dim() == 1 else labels[:, 0]
