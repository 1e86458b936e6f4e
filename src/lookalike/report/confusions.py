"""Which classes are mistaken for which, by the nearest neighbour of every query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from lookalike.errors import LookalikeError
from lookalike.report.images import ImageSource


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Queries of one class whose nearest neighbour is of another.

    Attributes:
        actual: the queries' class.
        found: the class of their nearest neighbours.
        count: how many queries.
        queries: how many queries the class has in all.
        reverse: how many queries of ``found`` have a nearest neighbour of class ``actual``.
        examples: (query image, neighbour image) of a few of them.
    """

    actual: str
    found: str
    count: int
    queries: int
    reverse: int
    examples: list[tuple[ImageSource, ImageSource]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Confusions:
    """The commonest confusions of one evaluation.

    Attributes:
        pairs: the commonest first.
        wrong: queries whose nearest neighbour is of another class.
        queries: all queries that were ranked.
        distinct: how many different (actual, found) pairs there are in all.
    """

    pairs: list[Confusion]
    wrong: int
    queries: int
    distinct: int


def find_confusions(
    query_labels: ArrayLike,
    neighbour_labels: ArrayLike,
    *,
    names: Callable[[int], str] | Sequence[str] | None = None,
    query_images: Sequence[ImageSource] | None = None,
    neighbour_images: Sequence[ImageSource] | None = None,
    scores: ArrayLike | None = None,
    limit: int = 12,
    examples: int = 3,
) -> Confusions:
    """Count the wrong nearest neighbours by (class of the query, class found).

    Ordered by count, then by share of the class's queries, then by class code. Examples are
    those of the highest score, where the model was surest of the mistake; without scores, those
    of the lowest row.

    Args:
        query_labels: ``(Q,)`` class code of each query.
        neighbour_labels: ``(Q,)`` class code of each query's nearest neighbour.
        names: class code → name, as a function or a list; None writes the code.
        query_images: ``Q`` images or paths.
        neighbour_images: the ``Q`` nearest neighbours' images or paths.
        scores: ``(Q,)`` similarity of the nearest neighbour.
        limit: pairs to keep.
        examples: image pairs to keep for each.

    Raises:
        LookalikeError: arguments of different length.

    >>> found = find_confusions([0, 0, 0, 1], [1, 1, 0, 0], names=["cat", "fox"])
    >>> [(pair.actual, pair.found, pair.count, pair.reverse) for pair in found.pairs]
    [('cat', 'fox', 2, 1), ('fox', 'cat', 1, 2)]
    """
    actual, found = np.asarray(query_labels), np.asarray(neighbour_labels)
    surest = np.zeros(len(actual)) if scores is None else np.asarray(scores, dtype=np.float64)
    lengths = [len(actual), len(found), len(surest)]
    lengths += [len(p) for p in (query_images, neighbour_images) if p is not None]
    if len(set(lengths)) > 1:
        raise LookalikeError(
            f"find_confusions: the arguments have {lengths} entries; each must hold one a query."
        )
    rows = np.flatnonzero(actual != found)
    total = Counter(actual.tolist())
    members: dict[tuple[int, int], list[int]] = {}
    for row in rows.tolist():
        members.setdefault((actual[row].item(), found[row].item()), []).append(row)
    order = sorted(
        members, key=lambda pair: (-len(members[pair]), -len(members[pair]) / total[pair[0]], pair)
    )

    def name(code: int) -> str:
        if names is None:
            return str(code)
        return names(code) if callable(names) else names[code]

    def shown(pair: tuple[int, int]) -> list[tuple[ImageSource, ImageSource]]:
        if query_images is None or neighbour_images is None:
            return []
        surest_first = sorted(members[pair], key=lambda row: (-surest[row], row))
        return [(query_images[row], neighbour_images[row]) for row in surest_first[:examples]]

    kept = [
        Confusion(
            actual=name(a),
            found=name(b),
            count=len(members[a, b]),
            queries=total[a],
            reverse=len(members.get((b, a), ())),
            examples=shown((a, b)),
        )
        for a, b in order[:limit]
    ]
    return Confusions(pairs=kept, wrong=len(rows), queries=len(actual), distinct=len(members))
