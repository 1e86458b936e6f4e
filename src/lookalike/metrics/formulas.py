"""The metrics themselves: functions of the ranks of each query's relevant items.

Every sum runs in the order of the ranks, query by query, so a value never depends on which other
queries shared its tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from lookalike.ops.exact_ranks import Counts

HEAD = 128  # ranks looked at once for all smaller cut-offs


@dataclass(frozen=True)
class Ranking:
    """The relevant items of a block of queries, in the order they rank.

    Attributes:
        queries: how many queries, those without items included.
        rows: ``(m,)`` the query of each item, rising.
        rank: ``(m,)`` where it stands, from 1; halves occur under the tie rule "mean".
        grade: ``(m,)`` number of label columns shared with the query; 1 in a binary ranking.
        highest: the best grade there can be.
    """

    queries: int
    rows: np.ndarray
    rank: np.ndarray
    grade: np.ndarray
    highest: int = 1

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum over each query's items, in their order."""
        return np.bincount(self.rows, values, self.queries)

    @cached_property
    def relevant(self) -> np.ndarray:
        """R: how many relevant items each query has."""
        return np.bincount(self.rows, minlength=self.queries)

    @cached_property
    def start(self) -> np.ndarray:
        """Where each query's items begin."""
        return np.cumsum(self.relevant) - self.relevant

    @cached_property
    def place(self) -> np.ndarray:
        """j: 1 for a query's first relevant item, 2 for its second."""
        return np.arange(1, len(self.rows) + 1) - self.start[self.rows]

    @cached_property
    def precision(self) -> np.ndarray:
        """Precision at each relevant item, j / r_j."""
        return self.place / self.rank

    @cached_property
    def head(self) -> Ranking:
        """The items down to rank `HEAD`: all that the usual cut-offs need."""
        return self.part(self.rank <= HEAD)

    def part(self, chosen: np.ndarray) -> Ranking:
        """Some of the items; each query's must be its first ones."""
        kept = np.flatnonzero(chosen)
        return Ranking(
            self.queries, self.rows[kept], self.rank[kept], self.grade[kept], self.highest
        )

    @cached_property
    def of_grade(self) -> np.ndarray:
        """How many items of each grade a query has, ``(queries, highest + 1)``."""
        cell = self.rows * (self.highest + 1) + self.grade
        counts = np.bincount(cell, minlength=self.queries * (self.highest + 1))
        return counts.reshape(self.queries, -1)


@dataclass(frozen=True)
class Standing:
    """The relevant items of a block of queries and what stands above and beside each.

    Attributes:
        queries: how many queries, those without items included.
        rows: ``(m,)`` the query of each item, rising; within a query by the stable order.
        counts: ``(m,)`` each, in the same order.
    """

    queries: int
    rows: np.ndarray
    counts: Counts

    def keep(self, chosen: np.ndarray) -> Standing:
        """Look at some of the items; the others stay in the ranking."""
        c = self.counts
        counts = Counts(c.above[chosen], c.tied[chosen], c.tied_before[chosen])
        return Standing(self.queries, self.rows[chosen], counts)

    def without(self, removed: np.ndarray) -> Standing:
        """Take some of the items out of the ranking; what is left moves up."""
        above, gone = self.counts.above, removed.astype(np.int64)
        before = np.cumsum(gone) - gone
        row, tie = _opens(self.rows), _opens(self.rows, above)
        of_row, of_tie = before[row][np.cumsum(row) - 1], before[tie][np.cumsum(tie) - 1]
        in_tie = np.diff(np.append(before[tie], gone.sum()))[np.cumsum(tie) - 1]
        counts = Counts(
            above - (of_tie - of_row),
            self.counts.tied - in_tie,
            self.counts.tied_before - (before - of_tie),
        )
        return Standing(self.queries, self.rows, counts).keep(~removed)

    def rank(self, grade: np.ndarray, highest: int, ties: str) -> Ranking:
        """Ranks under a tie rule.

        Args:
            grade: ``(m,)`` relevance of each item, at least 1.
            highest: the best grade there can be.
            ties: "stable", "optimistic", "pessimistic" or "mean".
        """
        rows, c = self.rows, self.counts
        if ties == "stable":
            return Ranking(self.queries, rows, 1 + c.above + c.tied_before, grade, highest)
        if ties == "mean":
            return Ranking(self.queries, rows, 1 + c.above + c.tied / 2, grade, highest)
        tie = _opens(rows, c.above)
        begins, group = np.flatnonzero(tie), np.cumsum(tie) - 1
        if highest > 1:
            sign = -1 if ties == "optimistic" else 1
            grade = grade[np.lexsort((sign * grade, group))]
        rank = 1 + c.above + np.arange(len(rows)) - begins[group]
        if ties == "pessimistic":
            rank = rank + c.tied + 1 - np.diff(np.append(begins, len(rows)))[group]
        return Ranking(self.queries, rows, rank, grade, highest)


