"""What every number means, and the names people call it by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lookalike.calls import named_arguments
from lookalike.errors import ConfigError, suggest
from lookalike.metrics.catalogue import CLUSTERING, LANDMARKS, RETRIEVAL, VERIFICATION
from lookalike.metrics.contract import EMPTY, TIES, Definition
from lookalike.metrics.plain_words import PLAIN

__all__ = [
    "EMPTY",
    "TIES",
    "Definition",
    "Request",
    "by_kind",
    "explain",
    "fill",
    "kind",
    "names",
    "parse",
    "select",
]

# Graded metrics that also have a value for one level alone.
_BINARY = ("ndcg", "ndcg_at_{k}", "linear_ndcg", "linear_ndcg_at_{k}", "asi")
_KINDS = {
    kind: tuple(replace(d, plain=PLAIN[d.name]) for d in family)
    for kind, family in {
        "retrieval": RETRIEVAL,
        "clustering": CLUSTERING,
        "landmarks": LANDMARKS,
        "verification": VERIFICATION,
    }.items()
}
_BY_NAME = {d.name: d for family in _KINDS.values() for d in family}
_ELSEWHERE = {
    "verification": "judges pairs; call metrics.verification(query, labels)",
    "landmarks": "needs lists of easy, hard and junk items; call metrics.revisited",
}
_KIND = {d.name: kind for kind, family in _KINDS.items() for d in family}


def names() -> list[str]:
    """The id of every retrieval metric, ``{k}`` standing for a cut-off."""
    return [d.name for d in RETRIEVAL]


def kind(name: str) -> str:
    """What a metric judges, by its name or alias: "retrieval", "clustering" or "landmarks".

    Raises:
        ConfigError: no metric has that name.

    >>> kind("R@1"), kind("NMI"), kind("hard_map")
    ('retrieval', 'clustering', 'landmarks')
    """
    return _KIND[parse(name).base]


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


@named_arguments()
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
        plain=put(definition.plain),
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
    text = re.sub(r"(fnmr_at_fmr).*", r"\1", text.removesuffix("_multi"))
    level = None
    if match := re.fullmatch(r"(.+)_level(\d+)", text):
        text, level = match[1], int(match[2])
    stem, k = text, None
    if match := re.fullmatch(r"(.+_)(\d+)", text):
        stem, k = match[1] + "{k}", int(match[2])
    base = _ALIASES.get(stem)
    if base is None or (k is not None and k < 1):
        known = [word.replace("{k}", str(k or 1)) for word in (*_BY_NAME, *_ALIASES)]
        raise ConfigError(f"no metric is called '{name}'. {suggest(text, known)}")
    return Request(base, k, level)


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
        every = [d for d in RETRIEVAL if not d.special]
        return [r for d in every for r in _expand(d, k, levels, columns)]
    wanted: list[Request] = []
    for name in [metrics] if isinstance(metrics, str) else metrics:
        asked = parse(name)
        if (wrong := _KIND[asked.base]) != "retrieval":
            raise ConfigError(f"metric '{name}' {_ELSEWHERE[wrong]}")
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


def by_kind(metrics: Sequence[str] | str | None) -> tuple[Sequence[str] | None, list[str]]:
    """The names of metrics that rank (None: all of them), and the bases of those that cluster."""
    if metrics is None:
        return None, []
    words = [metrics] if isinstance(metrics, str) else list(metrics)
    partitions = [word for word in words if _KIND[parse(word).base] == "clustering"]
    ranked = [word for word in words if word not in partitions]
    return ranked, list(dict.fromkeys(parse(word).base for word in partitions))


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
