"""Which figures an evaluation is asked for, out of ``evaluation.metrics`` and ``exclude``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lookalike.config import EvaluationConfig
from lookalike.errors import ConfigError
from lookalike.metrics.contract import EMPTY, TIES
from lookalike.metrics.definitions import Request, kind, parse, select

_USUAL = (
    "precision_at_1",
    "recall_at_k",
    "r_precision",
    "mean_average_precision_at_r",
    "mean_average_precision",
    "mean_reciprocal_rank",
)
_USUAL_GRADED = ("h_ap", "ndcg", "asi")


def metric_names(c: EvaluationConfig, columns: int, levels: Sequence[int]) -> list[str]:
    """The metrics to measure: those that rank, then those that judge a partition.

    Args:
        c: what is asked for.
        columns: how many label columns there are.
        levels: those in which any query can be judged. A metric of another level alone is left
            out: each benchmark of DyML has a level of its own.

    Raises:
        ConfigError: nothing is left to measure.
    """
    wanted = [*_USUAL, *(_USUAL_GRADED if columns > 1 else ())]
    if c.metrics is not None:
        wanted = [name for name in c.metrics if name != "all"]
    ours = [name for name in wanted if kind(name) == "retrieval"]
    asked = [parse(name) for name in ours]
    held = [
        name
        for name, one in zip(ours, asked, strict=True)
        if one.level is None or one.level in (levels if columns > 1 else [0])
    ]
    requests = select(None, c.k, levels, columns) if "all" in (c.metrics or ()) else []
    requests += [one for one in select(held, c.k, levels, columns) if one not in requests]
    kept = [one.name for one in requests if not _excluded(one, c.exclude)]
    partitions = [parse(name) for name in wanted if kind(name) == "clustering"]
    names = [one.base for one in partitions if not _excluded(one, c.exclude)]
    if not kept and not names:
        raise ConfigError(
            f"evaluation.metrics={c.metrics} and exclude={c.exclude} leave nothing to measure at "
            f"levels {list(levels)}"
        )
    # A report ranks something: where a partition alone is asked for, it has recall@1 beside it.
    return [*(kept or ["recall_at_1"]), *dict.fromkeys(names)]


def landmark_names(names: Iterable[str], c: EvaluationConfig) -> list[str]:
    """Of a landmark report's names those that are asked for; all, where none is named."""
    shown = [name for name in names if not _excluded(parse(name), c.exclude)]
    asked = [parse(n) for n in c.metrics or () if n != "all" and kind(n) == "landmarks"]
    named = [n for n in shown if any(_covers(one, parse(n)) for one in asked)]
    return named if asked else shown


def _covers(asked: Request, one: Request) -> bool:
    """Whether a name stands for a figure: without cut-off or level it stands for all of them."""
    return (
        asked.base == one.base
        and asked.k in (None, one.k)
        and (asked.level is None or asked.level == one.level)
    )


def _excluded(one: Request, exclude: Iterable[str]) -> bool:
    return any(_covers(parse(name), one) for name in exclude)


def check_metrics(c: EvaluationConfig) -> None:
    """Refuse what cannot be measured, before anything is embedded.

    Raises:
        ConfigError: names the option and the nearest metric.
    """
    options = {
        "metrics": [m for m in c.metrics or [] if m != "all"],
        "exclude": c.exclude,
        "monitor": [c.monitor],
    }
    for option, names in options.items():
        for name in names:
            try:
                parse(name)
            except ConfigError as error:
                raise ConfigError(f"evaluation.{option}: {error}") from error
    for option, value, known in (
        ("ties", c.ties, list(TIES)),
        ("empty", c.empty, list(EMPTY)),
        ("relevance", c.relevance, ["pop", "map"]),
    ):
        if value not in known:
            raise ConfigError(f"evaluation.{option}={value}: write one of {', '.join(known)}")
    if not c.scales or min(c.scales) <= 0:
        raise ConfigError(f"evaluation.scales={c.scales}: give positive factors, such as [1,0.707]")
