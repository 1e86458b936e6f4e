"""The step of a new model whose queries keep finding their class in an old model's gallery."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lookalike import distributed
from lookalike.errors import ConfigError
from lookalike.training.distill import Ranking, Stored
from lookalike.training.step import SupervisedStep


@dataclass
class CompatibleStep(SupervisedStep):
    """The loss of the labels, and that of ranking the old model's stored gallery.

    ::

        L = loss(new, labels) + weight · rank(new, labels; gallery = old, labels)

    Shen, Xiong, Xia and Soatto, *Towards backward-compatible representation learning*, CVPR 2020
    (arXiv 2003.11942), eq. 3, whose second term classifies by the old model's classifier; a rank
    loss against the old embeddings themselves needs none.

    Attributes:
        stored: the old model's embeddings of all training rows.
        ranking: the second term.
    """

    stored: Stored | None = None
    ranking: Ranking | None = None

    def __post_init__(self) -> None:
        if self.stored is None or self.ranking is None:
            raise ConfigError("CompatibleStep: give the old gallery, and a loss that ranks it.")

    def _loss(self, embeddings: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """See :class:`~lookalike.training.step.SupervisedStep`."""
        assert self.stored is not None
        assert self.ranking is not None
        own = super()._loss(embeddings, labels, index)
        queries, theirs = distributed.gather(embeddings), distributed.gather(labels)
        return own + self.ranking(queries, theirs, *self.stored.gallery)
