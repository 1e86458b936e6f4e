"""What every number means: one contract a metric, and the names people call it by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lookalike.errors import ConfigError, suggest

TIES = {
    "stable": "equal scores rank by rising gallery index",
    "optimistic": "among equal scores the more relevant item ranks first",
    "pessimistic": "among equal scores the less relevant item ranks first",
    "mean": "items of equal score all stand at the mean of the places they share",
}
EMPTY = {
    "skip": "skipped and counted (NaN in per_query)",
    "zero": "counted as 0",
}


@dataclass(frozen=True)
class Definition:
    """The contract of one metric.

    Attributes:
        name: its id, with k and level filled in where it belongs to a report.
        words: the formula in words. r_j is the rank of a query's j-th relevant item (from 1,
            excluded items not counted), R how many there are.
        ties: how equal scores are ordered.
        empty: what happens to a query without a relevant item.
        protocol: where the definition comes from.
        aliases: other names it answers to.
        graded: whether all label columns count at once (then it has no level).
        pooled: whether the value is that of all queries together and no mean over queries.
        special: whether it belongs to one protocol and is measured only where it is named.
    """

    name: str
    words: str
    protocol: str
    ties: str = TIES["stable"]
    empty: str = EMPTY["skip"]
    aliases: tuple[str, ...] = ()
    graded: bool = False
    pooled: bool = False
    special: bool = False

    @property
    def takes_k(self) -> bool:
        """Whether the name holds a cut-off."""
        return "{k}" in self.name

    def __str__(self) -> str:
        lines = [
            self.name,
            f"  value      {self.words}",
            f"  ties       {self.ties}",
            f"  no positive  {self.empty}",
            f"  protocol   {self.protocol}",
        ]
        if self.aliases:
            lines.append(f"  also       {', '.join(self.aliases)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, str]:
        """What a report stores beside the number."""
        return {
            "words": self.words,
            "ties": self.ties,
            "empty": self.empty,
            "protocol": self.protocol,
        }


_DEFINITIONS = (
    Definition(
        "precision_at_{k}",
        "items of the query's class among its {k} nearest, divided by {k}",
        "standard; precision_at_1 as in Musgrave et al. 2020",
        aliases=("p_at_{k}",),
    ),
    Definition(
        "recall_at_{k}",
        "1 if any of the {k} nearest items is of the query's class, else 0 (the hit rate)",
        "Jegou et al. 2011; the R@k of metric learning (Oh Song et al. 2016)",
        aliases=("r_at_{k}", "hit_rate_at_{k}", "cmc_at_{k}", "rank_{k}"),
    ),
    Definition(
        "true_recall_at_{k}",
        "relevant items among the {k} nearest, divided by min(R, {k}), so that 1 can be reached",
        "Patel et al. 2022; SupRank",
        aliases=("tr_at_{k}",),
    ),
    Definition(
        "r_precision",
        "relevant items among the R nearest, divided by R",
        "TREC; Musgrave et al. 2020",
        aliases=("rp", "r_prec"),
    ),
    Definition(
        "mean_average_precision",
        "mean over the R relevant items of j / r_j, over the whole ranking, divided by R",
        "TREC; scikit-learn's average_precision_score where nothing ties",
        aliases=("map", "ap", "average_precision"),
    ),
    Definition(
        "mean_average_precision_at_r",
        "sum of j / r_j over the relevant items with r_j <= R, divided by R",
        "Musgrave et al. 2020",
        aliases=("map_at_r", "mapr"),
    ),
    Definition(
        "mean_average_precision_at_{k}",
        "sum of j / r_j over the relevant items with r_j <= {k}, divided by min(R, {k})",
        "Google Landmarks v2 (k = 100)",
        aliases=("map_at_{k}", "ap_at_{k}"),
    ),
    Definition(
        "mean_reciprocal_rank",
        "1 / r_1, the rank of the nearest relevant item",
        "TREC",
        aliases=("mrr",),
    ),
    Definition(
        "ndcg",
        "sum of (2^t - 1) / log2(1 + rank), t the number of label columns shared with the query, "
        "divided by the same sum for the best possible ranking",
        "Jarvelin and Kekalainen 2002, gains as in Burges et al. 2005",
        graded=True,
    ),
    Definition(
        "h_ap",
        "hierarchical AP: sum over relevant items k of (rel_k + sum of min(rel_k, rel_m) over the "
        "items m ranked before) / rank_k, divided by the sum of rel",
        "Ramzi et al. 2022 (HAPPIER)",
        aliases=("hap", "hierarchical_average_precision"),
        graded=True,
    ),
    Definition(
        "asi",
        "average set intersection: mean over depths 1..R of the items, counted by number of "
        "shared label columns, that the first ranks hold in common with the best ranking, "
        "divided by the depth",
        "Sun et al. 2021 (DyML)",
        aliases=("average_set_intersection",),
        graded=True,
    ),
    Definition(
        "micro_average_precision",
        "each query's nearest item is its one prediction; all predictions sorted by score, sum "
        "of precision at the right ones, divided by the number of queries with a relevant item "
        "(queries without one stay in the list as wrong predictions)",
        "Google Landmarks v2 recognition; Perronnin et al. 2009",
        aliases=("micro_ap", "map_micro", "gap", "global_average_precision"),
        pooled=True,
    ),
    Definition(
        "mean_average_precision_trapezoid",
        "mean over the R relevant items of ((j - 1) / (r_j - 1) + j / r_j) / 2, the first "
        "quotient 1 where r_j = 1",
        "Oxford and Paris buildings, original and revisited; RAML",
        aliases=("map_trapezoid", "trapezoid_map", "trapezoid_ap"),
    ),
    Definition(
        "mean_average_precision_trapezoid_at_{k}",
        "the terms of the trapezoidal average precision with r_j <= {k}, divided by min(R, {k})",
        "the mAP@k of RAML",
        aliases=("map_trapezoid_at_{k}", "trapezoid_map_at_{k}"),
        special=True,
    ),
    Definition(
        "mean_precision_at_{k}",
        "relevant items among the q nearest, divided by q, where q is {k} or, if smaller, the rank "
        "of the last relevant item",
        "the mP@k of Oxford and Paris buildings, revisited; RAML",
        aliases=("mp_at_{k}",),
        special=True,
    ),
    Definition(
        "exclusive_average_precision",
        "average precision of the items that share this label column with the query and no finer "
        "one, after those that share a finer one are taken out of the ranking",
        "the AP#v of SupRank",
        aliases=("hard_ap", "ap_exclude"),
    ),
)
_CLUSTERING = tuple(
    Definition(
        name,
        words,
        protocol,
        ties="a clustering has none",
        empty="every item counts",
        aliases=aliases,
        pooled=True,
    )
    for name, words, protocol, aliases in (
        (
            "pairwise_f",
            "harmonic mean of the share of same-cluster pairs that share a class and the share "
            "of same-class pairs that share a cluster",
            "Hi-LANDER; Banerjee et al. 2005",
            ("pairwise_f1", "f1"),
        ),
        (
            "b_cubed_f",
            "harmonic mean of the mean over items of the share of its cluster that has its class "
            "and of the share of its class that is in its cluster",
            "Amigo et al. 2009",
            ("bcubed_f", "b_cubed"),
        ),
        (
            "nmi",
            "mutual information of clusters and classes, divided by the mean of their entropies",
            "scikit-learn's normalized_mutual_info_score, arithmetic mean",
            ("normalized_mutual_info",),
        ),
        (
            "ami",
            "mutual information of clusters and classes, less what chance gives, divided by the "
            "mean of their entropies less the same",
            "Vinh et al. 2010; scikit-learn's adjusted_mutual_info_score",
            ("adjusted_mutual_info",),
        ),
    )
)
_BINARY = ("ndcg", "asi")  # graded metrics that also have a value for one level alone
_BY_NAME = {d.name: d for d in (*_DEFINITIONS, *_CLUSTERING)}


def names() -> list[str]:
    """The id of every retrieval metric, ``{k}`` standing for a cut-off."""
    return [d.name for d in _DEFINITIONS]


@dataclass(frozen=True)
class Request:
    """A metric's name taken apart: ``recall_at_4_level1`` is (``recall_at_{k}``, 4, 1)."""

    base: str
    k: int | None = None
    level: int | None = None

    @property
    def name(self) -> str:
        """The key in a report."""
        stem = self.base.format(k=self.k)
        return stem if self.level is None else f"{stem}_level{self.level}"