def stand(queries: int, rows: np.ndarray, counts: Counts) -> tuple[Standing, np.ndarray]:
    """The items in the stable order of each query, and where each came from."""
    first = counts.above + counts.tied_before
    order = np.argsort(rows * (first.max(initial=0) + 1) + first)
    return Standing(queries, rows, counts).keep(order), order


def _opens(*keys: np.ndarray) -> np.ndarray:
    """True where any of the keys differs from the item before."""
    opens = np.ones(len(keys[0]), bool)
    opens[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return opens


def _within(r: Ranking, k: int) -> Ranking:
    """The part of a ranking down to rank k."""
    first = r.head
    if k > HEAD:
        first = r
    return first.part(first.rank <= k)


def precision_at(r: Ranking, k: int) -> np.ndarray:
    """Relevant items among the first k, divided by k."""
    return _within(r, k).relevant / k


def recall_at(r: Ranking, k: int) -> np.ndarray:
    """1 where a relevant item is among the first k."""
    return (_within(r, k).relevant > 0).astype(np.float64)


def true_recall_at(r: Ranking, k: int) -> np.ndarray:
    """Relevant items among the first k, divided by the most there can be."""
    return _within(r, k).relevant / np.minimum(r.relevant, k)


def r_precision(r: Ranking) -> np.ndarray:
    """Relevant items among the first R, divided by R."""
    return r.part(r.rank <= r.relevant[r.rows]).relevant / r.relevant


def average_precision(r: Ranking) -> np.ndarray:
    """Mean of j / r_j."""
    return r.total(r.precision) / r.relevant


def average_precision_at_r(r: Ranking) -> np.ndarray:
    """Sum of j / r_j within the first R, divided by R."""
    first = r.part(r.rank <= r.relevant[r.rows])
    return first.total(first.precision) / r.relevant


def average_precision_at(r: Ranking, k: int) -> np.ndarray:
    """Sum of j / r_j within the first k, divided by min(R, k)."""
    first = _within(r, k)
    return first.total(first.precision) / np.minimum(r.relevant, k)


def reciprocal_rank(r: Ranking) -> np.ndarray:
    """One over the first relevant rank."""
    value = np.zeros(r.queries)
    found = r.relevant > 0
    value[found] = 1.0 / r.rank[r.start[found]]
    return value


def trapezoid(r: Ranking) -> np.ndarray:
    """Average precision by the trapezoidal rule."""
    return r.total(_trapezoid_steps(r)) / r.relevant


def _trapezoid_steps(r: Ranking) -> np.ndarray:
    """The mean precision just before and at each relevant item."""
    ahead = r.rank - 1
    left = np.ones(len(r.rows))
    np.divide(r.place - 1, ahead, out=left, where=ahead > 0)
    return (left + r.precision) / 2


def trapezoid_at(r: Ranking, k: int) -> np.ndarray:
    """Average precision by the trapezoidal rule within the first k, divided by min(R, k)."""
    first = _within(r, k)
    return first.total(_trapezoid_steps(first)) / np.minimum(r.relevant, k)


def precision_to_last_at(r: Ranking, k: int) -> np.ndarray:
    """Precision among the first k, or down to the last relevant item where that is nearer."""
    depth = np.full(r.queries, float(k))
    found = r.relevant > 0
    last = r.rank[r.start[found] + r.relevant[found] - 1]
    depth[found] = np.minimum(last, k)
    return _within(r, k).relevant / depth


def reciprocal_rank_at(r: Ranking, k: int) -> np.ndarray:
    """One over the first relevant rank, 0 beyond the first k."""
    return np.where(_within(r, k).relevant > 0, reciprocal_rank(r), 0.0)


def ir_recall_at(r: Ranking, k: int) -> np.ndarray:
    """Relevant items among the first k, divided by all there are."""
    return _within(r, k).relevant / r.relevant


def inverse_negative_penalty(r: Ranking) -> np.ndarray:
    """R over the rank of the last relevant item."""
    value = np.zeros(r.queries)
    found = r.relevant > 0
    value[found] = r.relevant[found] / r.rank[r.start[found] + r.relevant[found] - 1]
    return value


def ndcg(r: Ranking, k: int | None = None, *, linear: bool = False) -> np.ndarray:
    """Discounted cumulative gain over that of the best ranking, both of the first k."""
    gain = np.arange(r.highest + 1.0) if linear else 2.0 ** np.arange(r.highest + 1) - 1
    first = r if k is None else _within(r, k)
    found = first.total(gain[first.grade] * (1 / np.log2(1.0 + first.rank)))
    longest = int(r.relevant.max(initial=0))
    discount = np.concatenate(([0.0], np.cumsum(1 / np.log2(np.arange(2.0, longest + 2)))))
    best, ahead = np.zeros(r.queries), np.zeros(r.queries, np.int64)
    for grade in range(r.highest, 0, -1):
        until = ahead + r.of_grade[:, grade]
        if k is not None:
            until = np.minimum(until, k)
        best += gain[grade] * (discount[until] - discount[ahead])
        ahead = until
    return found / best


def relevance_table(counts: np.ndarray, kind: str, alpha: float | list[float]) -> np.ndarray:
    """The relevance of each grade for each query, ``(queries, L + 1)``; grade 0 has none.

    "pop": (l / L)^alpha shared among the n_l items of exactly grade l. "map": the sum over p <= l
    of alpha_p / N_p, N_p the items of grade p or better (HAPPIER, equations 5 and 10).

    Args:
        counts: ``(queries, L + 1)`` items of each grade.
        kind: "pop" or "map".
        alpha: the exponent, or the L weights from the coarsest level to the finest.
    """
    highest = counts.shape[1] - 1
    table = np.zeros(counts.shape)
    if kind == "pop":
        weight = (np.arange(1, highest + 1) / highest) ** np.asarray(alpha, np.float64)
        np.divide(weight, counts[:, 1:], out=table[:, 1:], where=counts[:, 1:] > 0)
        return table
    at_least = np.cumsum(counts[:, :0:-1], axis=1)[:, ::-1]
    share = np.zeros(at_least.shape)
    np.divide(np.asarray(alpha, np.float64), at_least, out=share, where=at_least > 0)
    table[:, 1:] = np.cumsum(share, axis=1)
    return table


def hierarchical_ap(r: Ranking, table: np.ndarray) -> np.ndarray:
    """H-AP: each relevant item credits those before it with the relevance they share.

    Args:
        r: the ranking.
        table: the relevance of each grade for each query, see `relevance_table`.
    """
    own = table[r.rows, r.grade]
    credit = np.zeros(len(r.rows))
    for grade in range(1, r.highest + 1):
        upto = _running(r, r.grade == grade)
        credit += upto * np.minimum(own, table[r.rows, grade])
    return r.total(credit / r.rank) / r.total(own)


def set_intersection(r: Ranking) -> np.ndarray:
    """ASI: what the first ranks share with the best ranking, averaged over depths 1..R."""
    depth = r.place  # of the best ranking: R places, one for each relevant item
    seat = np.ceil(r.rank).astype(np.int64)
    inside = seat <= r.relevant[r.rows]
    common, ahead = np.zeros(len(r.rows)), np.zeros(r.queries, np.int64)
    for grade in range(r.highest, 0, -1):
        chosen = inside & (r.grade == grade)
        cell = r.start[r.rows[chosen]] + seat[chosen] - 1
        have = _running(r, np.bincount(cell, minlength=len(r.rows)))
        size = r.of_grade[:, grade]
        ideal = np.clip(depth - ahead[r.rows], 0, size[r.rows])
        common += np.minimum(have, ideal)
        ahead = ahead + size
    return r.total(common / depth) / r.relevant


def _running(r: Ranking, values: np.ndarray) -> np.ndarray:
    """Cumulative sum within each query, the item itself included."""
    whole = np.concatenate(([0], np.cumsum(values)))
    return whole[1:] - whole[r.start[r.rows]]


PLAIN: dict[str, Callable[[Ranking], np.ndarray]] = {
    "r_precision": r_precision,
    "mean_average_precision": average_precision,
    "mean_average_precision_at_r": average_precision_at_r,
    "mean_reciprocal_rank": reciprocal_rank,
    "mean_average_precision_trapezoid": trapezoid,
    "exclusive_average_precision": average_precision,
    "ndcg": ndcg,
    "linear_ndcg": partial(ndcg, linear=True),
    "mean_inverse_negative_penalty": inverse_negative_penalty,
    "asi": set_intersection,
}
CUT: dict[str, Callable[[Ranking, int], np.ndarray]] = {
    "precision_at_{k}": precision_at,
    "recall_at_{k}": recall_at,
    "true_recall_at_{k}": true_recall_at,
    "mean_average_precision_at_{k}": average_precision_at,
    "mean_average_precision_trapezoid_at_{k}": trapezoid_at,
    "mean_precision_at_{k}": precision_to_last_at,
    "ndcg_at_{k}": ndcg,
    "linear_ndcg_at_{k}": partial(ndcg, linear=True),
    "mean_reciprocal_rank_at_{k}": reciprocal_rank_at,
    "ir_recall_at_{k}": ir_recall_at,
}
# Those that native code does not know.
PLAIN_ONLY = {
    "mean_average_precision_trapezoid_at_{k}",
    "mean_precision_at_{k}",
    "h_ap_happier",
    "linear_ndcg",
    "mean_inverse_negative_penalty",
    "ndcg_at_{k}",
    "linear_ndcg_at_{k}",
    "mean_reciprocal_rank_at_{k}",
    "ir_recall_at_{k}",
}


def pooled_precision(
    score: np.ndarray, right: np.ndarray, answerable: np.ndarray, ties: str
) -> np.ndarray:
    """Each query's share of the micro average precision, ``(N,)``; their mean is the value.

    Args:
        score: ``(N,)`` confidence of each query's one prediction; -inf for none.
        right: whether it is relevant.
        answerable: whether the query has a relevant item.
        ties: how predictions of equal score are ordered; "stable" by query.
    """
    order = np.argsort(-score, kind="stable")
    falling = -score[order]
    left = np.searchsorted(falling, falling, "left")
    tied = np.searchsorted(falling, falling, "right") - left - 1
    at = np.flatnonzero(right[order])
    counts = Counts(left[at], tied[at], at - left[at])
    standing = Standing(1, np.zeros(len(at), np.int64), counts)
    ranking = standing.rank(np.ones(len(at), np.int64), 1, ties)
    share = np.where(answerable, 0.0, np.nan)
    share[order[at]] = ranking.precision
    return share
