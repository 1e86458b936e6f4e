"""Two views of each image in place of labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookalike.calls import NamedArguments
from lookalike.errors import LookalikeError
from lookalike.losses.calling import call
from lookalike.losses.inputs import tensor


class SelfSupervised(NamedArguments, nn.Module):
    """A loss without labels: two views of an image are positives of each other.

    ::

        symmetric:      loss of all 2B views, view b and view B + b of one class
        not symmetric:  loss of the first views against the second ones as references

    As pytorch-metric-learning's ``SelfSupervisedLoss``; with :class:`NTXent` it is SimCLR's loss
    (Chen et al., ICML 2020, arXiv 2002.05709).

    Args:
        loss: any that takes labels, ours or others'; pair and rank losses above all.
        symmetric: whether both views are queries.

    In a training, ``loss=self_supervised loss.loss=nt_xent sampler=random sampler.views=2``: labels
    are not read, the views of an image are.

    >>> from lookalike.losses import NTXent
    >>> views = torch.eye(4)
    >>> SelfSupervised(NTXent(temperature=1.0))(views, views).shape
    torch.Size([])
    """

    takes_pairs = False

    def __init__(self, loss: nn.Module, symmetric: bool = True) -> None:
        super().__init__()
        self.loss = loss
        self.symmetric = symmetric

    def of_images(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """The loss of a batch that holds several views of each image.

        Args:
            embeddings: ``(B, D)``.
            index: ``(B,)`` the number of each view's image.
        """
        return call(self.loss, embeddings, index)

    def forward(self, embeddings: Tensor, ref_emb: Tensor) -> Tensor:
        """The loss of two views of B images.

        Args:
            embeddings: ``(B, D)``, the first view of each.
            ref_emb: ``(B, D)``, the second.
        """
        first = tensor("SelfSupervised", embeddings, "embeddings")
        second = tensor("SelfSupervised", ref_emb, "ref_emb")
        if first.shape != second.shape:
            raise LookalikeError(
                f"SelfSupervised: the views are {tuple(first.shape)} and {tuple(second.shape)}; "
                "give two of each image, in the same order."
            )
        labels = torch.arange(len(first), device=first.device)
        if self.symmetric:
            return call(self.loss, torch.cat([first, second]), labels.repeat(2))
        return call(self.loss, first, labels, ref_emb=second, ref_labels=labels)
