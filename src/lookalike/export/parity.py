"""Whether an exported model agrees with its own, shown on real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.console import Console
from lookalike.data.table import Table
from lookalike.errors import DataError, ModelError, counted
from lookalike.metrics.labels import DISTRACTOR
from lookalike.search.encoders import Encoder
from lookalike.search.exact import MemoryGallery

# A grey level here and there is allowed: the resize of another library rounds otherwise.
AGREEMENT, COSINE = 0.97, 0.999
_FEWEST = 20
_CALIBRATION = 128


@dataclass(frozen=True)
class Parity:
    """How an exported model's vectors of real images differ from the model's own.

    Attributes:
        data: whose images.
        pictures: how many.
        largest_difference: between any two numbers of the vectors.
        smallest_cosine: between the two vectors of an image.
        top_10_agreement: share of an image's ten nearest among the others that both name.
        map_at_r: MAP@R of the model, None where no two images share a label.
        map_at_r_exported: of the export.
    """

    data: str
    pictures: int
    largest_difference: float
    smallest_cosine: float
    top_10_agreement: float
    map_at_r: float | None
    map_at_r_exported: float | None

    @property
    def loss(self) -> float | None:
        """MAP@R that the export costs."""
        if self.map_at_r is None or self.map_at_r_exported is None:
            return None
        return self.map_at_r - self.map_at_r_exported


def draw(table: Table, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to compare by, whole classes drawn until there are enough; and the others.

    Raises:
        DataError: too few to tell.
    """
    if len(table) < _FEWEST:
        raise DataError(
            f"{table.name}: {counted(len(table), 'image does', 'images do')} not tell whether "
            f"two models agree; give at least {_FEWEST} by --pictures."
        )
    random = np.random.default_rng(0)
    labels = table.labels[:, 0] if table.levels else np.full(len(table), DISTRACTOR)
    place = np.where(labels == DISTRACTOR, len(table) + np.arange(len(table)), labels)
    kinds, codes = np.unique(place, return_inverse=True)
    turn = random.permutation(len(kinds))[codes]
    order = np.lexsort((np.arange(len(table)), turn))
    return np.sort(order[:count]), np.sort(order[count:])


def compare(one: Encoder, other: Encoder, table: Table, console: Console | None = None) -> Parity:
    """Embed images by both and say how the vectors differ; the report is printed."""
    console = console or Console(silent=True)
    with console.embedding(f"{table.name} twice", 2 * len(table)) as advance:
        vectors, kept = _embed(one, table, advance)
        others, same = _embed(other, table, advance)
    if not np.array_equal(kept, same) or len(kept) < _FEWEST:
        raise DataError(
            f"{table.name}: too few of its images can be read ({len(kept)} and {len(same)} of "
            f"{len(table)}). Look at them: lookalike data check"
        )
    rows = np.arange(len(kept))
    near, far = (MemoryGallery.of(x).search(x, 10, own=rows).rows for x in (vectors, others))
    agreement = [len(set(a) & set(b)) / len(a) for a, b in zip(near, far, strict=True)]
    labels = table.labels[kept, 0] if table.levels else None
    parity = Parity(
        table.name,
        len(kept),
        float(np.abs(vectors - others).max()),
        float((vectors * others).sum(axis=1).min()),
        float(np.mean(agreement)),
        _map_at_r(vectors, labels),
        _map_at_r(others, labels),
    )
    console.say(
        f"parity   {counted(parity.pictures, 'image')} of {parity.data}: numbers differ by at"
        " most "
        f"{parity.largest_difference:.2g}, cosines are at least {parity.smallest_cosine:.5f}, "
        f"{parity.top_10_agreement:.2%} of the ten nearest agree"
    )
    if parity.loss is not None:
        console.say(
            f"MAP@R    {parity.map_at_r:.4f} of the model, {parity.map_at_r_exported:.4f} exported "
            f"({-parity.loss:+.4f})"
        )
    return parity


def _embed(encoder: Encoder, table: Table, advance: Any) -> tuple[np.ndarray, np.ndarray]:
    rows, vectors = [], []
    for part, here, bad in encoder.rows(table, np.arange(len(table)), batch_size=32, workers=0):
        rows.append(here)
        vectors.append(part)
        if advance is not None:
            advance(len(here) + len(bad))
    return np.concatenate(vectors), np.concatenate(rows)


def _map_at_r(vectors: np.ndarray, labels: np.ndarray | None) -> float | None:
    from lookalike.metrics import evaluate

    if (
        labels is None
        or np.unique(labels[labels != DISTRACTOR], return_counts=True)[1].max(initial=0) < 2
    ):
        return None
    return evaluate(vectors, labels, metrics="mean_average_precision_at_r", distance="dot")[
        "map_at_r"
    ]


def refuse(parity: Parity, max_loss: float | None) -> None:
    """Refuse an export that does not agree with its model.

    Args:
        parity: what was measured.
        max_loss: of int8, which is judged by MAP@R instead of by each neighbour.

    Raises:
        ModelError: it does not.
    """
    if max_loss is None:
        if parity.top_10_agreement < AGREEMENT or parity.smallest_cosine < COSINE:
            raise ModelError(
                f"The export does not agree with the model: {parity.top_10_agreement:.2%} of the "
                f"ten nearest are the same ({AGREEMENT:.0%} are needed), the smallest cosine is "
                f"{parity.smallest_cosine:.4f} ({COSINE} is needed). Nothing was written."
            )
        return
    if parity.loss is None:
        raise DataError(
            f"--int8 is judged by MAP@R, and no two images of {parity.data} share a label. Give "
            "labelled ones by --pictures."
        )
    if parity.loss > max_loss:
        raise ModelError(
            f"int8 costs {parity.loss:.4f} of MAP@R, more than --max-loss {max_loss:g}. Nothing "
            "was written."
        )
