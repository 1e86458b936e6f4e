"""The cross-scale loss: one proxy a fine class, judged at every level of a hierarchy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lookalike.errors import ConfigError, LookalikeError, counted
from lookalike.losses.arguments import positive
from lookalike.losses.class_vectors import ProxyLoss
from lookalike.losses.inputs import Pairing
from lookalike.losses.log_sums import FLOOR, one_plus
from lookalike.ops.labels import DISTRACTOR

_MARGINS = {
    1: (0.25,),
    2: (0.25, 0.45),
    3: (0.25, 0.35, 0.45),
    7: (0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75),
}


class CrossScale(ProxyLoss):
    """Cross-scale learning: proxies of other coarse classes keep a larger distance.

    ::

        L_i = sum over levels l of ln(1 + sum over proxies p of another class at level l of
                                          exp(scale · (cos(x_i, w_p) - cos(x_i, w_y) + m_l)))

    with w_y the proxy of the image's own fine class, at every level. Sun et al., *Dynamic metric
    learning*, CVPR 2021 (arXiv 2103.11781).

    Args:
        num_classes: fine classes C.
        embedding_size: width D.
        hierarchy: ``(C, L)`` integers, the labels of each fine class, column 0 the finest.
        scale: sharpness of the soft maximum.
        margins: one m a level, finest first. None takes the published ones for 2, 3 or 7 levels,
            and 0.25 to 0.45 in equal steps for other depths.
        seed: of the generator that draws the proxies, whatever was drawn before.
        normalize: divide embeddings by their norm first. Proxies always are.

    Labels may be the whole matrix ``(B, L)`` or the finest column alone: the hierarchy knows the
    rest.

    Raises:
        ConfigError: a hierarchy or margins of the wrong shape.
        LookalikeError: a label the hierarchy does not hold.

    Relations:
        :class:`HAPPIER` ranks by the same hierarchy.

    >>> loss = CrossScale(4, 8, hierarchy=[[0, 0], [1, 0], [2, 1], [3, 1]])
    >>> loss(torch.randn(2, 8), torch.tensor([[0, 0], [3, 1]])).shape
    torch.Size([])
    """

    hierarchy: Tensor

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        hierarchy: Tensor | Sequence[Sequence[int]],
        scale: float = 32.0,
        margins: Sequence[float] | None = None,
        *,
        seed: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_classes, embedding_size, normalize=normalize)
        table = torch.as_tensor(hierarchy)
        if table.dim() != 2 or table.shape[0] != num_classes or table.dtype.is_floating_point:
            raise ConfigError(
                f"CrossScale: hierarchy must be integers of shape ({num_classes}, levels), not "
                f"{tuple(table.shape)} of {table.dtype}."
            )
        if len(table[:, 0].unique()) != num_classes:
            raise ConfigError("CrossScale: hierarchy names a fine class (column 0) twice.")
        levels = table.shape[1]
        if margins is None:
            margins = _MARGINS.get(levels) or torch.linspace(0.25, 0.45, levels).tolist()
        if len(margins) != levels:
            raise ConfigError(
                f"CrossScale: {counted(len(margins), 'margin')}, but the hierarchy has {levels}"
                " level(s)."
            )
        self.scale = positive("CrossScale", "scale", scale)
        self.margins = tuple(margins)
        self.seed = seed
        self.register_buffer("hierarchy", table.long())
        bound = embedding_size**-0.5
        with torch.no_grad():
            generator = torch.Generator().manual_seed(seed)
            self.proxies.uniform_(-bound, bound, generator=generator)

    def value(self, query: Tensor, targets: Tensor) -> Tensor:
        """The sum over levels."""
        return self._levels(query, targets).sum()

    def per_level(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """The loss of every level, ``(L,)``."""
        batch = self.checked(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        with torch.autocast(batch.query.device.type, enabled=False):
            return self._levels(batch.query, self.targets(batch))

    def targets(self, batch: Pairing) -> Tensor:
        """The labels at all levels, ``(B, L)``; of fine ones alone, those of their classes."""
        labels, table = batch.query_labels, self.hierarchy
        if labels.shape[1] not in (1, table.shape[1]):
            raise LookalikeError(
                f"CrossScale: labels have {counted(labels.shape[1], 'column')}; the hierarchy has "
                f"{table.shape[1]}. Give all of them, or the finest alone."
            )
        match = labels[:, :1] == table[None, :, 0]
        unknown = ~match.any(dim=1)
        if unknown.any():
            row = int(unknown.nonzero()[0])
            raise LookalikeError(
                f"CrossScale: label {int(labels[row, 0])} in row {row} is no fine class of the "
                f"hierarchy, which has {table.shape[0]}."
            )
        return labels if labels.shape[1] == table.shape[1] else table[match.int().argmax(dim=1)]

    def _levels(self, query: Tensor, targets: Tensor) -> Tensor:
        table = self.hierarchy
        own = (targets[:, :1] == table[None, :, 0]).int().argmax(dim=1)
        scores = self.scale * self.cosines(query)
        pull = -scores.gather(1, own[:, None]).squeeze(1)
        values = []
        for level, margin in enumerate(self.margins):
            other = targets[:, level, None] != table[None, :, level]
            other.scatter_(1, own[:, None], False)
            push = scores.masked_fill(~other, FLOOR).logsumexp(dim=1)
            terms = one_plus(push + pull + margin * self.scale)
            # Whose class at this level is not known has no proxies of other classes there.
            known = targets[:, level] != DISTRACTOR
            values.append((terms * known).sum() / known.sum().clamp(min=1))
        return torch.stack(values)
