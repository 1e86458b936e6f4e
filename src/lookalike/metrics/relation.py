"""Who matches whom by a function of labels, in place of equal ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.errors import ConfigError, DataError, counted
from lookalike.ops.tiles import Pairs


@dataclass(frozen=True)
class Relation:
    """A function of labels that says which gallery items are relevant.

    Attributes:
        function: labels of one query ``(1, …)`` and of the gallery ``(Ng, …)`` → ``(Ng,)`` bool.
        query: the labels of the queries, an array of any kind with a row each.
        gallery: those of the gallery.
    """

    function: Callable[[Any, Any], Any]
    query: Any
    gallery: Any

    @classmethod
    def of(cls, function: Callable[[Any, Any], Any], query: Any, gallery: Any) -> Relation:
        """The relation of labels in any container; ``gallery`` None for the queries' own."""
        first = query if hasattr(query, "shape") else np.asarray(query)
        if gallery is None:
            return cls(function, first, first)
        return cls(function, first, gallery if hasattr(gallery, "shape") else np.asarray(gallery))

    def codes(self, queries: int, items: int) -> tuple[np.ndarray, np.ndarray]:
        """A class for each query and each item, for nothing is known of classes here.

        Raises:
            DataError: another number of labels than of vectors.
        """
        for name, labels, count in (
            ("query", self.query, queries),
            ("gallery", self.gallery, items),
        ):
            if len(labels) != count:
                raise DataError(
                    f"{name} has {counted(count, 'vector')} and {counted(len(labels), 'label')}"
                )
        return np.arange(queries)[:, None], np.arange(items)[:, None]

    def pairs(self, block: slice) -> Pairs:
        """The relevant items of a block of queries, rising."""
        rows = [self._row(number) for number in range(block.start, block.stop)]
        starts = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
        return Pairs(starts, np.concatenate([np.zeros(0, np.int64), *rows]))

    def _row(self, number: int) -> np.ndarray:
        found = np.asarray(self.function(self.query[number : number + 1], self.gallery))
        if found.dtype != bool or found.size != len(self.gallery):
            raise ConfigError(
                f"label_comparison_fn gave {found.dtype} of shape {found.shape} for one query and "
                f"{counted(len(self.gallery), 'gallery label')}; give true or false for each."
            )
        return np.flatnonzero(found.reshape(-1))
