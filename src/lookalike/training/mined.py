"""Triplets of a batch that brings its own negatives: RAML's symmetric training."""

from __future__ import annotations

import torch
from torch import Tensor

from lookalike.ops.labels import same_label


def mined_triplets(labels: Tensor, negatives: int, world: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Every anchor with every positive of the batch and every negative mined for it.

    The rows are those of :class:`~lookalike.data.samplers.GroupedSampler`, gathered from all
    processes: of each process first its anchors, then ``negatives`` rows for each anchor in turn.
    Positives are the other anchors of the class; negatives of other anchors are not compared.

    Args:
        labels: ``(N,)`` of the gathered batch.
        negatives: mined rows of each anchor.
        world: processes the rows come from.

    Returns:
        rows of anchors, positives and negatives, each ``(triplets,)``: what a loss takes as
        ``indices_tuple``.

    >>> anchors, positives, mined = mined_triplets(torch.tensor([0, 0, 1, 1, 1, 0]), negatives=1)
    >>> anchors.tolist(), positives.tolist(), mined.tolist()  # the anchor 2 has no positive
    ([0, 1], [1, 0], [3, 4])
    """
    share = len(labels) // world
    own = share // (1 + negatives)  # anchors of a process
    starts = torch.arange(world, device=labels.device)[:, None] * share
    anchors = (starts + torch.arange(own, device=labels.device)).flatten()
    offsets = own + torch.arange(own * negatives, device=labels.device)
    mined = (starts + offsets).view(-1, negatives)
    same = same_label(labels[anchors], labels[anchors])
    same.fill_diagonal_(False)
    first, second = torch.nonzero(same, as_tuple=True)
    return (
        anchors[first].repeat_interleave(negatives),
        anchors[second].repeat_interleave(negatives),
        mined[first].flatten(),
    )
