"""The formulas of a whole tile in numpy: every tie rule, any number of label columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lookalike.metrics import formulas
from lookalike.metrics.definitions import Request
from lookalike.metrics.inputs import Problem
from lookalike.metrics.labels import DISTRACTOR
from lookalike.ops.exact_ranks import Counts
from lookalike.ops.tiles import Pairs

# Of all label columns at once, where no level is named.
GRADED = ("ndcg", "ndcg_at_{k}", "linear_ndcg", "linear_ndcg_at_{k}", "asi")
_HIERARCHICAL = ("h_ap", "h_ap_happier")


@dataclass(frozen=True)
class Style:
    """The choices that change a number.

    Attributes:
        ties: the rule for equal scores.
        relevance: "pop" or "map", for H-AP.
        alpha: its parameter.
    """

    ties: str
    relevance: str
    alpha: float | list[float]


class Views:
    """The rankings of one tile, one for each set of items a metric looks at."""

    def __init__(
        self,
        task: Problem,
        relevant: Pairs,
        counts: Counts,
        levels: list[int],
        block: slice,
        style: Style,
    ) -> None:
        self.levels = levels
        self.held = task.own[block] >= 0  # the gallery has the query itself
        self.style = style
        self.standing, order = formulas.stand(len(relevant.starts) - 1, relevant.rows, counts)
        items = relevant.items[order]
        depth = max(levels) + 1
        self.shares: list[np.ndarray] = []
        for level in range(depth):
            code = task.query_codes[block, level][self.standing.rows]
            same = (code == task.gallery_codes[items, level]) & (code != DISTRACTOR)
            self.shares.append(same if task.relation is None else np.ones(len(items), bool))
        self._made: dict[str, formulas.Ranking] = {}

    def of(self, level: int) -> formulas.Ranking:
        """Relevant: the same label in one column."""
        key = f"level {level}"
        if key not in self._made:
            self._made[key] = self._binary(self.standing.keep(self.shares[level]))
        return self._made[key]

    def exclusive(self, level: int) -> formulas.Ranking:
        """Relevant: the same label in this column and in none finer; finer ones taken out."""
        finer = np.zeros(len(self.standing.rows), bool)
        for share in self.shares[:level]:
            finer |= share
        if not finer.any():
            return self.of(level)
        left = self.standing.without(finer)
        return self._binary(left.keep(self.shares[level][~finer]))

    def graded(self) -> formulas.Ranking:
        """Relevant: by the number of shared columns."""
        if "graded" not in self._made:
            grade = np.zeros(len(self.standing.rows), np.int64)
            for level in self.levels:
                grade += self.shares[level]
            kept = grade > 0
            ranking = self.standing.keep(kept).rank(grade[kept], len(self.levels), self.style.ties)
            self._made["graded"] = ranking
        return self._made["graded"]

    def _binary(self, standing: formulas.Standing) -> formulas.Ranking:
        return standing.rank(np.ones(len(standing.rows), np.int64), 1, self.style.ties)

    def relevant(self, level: int) -> np.ndarray:
        """R of each query."""
        return self.of(level).relevant.astype(np.float64)

    def first_right(self, level: int) -> np.ndarray:
        """1 where the nearest item is relevant."""
        return formulas.recall_at(self.of(level), 1)

    def value(self, request: Request) -> np.ndarray:
        """One metric; NaN where a query has nothing relevant."""
        ranking = self._ranking(request)
        with np.errstate(invalid="ignore", divide="ignore"):
            if request.base in _HIERARCHICAL:
                style, sizes = self.style, ranking.of_grade
                if request.base == "h_ap_happier":
                    sizes = sizes.copy()
                    sizes[:, -1] += self.held
                table = formulas.relevance_table(sizes, style.relevance, style.alpha)
                value = formulas.hierarchical_ap(ranking, table)
            elif request.k is not None:
                value = formulas.CUT[request.base](ranking, request.k)
            else:
                value = formulas.PLAIN[request.base](ranking)
        return np.where(ranking.relevant > 0, value, np.nan)

    def _ranking(self, request: Request) -> formulas.Ranking:
        level = self.levels[0] if request.level is None else request.level
        if request.base == "exclusive_average_precision":
            return self.exclusive(level)
        if request.level is None and request.base in (*GRADED, *_HIERARCHICAL):
            return self.graded()
        return self.of(level)
