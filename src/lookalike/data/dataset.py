"""Images of a table one by one: decoded, transformed, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import join
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset, default_collate

from lookalike.data.decode import read_picture
from lookalike.data.embedding_file import is_vector, read_vector
from lookalike.data.table import Table
from lookalike.data.transforms import Transform, picture_seed
from lookalike.errors import ConfigError, DataError, counted

Broken: TypeAlias = Literal["refuse", "skip"]

# A row number, or a row number with the epoch and how often it came before in that epoch.
Key: TypeAlias = int | tuple[int, int, int]


class PictureDataset(Dataset[dict[str, Any]]):
    """Rows of a table as ``picture`` (uint8 ``(3, H, W)``), ``label`` (``(L,)``) and ``index``.

    Args:
        table: a `Table`, or paths of images (labels are then −1).
        transform: from the decoded image to its final size.
        broken: what to do with a file that cannot be decoded: ``"refuse"`` raises `DataError`;
            ``"skip"`` takes the next sound image of the same class in training (`train_loader`),
            and leaves the row out in evaluation (`eval_loader`); both count it.
        replace: with ``broken="skip"``: take another image of the class.
        seed: of all augmentation. The view of an image depends on (seed, epoch, row, how often
            it came before in the epoch) alone, whatever the workers and wherever a run resumes.

    Example:
        >>> from lookalike.data import transforms
        >>> PictureDataset(["a.jpg", "b.jpg"], transforms.evaluation(224))
        PictureDataset(2 images)
    """

    def __init__(
        self,
        table: Table | Sequence[str | Path],
        transform: Transform,
        *,
        broken: Broken = "refuse",
        replace: bool = False,
        seed: int = 0,
    ) -> None:
        if broken not in ("refuse", "skip"):
            raise ConfigError(f"broken: '{broken}'; give 'refuse' or 'skip'")
        self.table, self.transform = table, transform
        self.broken, self.replace, self.seed = broken, replace, seed
        if isinstance(table, Table):
            self.labels, self.boxes = torch.from_numpy(table.labels), table.boxes
            # Arrow text: a million Python strings would be copied into every worker.
            self.paths = pa.array(table.frame["path"], pa.large_string())
            self.root = "" if table.root == Path() else str(table.root)
        else:
            self.labels, self.boxes = torch.full((len(table), 1), -1), None
            self.paths, self.root = pa.array([str(p) for p in table], pa.large_string()), ""

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"PictureDataset({counted(len(self), 'image')})"

    def path(self, row: int) -> str:
        """File of a row."""
        return join(self.root, self.paths[row].as_py())  # noqa: PTH118 (ten times a Path's speed)

    def read(self, row: int) -> np.ndarray:
        """The decoded image of a row, cut to its box: uint8 ``(H, W, 3)``."""
        box = None if self.boxes is None or np.isnan(self.boxes[row, 0]) else self.boxes[row]
        return read_picture(self.path(row), None if box is None else tuple(box.tolist()))

    def __getitem__(self, key: Key) -> dict[str, Any]:
        row, epoch, draw = key if isinstance(key, tuple) else (int(key), 0, 0)
        try:
            pixels, found, broken = self.sound(row)
            picture = self._transformed(pixels, found, picture_seed(self.seed, epoch, row, draw))
        except DataError as e:
            if self.broken == "refuse" or self.replace:
                raise
            return {"broken": {row: str(e)}}
        return {"picture": picture, "label": self.labels[found], "index": found, "broken": broken}

    def sound(self, row: int) -> tuple[torch.Tensor, int, dict[int, str]]:
        """The decoded image of a row, uint8 ``(3, H, W)``, or of the next sound one of its class.

        Returns:
            the image, its row, and row → reason of the files that could not be read on the way.

        Raises:
            DataError: the file cannot be read, and the dataset does not replace it.
        """
        try:
            return self._pixels(row), row, {}
        except DataError as e:
            if self.broken == "refuse" or not self.replace:
                raise
            broken = {row: str(e)}
        mates = torch.nonzero(self.labels[:, 0] == self.labels[row, 0])[:, 0].tolist()
        start = mates.index(row)
        for mate in mates[start + 1 :] + mates[:start]:
            try:
                return self._pixels(mate), mate, broken
            except DataError as e:
                broken[mate] = str(e)
        raise DataError(
            f"no image of the class of {self.path(row)} can be read, of {len(mates)} tried"
            f" ({broken[row]}); mend the files or drop the class"
        )

    def _transformed(self, pixels: torch.Tensor, row: int, seed: int) -> torch.Tensor:
        if pixels.dim() == 1:  # a vector in an image's place
            return pixels
        try:
            return self.transform(pixels, seed=seed)
        except DataError as e:
            raise DataError(f"{self.path(row)}: {e}") from e

    def _pixels(self, row: int) -> torch.Tensor:
        path = self.path(row)
        if is_vector(path):
            return torch.from_numpy(read_vector(path))
        return torch.from_numpy(self.read(row)).permute(2, 0, 1)


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Items of `PictureDataset` as one batch; unreadable rows are missing from it.

    Returns:
        ``pictures`` uint8 ``(B, 3, H, W)``, ``labels`` int64 ``(B, L)``, ``index`` int64 ``(B,)``,
        ``teacher_pictures`` where the items hold them, and ``broken``: row → reason of the files
        that were skipped; ``broken`` alone where no row is left.

    Raises:
        DataError: if the images differ in size.
    """
    sound = [item for item in items if "picture" in item]
    sizes = {tuple(item["picture"].shape) for item in sound}
    if len(sizes) > 1:
        raise DataError(
            f"images of one batch have {counted(len(sizes), 'size')}, such as"
            f" {sorted(sizes)[:2]}; end the"
            " transform in one size (transforms.evaluation(size)) or use batch_size=1"
        )
    broken = {row: reason for item in items for row, reason in item["broken"].items()}
    if not sound:
        return {"broken": broken}
    teacher = {}
    if "teacher_picture" in sound[0]:
        teacher["teacher_pictures"] = default_collate([item["teacher_picture"] for item in sound])
    return {
        "pictures": default_collate([item["picture"] for item in sound]),
        "labels": torch.stack([item["label"] for item in sound]),
        "index": torch.tensor([item["index"] for item in sound], dtype=torch.int64),
        "broken": broken,
        **teacher,
    }