def explain(name: str) -> Definition:
    """The contract of a metric, by its id or any alias.

    Args:
        name: for example ``"mean_average_precision_at_r"``, ``"MAP@R"`` or ``"r_at_1"``.

    Raises:
        ConfigError: no metric has that name; the nearest is named.

    >>> explain("MAP@R").name
    'mean_average_precision_at_r'
    >>> explain("r_at_1").words
    "1 if any of the 1 nearest items is of the query's class, else 0 (the hit rate)"
    """
    request = parse(name)
    definition = _BY_NAME[request.base]
    if request.k is None:
        return definition
    return fill(definition, request)


def fill(definition: Definition, request: Request) -> Definition:
    """The definition with k and level written in."""

    def put(text: str) -> str:
        return text if request.k is None else text.replace("{k}", str(request.k))

    words = put(definition.words)
    if request.level is not None:
        words += f"; relevant: same label in column {request.level}"
    return replace(
        definition,
        name=request.name,
        words=words,
        aliases=tuple(put(alias) for alias in definition.aliases),
    )


def parse(name: str) -> Request:
    """Take a metric's name or alias apart.

    Raises:
        ConfigError: no metric has that name.
    """
    text = name.strip().lower().replace("µ", "micro_").replace("μ", "micro_")
    text = re.sub(r"[@\s-]+", lambda m: "_at_" if "@" in m[0] else "_", text)
    text = re.sub(r"_+", "_", text)
    text = text.removesuffix("_multi")
    level = None
    if match := re.fullmatch(r"(.+)_level(\d+)", text):
        text, level = match[1], int(match[2])
    stem, k = text, None
    if match := re.fullmatch(r"(.+_)(\d+)", text):
        stem, k = match[1] + "{k}", int(match[2])
    base = _ALIASES.get(stem)
    if base is None or (k is not None and k < 1):
        known = [*_BY_NAME, *_ALIASES]
        raise ConfigError(f"no metric is called '{name}'. {suggest(text, _examples(known))}")
    return Request(base, k, level)


