"""A loss with a miner before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lookalike.calls import NamedArguments
from lookalike.errors import ConfigError
from lookalike.losses.calling import call, mine, takes_pairs
from lookalike.losses.miners import Miner


class MinedLoss(NamedArguments, nn.Module):
    """A pair loss of the pairs or triplets that a miner finds in each batch.

    ::

        L = loss(batch, pairs=miner(batch))

    The command line's ``miner=`` makes one. The embeddings of all processes are gathered before,
    so that several processes mine what one with the whole batch mines; the draws of a miner are
    saved with the loss.

    Args:
        loss: ours, pytorch-metric-learning's or your own, of those that take ``indices_tuple``.
        miner: of :mod:`lookalike.losses.miners`, pytorch-metric-learning's, or any function of its
            call.

    Raises:
        ConfigError: a loss that reads no pairs.

    Relations:
        :class:`CrossBatchMemory` takes a ``miner`` of its own, which mines the bank.

    >>> import torch
    >>> from lookalike.losses import Triplet
    >>> from lookalike.losses.miners import HardMiner
    >>> MinedLoss(Triplet(0.2), HardMiner())(torch.eye(4), torch.tensor([0, 0, 1, 1]))
    tensor(0.2000)
    """

    takes_pairs = True

    def __init__(self, loss: nn.Module, miner: Miner | Callable[..., Any]) -> None:
        super().__init__()
        if not takes_pairs(loss):
            raise ConfigError(
                f"MinedLoss: {type(loss).__name__} reads no mined pairs. Drop the miner, or use a "
                "pair loss such as multi_similarity or triplet."
            )
        self.loss = loss
        self.miner = miner

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch; an ``indices_tuple`` that is given is used as it is."""
        pairs = indices_tuple
        if pairs is None:
            pairs = mine(self.miner, embeddings, labels, ref_emb, ref_labels)
        return call(self.loss, embeddings, labels, pairs, ref_emb, ref_labels)
