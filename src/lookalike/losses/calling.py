"""How to call a loss that is ours, PML's or a user's: the one place that knows the difference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lookalike.losses.inputs import columns, tensor
from lookalike.losses.pairs import OwnCopies


def comes_from(loss: nn.Module | type, package: str) -> bool:
    """Whether a loss or its class, or a class it builds on, is of a package."""
    kinds = (loss if isinstance(loss, type) else type(loss)).mro()
    return any(f"{kind.__module__}.".startswith(f"{package}.") for kind in kinds)


def takes_pairs(loss: nn.Module | type) -> bool:
    """Whether a loss reads the pairs mined in a batch: ours say so, others do unless they deny it.

    With a reference set all of ours take an ``indices_tuple``.
    """
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

    Others' losses compute in whatever precision they are handed and know mined pairs as index
    vectors: they get float32 and indices. PML's know one label column: they get the finest.

    Args:
        loss: any module of PML's calling convention.
        embeddings: ``(B, D)``.
        labels: ``(B,)`` or ``(B, L)``.
        indices_tuple: ``OwnCopies``, PML's tuple, or None; handed only to losses that take it.
        ref_emb: ``(M, D)`` or None.
        ref_labels: ``(M,)`` or ``(M, L)`` or None.
    """
    is_ours = comes_from(loss, "lookalike")
    is_self = ref_emb is None or ref_emb is embeddings
    pairs = indices_tuple if takes_pairs(loss) or (is_ours and not is_self) else None
    embeddings = tensor("loss", embeddings, "embeddings")
    if is_self:
        ref_emb = ref_labels = None
    with torch.autocast(embeddings.device.type, enabled=False):
        if is_ours:
            return loss(embeddings, labels, pairs, ref_emb=ref_emb, ref_labels=ref_labels)
        labels = columns("loss", labels, len(embeddings), "labels", keep=True)
        if isinstance(pairs, OwnCopies):
            against = labels if ref_labels is None else ref_labels
            pairs = pairs.indices(_finest(labels), _finest(against))
        if comes_from(loss, "pytorch_metric_learning"):
            labels = _finest(labels)
            ref_labels = None if ref_labels is None else _finest(ref_labels)
        full = _full(embeddings)
        if ref_emb is None:
            # A wrapper such as PML's own memory has no reference arguments.
            return loss(full, labels, pairs)
        return loss(
            full, labels, pairs, ref_emb=_full(ref_emb).to(full.dtype), ref_labels=ref_labels
        )


def mine(
    miner: Callable[..., Any],
    embeddings: Tensor,
    labels: Tensor,
    ref_emb: Tensor | None = None,
    ref_labels: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """What a miner, ours or another's, finds in a batch; others' know the finest labels alone."""
    if ref_emb is embeddings:
        ref_emb = ref_labels = None
    embeddings = tensor("miner", embeddings, "embeddings").detach()
    if not (isinstance(miner, nn.Module) and comes_from(miner, "lookalike")):
        embeddings = _full(embeddings)
        labels = _finest(columns("miner", labels, len(embeddings), "labels", keep=True))
        if ref_labels is not None:
            ref_labels = _finest(ref_labels)
    if ref_emb is None:
        return miner(embeddings, labels)
    return miner(embeddings, labels, ref_emb.detach().to(embeddings.dtype), ref_labels)


def _full(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _finest(labels: Tensor) -> Tensor:
    return labels if labels.dim() == 1 else labels[:, 0]