def _examples(known: Sequence[str]) -> list[str]:
    return [word.replace("{k}", "1") for word in known]


_ALIASES = {alias: d.name for d in _BY_NAME.values() for alias in (d.name, *d.aliases)}
_ALIASES |= {name.replace("_at_{k}", "_at_k"): d for name, d in _ALIASES.items()}


def select(
    metrics: Sequence[str] | str | None, k: Sequence[int], levels: Sequence[int], columns: int
) -> list[Request]:
    """Every number a call asks for, in the order of `names`.

    Args:
        metrics: names or aliases, or None for all that are not special to one protocol. A name
            without its cut-off or its level stands for all of them.
        k: the cut-offs.
        levels: the label columns to evaluate.
        columns: how many label columns there are; with one, names carry no level.
    """
    if metrics is None:
        every = [d for d in _DEFINITIONS if not d.special]
        return [r for d in every for r in _expand(d, k, levels, columns)]
    wanted: list[Request] = []
    for name in [metrics] if isinstance(metrics, str) else metrics:
        asked = parse(name)
        if _BY_NAME[asked.base] in _CLUSTERING:
            raise ConfigError(
                f"metric '{name}' judges a clustering; call metrics.clustering(pred, true)"
            )
        cuts = k if asked.k is None else [asked.k]
        found = [
            r
            for r in _expand(_BY_NAME[asked.base], cuts, levels, columns)
            if asked.level is None or r.level == asked.level or (columns == 1 and asked.level == 0)
        ]
        if asked.level is None and _BY_NAME[asked.base].graded:
            found = [r for r in found if r.level is None]
        if not found:
            raise ConfigError(
                f"metric '{name}' has no value at level {asked.level}; "
                f"the label columns evaluated are {list(levels)}"
            )
        wanted += [r for r in found if r not in wanted]
    return wanted


def _expand(
    definition: Definition, k: Sequence[int], levels: Sequence[int], columns: int
) -> list[Request]:
    cuts = list(dict.fromkeys(k)) if definition.takes_k else [None]
    if columns == 1:
        depth: list[int | None] = [None]
    elif definition.graded:
        depth = [None, *levels] if definition.name in _BINARY else [None]
    else:
        depth = list(levels)
    return [Request(definition.name, cut, level) for level in depth for cut in cuts]
