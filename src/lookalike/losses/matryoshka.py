"""One embedding that works at several widths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from lookalike.errors import ConfigError, counted
from lookalike.losses.calling import call, takes_pairs
from lookalike.losses.composite import WeightedSum, Weights


class Prefix(nn.Module):
    """A loss on the first numbers of each embedding, brought to unit length again.

    Args:
        loss: any of PML's calling convention.
        width: how many numbers.

    Raises:
        ConfigError: a width below 1.
    """

    def __init__(self, loss: nn.Module, width: int) -> None:
        super().__init__()
        if width < 1:
            raise ConfigError(f"width={width}: an embedding has at least one number.")
        self.loss, self.width = loss, width

    @property
    def takes_pairs(self) -> bool:
        """Whether the loss reads mined pairs."""
        return takes_pairs(self.loss)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss of ``(B, D)`` embeddings, D at least the width."""
        x = self._cut(embeddings)
        ref = x if ref_emb is embeddings else None if ref_emb is None else self._cut(ref_emb)
        return call(self.loss, x, labels, indices_tuple, ref, ref_labels)

    def _cut(self, x: Tensor) -> Tensor:
        if x.shape[1] < self.width:
            raise ConfigError(
                f"width={self.width}: the embeddings have {counted(x.shape[1], 'number')}."
            )
        return F.normalize(x[:, : self.width], dim=1)


def matryoshka(losses: Mapping[int, nn.Module], weights: Weights | None = None) -> WeightedSum:
    """The sum of a loss over prefixes of the embedding (Kusupati et al., NeurIPS 2022, eq. 1).

    ::

        L = sum over w of c_w · L_w(x[:w] / ‖x[:w]‖)

    The first numbers of the embedding then serve alone, for a smaller and faster index. Each width
    has a loss of its own, so that proxies are as wide as what they are compared with.

    Args:
        losses: width → loss on the first ``width`` numbers.
        weights: c, a number a width, or ``"balanced"``; None is 1 for each.

    Raises:
        ConfigError: a width below 1, or weights that do not fit.

    Relations:
        ``model.widths=[64,128]`` builds it from ``loss=…`` and measures every width.

    >>> import torch
    >>> from lookalike.losses import SmoothAP
    >>> loss = matryoshka({2: SmoothAP(), 4: SmoothAP()})
    >>> list(loss.parts(torch.eye(4), torch.tensor([0, 0, 1, 1])))
    ['2', '4']
    """
    return WeightedSum({str(width): Prefix(loss, width) for width, loss in losses.items()}, weights)
