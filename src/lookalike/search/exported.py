"""An exported model: ``model.onnx`` with its preprocessing, run without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookalike.data.decode import read_picture
from lookalike.data.table import Table
from lookalike.errors import DataError, ModelError
from lookalike.files import sha256

EXPORTED = "model.onnx"
ABOUT = "model.json"
_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


class ExportedEncoder:
    """An `Encoder` in onnxruntime.

    The graph takes uint8 ``(B, 3, size, size)`` and holds normalisation, network and L2 norm;
    before it stands a resize of the shorter side and a centre crop by Pillow, as ``model.json``
    says.

    Args:
        folder: of ``lookalike export``.

    Raises:
        ModelError: a file that is missing, changed, or no graph; onnxruntime is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError(
                f"{folder} is an exported model; running it needs onnxruntime: "
                "pip install 'lookalike[export]'"
            ) from error
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self.resize, self.crop = about["resize"], int(about["size"])
            self.width, self.backbone = int(about["width"]), str(about["backbone"])
            self.sha256, self.source = str(about["sha256"]), str(about["exported_from"])
            self.interpolation = _RESAMPLING[about["interpolation"]]
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{folder / ABOUT} cannot be read ({error}). Export again.") from error
        if sha256(folder / EXPORTED) != self.sha256:
            raise ModelError(
                f"{folder / EXPORTED} is not the file that {ABOUT} describes: it was changed, or "
                "cut short. Export again."
            )
        self.size, self.preprocessing = self.crop, str(about["preprocessing"])
        # A student of the model it was exported from, by its parity report.
        self.teacher: str | None = self.source
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(folder / EXPORTED), options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        """See `Encoder.prepare`."""
        image = Image.fromarray(picture)
        image = image.resize(self._target(image.width, image.height), self.interpolation)
        left = round((image.width - self.crop) / 2)
        top = round((image.height - self.crop) / 2)
        return np.asarray(image.crop((left, top, left + self.crop, top + self.crop)))

    def pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """See `Encoder.pictures`."""
        prepared = np.stack([self.prepare(picture) for picture in pictures])
        return self.embed(prepared)

    def rows(
        self, table: Table, rows: np.ndarray, *, batch_size: int, workers: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, dict[int, str]]]:
        """See `Encoder.rows`; pictures are read by ``workers`` threads."""
        boxes = table.boxes

        def read(row: int) -> np.ndarray | str:
            box = None if boxes is None or np.isnan(boxes[row, 0]) else tuple(boxes[row].tolist())
            try:
                return self.prepare(read_picture(table.path(row), box))
            except DataError as error:
                return str(error)

        with ThreadPoolExecutor(max(1, workers)) as pool:
            for start in range(0, len(rows), batch_size):
                here = rows[start : start + batch_size]
                read_rows = list(pool.map(read, here.tolist()))
                sound = [i for i, p in enumerate(read_rows) if isinstance(p, np.ndarray)]
                bad = {int(here[i]): p for i, p in enumerate(read_rows) if isinstance(p, str)}
                prepared = [read_rows[i] for i in sound]
                yield here[sound], self.embed(np.array(prepared, np.uint8)), bad

    def _target(self, width: int, height: int) -> tuple[int, int]:
        if isinstance(self.resize, list):
            return self.resize[1], self.resize[0]
        if not isinstance(self.resize, int):  # a fraction: rounded to the nearest pixel
            factor = self.resize / min(width, height)
            return round(factor * width), round(factor * height)
        longer = int(self.resize * max(width, height) / min(width, height))
        return (self.resize, longer) if width <= height else (longer, self.resize)

    def embed(self, prepared: np.ndarray) -> np.ndarray:
        """See `Encoder.embed`."""
        if not len(prepared):
            return np.empty((0, self.width), np.float32)
        inputs: dict[str, Any] = {self._input: np.ascontiguousarray(prepared.transpose(0, 3, 1, 2))}
        return np.asarray(self._session.run(None, inputs)[0], np.float32)
