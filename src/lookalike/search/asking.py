"""One question to an index, from vectors to ranked items: filters, fusion, re-ranking, threshold.

The command line and the server ask through this, so that both answer alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lookalike.errors import ConfigError
from lookalike.search.filters import matching
from lookalike.search.hits import Hits, best
from lookalike.search.index import Index
from lookalike.search.reranking import SHORTLIST, Request, rerank

FUSIONS = ("average", "best")


@dataclass(frozen=True)
class Question:
    """What is asked beside the query.

    Attributes:
        top: how many.
        where: conditions on columns; see `filters.matching`.
        allowed: bool ``(N,)``, rows that may be found; None: all.
        min_score: leave out what scores less.
        rerank: a method of `reranking.METHODS`, or None.
        options: of the method.
    """

    top: int = 10
    where: Sequence[str] = ()
    min_score: float | None = None
    rerank: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    allowed: np.ndarray | None = None


def ask(
    index: Index, queries: np.ndarray, question: Question, own: np.ndarray | None = None
) -> Hits:
    """The answer to each query.

    Args:
        index: where to look.
        queries: float32 ``(Q, D)``.
        question: what else is asked.
        own: the row that each query may not find (−1: none).
    """
    wanted = question.top
    if question.rerank is not None:
        wanted = max(wanted, SHORTLIST)
    allowed = question.allowed
    hits = index.search(queries, wanted, where=question.where, allowed=allowed, own=own)
    if question.rerank is not None:
        if question.where:
            met = matching(index.columns, question.where)
            allowed = met if allowed is None else met & allowed
        request = Request(np.asarray(queries, np.float32), hits, index, own, allowed)
        hits = rerank(request, question.rerank, **question.options)
    hits = hits.top(question.top)
    return hits if question.min_score is None else hits.at_least(question.min_score)


def ask_fused(
    index: Index,
    queries: np.ndarray,
    question: Question,
    fusion: str = "average",
    own: Sequence[int] = (),
) -> Hits:
    """One answer to several images of the same thing.

    ``average`` searches with the mean of the unit vectors; ``best`` gives each item the highest of
    its scores, and is exact: an item among the best k of the maximum is among the best k of the
    image it has that maximum from.

    Args:
        index: where to look.
        queries: float32 ``(Q, D)``, the images.
        question: what else is asked.
        fusion: ``average`` or ``best``.
        own: rows of the index that are among the images, which are left out.

    Returns:
        `Hits` of one query.

    Raises:
        ConfigError: an unknown fusion.
    """
    if fusion not in FUSIONS:
        raise ConfigError(f"fuse={fusion}: give {' or '.join(FUSIONS)}.")
    more = replace(question, top=question.top + len(own), min_score=None)
    if fusion == "average":
        mean = queries.mean(axis=0, keepdims=True)
        hits = ask(index, mean / max(float(np.linalg.norm(mean)), 1e-12), more)
    else:
        each = ask(index, queries, more)
        rows, first = {}, each.rows.ravel()
        for row, score in zip(first.tolist(), each.scores.ravel().tolist(), strict=True):
            if row >= 0:
                rows[row] = max(score, rows.get(row, -np.inf))
        hits = best(np.array([[*rows]], np.int64), np.array([[*rows.values()]]), more.top)
    for row in own:
        hits = hits.without(np.array([row]))
    hits = hits.top(question.top)
    return hits if question.min_score is None else hits.at_least(question.min_score)


def describe_hits(index: Index, hits: Hits, query: int = 0) -> list[dict[str, Any]]:
    """The hits of one query as ``{"id", "path", "score", "labels"}``, best first."""
    found = []
    for row, score in zip(hits.rows[query].tolist(), hits.scores[query].tolist(), strict=True):
        if row < 0:
            continue
        found.append(
            {
                "id": int(index.ids[row]),
                "path": str(index.cell("path", row)),
                "score": round(float(score), 6),
                "labels": {level: str(index.cell(level, row)) for level in index.levels},
            }
        )
    return found
