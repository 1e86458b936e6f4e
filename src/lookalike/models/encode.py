"""Images of any kind to embeddings, in order, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from lookalike.data import loader as loading
from lookalike.data.decode import as_pixels
from lookalike.data.table import Table
from lookalike.errors import DataError, NumericsError, counted
from lookalike.models.precision import autocast
from lookalike.models.scales import check_scales
from lookalike.models.transfers import Arriving, Uploads

if TYPE_CHECKING:
    from lookalike.models.embedder import Embedder

_Item = TypeVar("_Item")


def encode(
    model: Embedder,
    pictures: Any,
    *,
    batch_size: int,
    device: str | torch.device | None,
    show_progress: bool,
    workers: int,
    scales: Sequence[float] = (1.0,),
) -> np.ndarray:
    """See :meth:`lookalike.models.Embedder.encode`."""
    pictures = _listed(pictures)
    if len(pictures) == 0:
        return np.empty((0, model.width), dtype=np.float32)
    if device is not None:
        model.to(device)
    transform = model.transform()
    if isinstance(pictures, Table) or all(isinstance(p, str | Path) for p in pictures):
        batches = loading.eval_loader(pictures, transform, batch_size=batch_size, workers=workers)
    else:
        batches = _array_batches(pictures, transform, batch_size)
    with _progress(show_progress, len(pictures)) as advance:
        return embed(model, batches, scales=scales, on_batch=advance)


def embed(
    model: Embedder,
    batches: Iterable[dict[str, Any]],
    *,
    precision: torch.dtype | None = None,
    scales: Sequence[float] = (1.0,),
    on_batch: Callable[[np.ndarray], None] | None = None,
) -> np.ndarray:
    """Embed the batches of a loader; the model's mode is put back afterwards.

    Args:
        model: the embedder.
        batches: dicts with ``pictures`` uint8 ``(B, 3, H, W)``.
        precision: autocast's type, or None for float32; float64 turns the model into float64.
        scales: sizes of the images whose vectors are averaged.
        on_batch: given the vectors of each batch.

    Returns:
        float32 ``(N, width)``.

    Raises:
        NumericsError: the model produces NaN; the message names the images.
    """
    parts = []
    for vectors in embed_batches(model, batches, precision=precision, scales=scales):
        parts.append(vectors)
        if on_batch is not None:
            on_batch(vectors)
    return np.concatenate(parts) if parts else np.empty((0, model.width), np.float32)


def embed_batches(
    model: Embedder,
    batches: Iterable[dict[str, Any]],
    *,
    precision: torch.dtype | None = None,
    scales: Sequence[float] = (1.0,),
) -> Iterator[np.ndarray]:
    """The vectors of each batch; see `embed`."""
    check_scales(scales)
    was_training = model.training
    device, seen = model.device, 0
    uploads = Uploads(device)

    def begun() -> Iterator[tuple[dict[str, Any], Arriving]]:
        for batch in batches:
            model.eval()
            pictures = uploads([batch["pictures"]])
            with torch.inference_mode(), autocast(device, precision):
                found = model(*pictures, scales).float()
            yield batch, Arriving(found)

    if precision == torch.float64:
        model.double()
    try:
        # A GPU has the next batch to work on while the host reads the vectors of one.
        for batch, found in _one_ahead(begun()) if device.type == "cuda" else begun():
            vectors = found.read().numpy()
            bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
            if len(bad):
                rows = np.asarray(batch.get("index", np.arange(seen, seen + len(vectors))))
                raise NumericsError(
                    f"The model gives NaN or infinity for {counted(len(bad), 'image')} of a batch "
                    f"of {len(vectors)} (rows {rows[bad[:5]].tolist()}). Its weights are broken; "
                    "train again with a lower learning rate."
                )
            seen += len(vectors)
            yield vectors
    finally:
        model.train(was_training)


def _one_ahead(items: Iterable[_Item]) -> Iterator[_Item]:
    """The items, each when the next has been made."""
    waiting: list[_Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == 2:
            yield waiting.pop(0)
    yield from waiting


def _listed(pictures: Any) -> Any:
    """One image or many as a list of them; a table stays one."""
    if isinstance(pictures, Table):
        return pictures
    if isinstance(pictures, str | bytes | Path) or hasattr(pictures, "convert"):
        return [pictures]
    kind = getattr(getattr(pictures, "dtype", None), "kind", "u")
    if kind not in "OSU" and getattr(pictures, "ndim", 4) in (0, 2, 3):
        return [pictures]  # (H, W) or (H, W, 3); of four dimensions the first counts images
    if not isinstance(pictures, Iterable):
        raise DataError(
            f"{type(pictures).__name__} is not an image; give paths, PIL images or uint8 arrays"
            " (H, W, 3)."
        )
    return list(pictures)


def _array_batches(
    pictures: list[Any], transform: Any, batch_size: int
) -> Iterator[dict[str, torch.Tensor]]:
    for start in range(0, len(pictures), batch_size):
        part = enumerate(pictures[start : start + batch_size], start)
        arrays = [as_pixels(p, f"Image {i}") for i, p in part]
        tensors = [transform(torch.from_numpy(a).permute(2, 0, 1)) for a in arrays]
        yield {"pictures": torch.stack(tensors)}


@contextmanager
def _progress(show: bool, total: int) -> Iterator[Callable[[np.ndarray], None] | None]:
    if not show:
        yield None
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("embedding", total=total)
        yield lambda vectors: bar.advance(task, len(vectors))
