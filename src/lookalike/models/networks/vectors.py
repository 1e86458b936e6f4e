"""Vectors that somebody else's network made, in place of images."""

from __future__ import annotations

from torch import Tensor, nn

from lookalike.errors import DataError, counted


class Vectors(nn.Module):
    """Passes vectors on: the backbone of a head that learns on an embedding file.

    Args:
        width: numbers of a vector.
    """

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, vectors: Tensor) -> Tensor:
        """``(B, width)`` → the same.

        Raises:
            DataError: images, or vectors of another width.
        """
        if vectors.dim() != 2 or vectors.shape[1] != self.num_features:
            raise DataError(
                "this model is a head on vectors: it takes rows of "
                f"{counted(self.num_features, 'number')} in place of images, and was given "
                f"{'x'.join(map(str, vectors.shape[1:]))}"
            )
        return vectors
