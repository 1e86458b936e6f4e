"""The same views of an image at two resolutions: for a student and for its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lookalike.data.dataset import Broken, Key, PictureDataset
from lookalike.data.table import Table
from lookalike.data.transforms import Transform, picture_seed
from lookalike.errors import ConfigError

# A share that moves no pixel by half a grey level. Beta(0.2, 0.2) draws three in ten as extreme.
UNSEEN = 1 / 510


@dataclass(frozen=True)
class CoupledViews:
    """What two networks see of one image: the same crop, flip and jitter, each at its own size.

    Both transforms are called with the same seed, so they must draw the same numbers: the same
    transform but for its size. Each crops the full-size image, so the larger view holds real
    detail (RAML, Suma and Tolias, WACV 2023, section 3.3).

    Attributes:
        student: the transform of the student's views.
        teacher: that of the teacher's.
        count: P, views of each image.
        mixup: the α of the Beta(α, α) that mixes each view with the same view of a partner
            image, both networks alike; 0: no mix-up. RAML has 0.2.

    Example:
        >>> from lookalike.data.transforms import train
        >>> views = CoupledViews(train(16, scale=(0.08, 1)), train(32, scale=(0.08, 1)), count=2)
        >>> student, teacher = views([torch.zeros(3, 40, 50, dtype=torch.uint8)], seeds=[7])
        >>> student.shape, teacher.shape
        (torch.Size([1, 2, 3, 16, 16]), torch.Size([1, 2, 3, 32, 32]))
    """

    student: Transform
    teacher: Transform
    count: int = 8
    mixup: float = 0.2

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"distillation.views: {self.count} must be at least 1")
        if self.mixup < 0:
            raise ConfigError(f"distillation.mixup: {self.mixup} must be at least 0")

    def __call__(self, pictures: Sequence[Tensor], seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The views of some images, which are also each other's partners in mix-up.

        Args:
            pictures: uint8 ``(3, H, W)`` of any sizes.
            seeds: one an image; they fix every draw.

        Returns:
            uint8 ``(B, P, 3, q, q)`` and ``(B, P, 3, d, d)``.
        """
        rows = [self._views(pictures, at, seed) for at, seed in enumerate(seeds)]
        student, teacher = zip(*rows, strict=True)
        return torch.stack(student), torch.stack(teacher)

    def _views(self, pictures: Sequence[Tensor], at: int, seed: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(seed)
        student, teacher = [], []
        for view in range(self.count):
            drawn = picture_seed(seed, 0, view)
            partner = int(rng.integers(len(pictures)))
            share = float(rng.beta(self.mixup, self.mixup)) if self.mixup else 1.0
            for transform, made in ((self.student, student), (self.teacher, teacher)):
                made.append(self.mixed(transform, pictures, (at, partner), share, drawn))
        return torch.stack(student), torch.stack(teacher)

    def mixed(
        self,
        transform: Transform,
        pictures: Sequence[Tensor],
        pair: tuple[int, int],
        share: float,
        seed: int,
    ) -> Tensor:
        """One view of an image, mixed with the same view of its partner.

        A share too small to be seen is not drawn.

        Args:
            transform: `student` or `teacher`.
            pictures: a group.
            pair: the image's place in it, and the partner's.
            share: of the image; the rest is the partner's.
            seed: of the view, the same for both and for both networks.
        """
        at, partner = pair
        if partner == at or share > 1 - UNSEEN:
            return transform(pictures[at], seed=seed)
        if share < UNSEEN:
            return transform(pictures[partner], seed=seed)
        one, other = (transform(pictures[row], seed=seed) for row in pair)
        return mix(one, other, share)


def mix(one: Tensor, other: Tensor, share: float) -> Tensor:
    """``share · one + (1 - share) · other`` on uint8, rounded to the nearest.

    >>> mix(torch.tensor([100], dtype=torch.uint8), torch.tensor([0], dtype=torch.uint8), 0.25)
    tensor([25], dtype=torch.uint8)
    """
    return torch.lerp(other.float(), one.float(), share).round_().to(torch.uint8)


class CoupledDataset(PictureDataset):
    """Rows of a table as coupled views; asked for a batch, it decodes every image once.

    A partner in mix-up is another image of the same ``group`` consecutive rows of a batch: the
    order of a batch is random, so it is a random image, and it is decoded already. RAML draws it
    from the whole set and decodes P + 1 files for each image.

    Items hold ``picture`` uint8 ``(P, 3, q, q)`` and ``teacher_picture`` ``(P, 3, d, d)`` beside
    ``label``, ``index`` and ``broken``.

    Args:
        table: the rows.
        views: the views of a group of images.
        group: images that are partners of each other. With several processes a group must lie
            within the share of one.
        broken: as for `PictureDataset`, with another image of the class in place of one skipped.
        seed: of all draws.
    """

    def __init__(
        self,
        table: Table | Sequence[str | Path],
        views: CoupledViews,
        *,
        group: int = 8,
        broken: Broken = "refuse",
        seed: int = 0,
    ) -> None:
        super().__init__(table, views.student, broken=broken, replace=True, seed=seed)
        self.views, self.group = views, group

    def __getitem__(self, key: Key) -> dict[str, Any]:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[Key]) -> list[dict[str, Any]]:
        """The items of a batch."""
        items = []
        for start in range(0, len(keys), self.group):
            items += self._group(keys[start : start + self.group])
        return items

    def _group(self, keys: Sequence[Key]) -> list[dict[str, Any]]:
        triples = [key if isinstance(key, tuple) else (int(key), 0, 0) for key in keys]
        found = [self.sound(row) for row, _, _ in triples]
        seeds = [picture_seed(self.seed, epoch, row, draw) for row, epoch, draw in triples]
        student, teacher = self.views([pixels for pixels, _, _ in found], seeds)
        return [
            {
                "picture": student[i],
                "teacher_picture": teacher[i],
                "label": self.labels[row],
                "index": row,
                "broken": broken,
            }
            for i, (_, row, broken) in enumerate(found)
        ]
