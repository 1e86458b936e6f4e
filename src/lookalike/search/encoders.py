"""What turns images into vectors for an index: an embedder of ours, or an exported one.

Both are asked through the same few methods; the exported one imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lookalike.errors import ConfigError, DataError, ModelError
from lookalike.models.embedding_store import Embedded, EmbeddingStore, collect
from lookalike.search.exported import ExportedEncoder, is_exported

if TYPE_CHECKING:
    import torch

    from lookalike.data.table import Table
    from lookalike.models.embedder import Embedder
    from lookalike.search.index import Index

PRECISIONS = ("float32", "bf16")


class Encoder(Protocol):
    """Images to vectors.

    Attributes:
        sha256: of the weights' file: what an index is bound to.
        origin: SHA-256 of the weights whose space the vectors lie in: for an exported model those
            it was made of, else its own.
        backbone: the network's name.
        width: numbers a vector.
        size: side of the prepared image in pixels.
        preprocessing: the transform in words; equal words give equal images.
        teacher: SHA-256 of the model whose space this one was trained into, or None.
    """

    sha256: str
    origin: str
    backbone: str
    width: int
    size: int
    preprocessing: str
    teacher: str | None

    def pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """float32 ``(N, D)`` of decoded images, uint8 ``(H, W, 3)``."""
        ...

    def rows(
        self, table: Table, rows: np.ndarray, *, batch_size: int, workers: int
    ) -> Iterator[Embedded]:
        """Embed rows of a table batch by batch; each part names rows of the table."""
        ...

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        """What the network sees of an image: uint8 ``(size, size, 3)``."""
        ...

    def embed(self, prepared: np.ndarray) -> np.ndarray:
        """float32 ``(N, D)`` of prepared images, uint8 ``(N, size, size, 3)``."""
        ...


class TorchEncoder:
    """An `Embedder` as an `Encoder`."""

    def __init__(self, model: Embedder, about: dict[str, Any], precision: str = "float32") -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"--precision {precision}: give {' or '.join(PRECISIONS)}.")
        self.model = model if precision == "float32" else _quickened(model)
        self.transform = model.transform()
        self.precision = precision
        self.sha256: str = about["sha256"]
        self.origin = self.sha256
        self.teacher: str | None = about.get("teacher")
        self.backbone, self.width = model.spec.backbone, model.width
        self.size, self.preprocessing = model.spec.size, repr(self.transform)

    def pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """See `Encoder.pictures`."""
        return self.embed(np.stack([self.prepare(picture) for picture in pictures]))

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        """See `Encoder.prepare`."""
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
        return self.transform(pixels).permute(1, 2, 0).numpy()

    def rows(
        self, table: Table, rows: np.ndarray, *, batch_size: int, workers: int
    ) -> Iterator[Embedded]:
        """See `Encoder.rows`."""
        from lookalike.data.loader import eval_loader
        from lookalike.models.embedding import embedded_batches

        loader = eval_loader(
            table.where(rows),
            self.transform,
            batch_size=batch_size,
            workers=workers,
            broken="skip",
        )
        for part in embedded_batches(self.model, loader, precision=self._dtype):
            bad = {int(rows[i]): why for i, why in part.unreadable.items()}
            yield Embedded(part.vectors, rows[part.rows], bad)

    def embed(self, prepared: np.ndarray) -> np.ndarray:
        """See `Encoder.embed`."""
        import torch

        from lookalike.models.encode import embed

        batch = {"pictures": torch.from_numpy(prepared).permute(0, 3, 1, 2)}
        return embed(self.model, [batch], precision=self._dtype)

    @property
    def _dtype(self) -> torch.dtype | None:
        import torch

        return torch.bfloat16 if self.precision == "bf16" else None


def embed_with(
    encoder: Encoder,
    table: Table,
    *,
    batch_size: int,
    workers: int,
    store: EmbeddingStore | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Embedded:
    """Embed the images of a table, those that a store holds already excepted."""
    left = np.arange(len(table)) if store is None else np.flatnonzero(~store.done)
    parts = encoder.rows(table, left, batch_size=batch_size, workers=workers)
    return collect(parts, encoder.width, store=store, on_batch=on_batch)


def _quickened(model: Embedder) -> Embedder:
    """The same function, faster in bfloat16: normalisations folded, channels side by side."""
    import torch

    from lookalike.models.folding import folded

    model.eval()
    seen = torch.randn(1, 3, model.spec.size, model.spec.size, device=model.device)
    model.backbone = folded(model.backbone, seen)
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def open_encoder(path: str | Path, precision: str = "float32") -> Encoder:
    """The encoder of a run, a model folder, an exported model or ``hf://OWNER/NAME``.

    Raises:
        ModelError: there is none.
        ConfigError: an unknown precision, or one for an exported model, which has its own.
    """
    path = Path(path).expanduser()
    if is_exported(path):
        if precision != "float32":
            raise ConfigError(
                f"--precision {precision}: {path} is an exported model and computes as it was "
                "exported. Leave the option out."
            )
        return ExportedEncoder(path)
    try:
        from lookalike.models import weights
    except ModuleNotFoundError as error:  # an environment that serves exported models alone
        raise ModelError(
            f"{path}: this model needs {error.name}, which is not installed here. Install it, or "
            "export the model and build the index with that: lookalike export RUN --to onnx"
        ) from error
    folder = weights.model_folder(path)
    return TorchEncoder(weights.load(folder), weights.read_about(folder), precision)


def own_encoder(index: Index) -> Encoder:
    """The model that an index holds, checked against its manifest.

    Raises:
        DataError: the index holds none.
    """
    if index.model_folder is None:
        raise DataError(f"{index.folder} holds no model, so it cannot embed an image.")
    encoder = open_encoder(index.model_folder, index.manifest.get("precision", "float32"))
    refuse_stranger(encoder, index.manifest, index.folder)
    return encoder


def weights_folder(path: str | Path) -> Path:
    """The folder to copy into an index: of the weights and the JSON beside them."""
    if is_exported(Path(path).expanduser()):
        return Path(path).expanduser()
    from lookalike.models import weights

    return weights.model_folder(path)


def refuse_stranger(
    encoder: Encoder, manifest: dict[str, Any], where: Path, *, student: bool = False
) -> None:
    """Refuse a model that neither made an index's vectors nor is a student of the one that did.

    A student is known by the ``teacher`` in its ``model.json``, or declared by the person.

    Raises:
        ModelError: says what differs.
    """
    bound = manifest.get("model")
    if bound is None:
        raise ModelError(f"{where} says of no model, so no image can be searched in it.")
    if encoder.width != manifest["width"]:
        raise ModelError(
            f"The model gives {encoder.width:,}-d vectors, {where} holds {manifest['width']:,}-d."
        )
    origin = bound.get("origin", bound["sha256"])
    if student or encoder.teacher == origin:
        return
    if encoder.origin != origin:
        raise ModelError(
            f"{where} was made by another model ({bound['backbone']}, {bound['sha256'][:12]}…) "
            f"than this one ({encoder.backbone}, {encoder.sha256[:12]}…): their vectors cannot be "
            "compared. Build the index again, or add --student if this model was distilled into "
            "that one's space."
        )
    if encoder.preprocessing != bound["preprocessing"]:
        raise ModelError(
            f"{where} was made of images prepared by {bound['preprocessing']}; this model "
            f"prepares them by {encoder.preprocessing}. Build the index again."
        )


def describe(encoder: Encoder) -> dict[str, Any]:
    """What a manifest says of the model."""
    return {
        "sha256": encoder.sha256,
        "origin": encoder.origin,
        "backbone": encoder.backbone,
        "width": encoder.width,
        "preprocessing": encoder.preprocessing,
        "normalised": True,
        "teacher": encoder.teacher,
    }
