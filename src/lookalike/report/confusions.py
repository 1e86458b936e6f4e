"""Which classes are mistaken for which, by the nearest neighbour of every query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from lookalike.errors import LookalikeError
from lookalike.report.pictures import Picture


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Queries of one class whose nearest neighbour is of another.

    Attributes:
        actual: the queries' class.
        found: the class of their nearest neighbours.
        count: how many queries.
        queries: how many queries the class has in all.
        reverse: how many queries of ``found`` have a nearest neighbour of class ``actual``.
        examples: (query picture, neighbour picture) of a few of them.
    """

    actual: str
    found: str
    count: int
    queries: int
    reverse: int
    examples: list[tuple[Picture, Picture]] = field(default_factory=list)


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
    query_pictures: Sequence[Picture] | None = None,
    neighbour_pictures: Sequence[Picture] | None = None,
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
        query_pictures: ``Q`` pictures or paths.
        neighbour_pictures: the ``Q`` nearest neighbours' pictures or paths.
        scores: ``(Q,)`` similarity of the nearest neighbour.
        limit: pairs to keep.
        examples: picture pairs to keep for each.

    Raises:
        LookalikeError: arguments of different length.

    >>> found = find_confusions([0, 0, 0, 1], [1, 1, 0, 0], names=["cat", "fox"])
    >>> [(pair.actual, pair.found, pair.count, pair.reverse) for pair in found.pairs]
    [('cat', 'fox', 2, 1), ('fox', 'cat', 1, 2)]
    """
    actual, found = np.asarray(query_labels), np.asarray(neighbour_labels)
    surest = np.zeros(len(actual)) if scores is None else np.asarray(scores, dtype=np.float64)
    lengths = [len(actual), len(found), len(surest)]
    lengths += [len(p) for p in (query_pictures, neighbour_pictures) if p is not None]
    if len(set(lengths)) > 1:
        raise LookalikeError(
            f"find_confusions: the arguments have {lengths} entries; each must hold one a query."
        )
    rows = np.flatnonzero(actual != found)
    pairs, inverse, counts = np.unique(
        np.stack([actual[rows], found[rows]]), axis=1, return_inverse=True, return_counts=True
    )
    inverse = inverse.reshape(-1)
    total = dict(
        zip(*(part.tolist() for part in np.unique(actual, return_counts=True)), strict=True)
    )
    count_of = {(a, b): n for (a, b), n in zip(pairs.T.tolist(), counts.tolist(), strict=True)}
    order = sorted(
        range(len(counts)),
        key=lambda i: (-counts[i], -counts[i] / total[pairs[0, i].item()], *pairs[:, i].tolist()),
    )

    def name(code: int) -> str:
        if names is None:
            return str(code)
        return names(code) if callable(names) else names[code]

    def shown(index: int) -> list[tuple[Picture, Picture]]:
        if query_pictures is None or neighbour_pictures is None:
            return []
        members = rows[inverse == index]
        members = sorted(members.tolist(), key=lambda row: (-surest[row], row))[:examples]
        return [(query_pictures[row], neighbour_pictures[row]) for row in members]

    kept = []
    for index in order[:limit]:
        a, b = pairs[:, index].tolist()
        kept.append(
            Confusion(
                actual=name(a),
                found=name(b),
                count=count_of[a, b],
                queries=total[a],
                reverse=count_of.get((b, a), 0),
                examples=shown(index),
            )
        )
    return Confusions(pairs=kept, wrong=len(rows), queries=len(actual), distinct=len(counts))
