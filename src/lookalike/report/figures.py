"""How a number and its name are written, the same on the page and in the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

Interval = tuple[float, float]

_TITLES = {
    "r_precision": "R-precision",
    "mean_average_precision": "mAP",
    "mean_average_precision_at_r": "MAP@R",
    "mean_average_precision_trapezoid": "mAP (trapezoid)",
    "micro_average_precision": "µAP",
    "mean_reciprocal_rank": "MRR",
    "ndcg": "NDCG",
    "h_ap": "H-AP",
    "h_ap_happier": "H-AP (HAPPIER)",
    "asi": "ASI",
    "exclusive_average_precision": "Exclusive AP",
    "nmi": "NMI",
    "ami": "AMI",
    "pairwise_f": "Pairwise F",
    "b_cubed_f": "B-cubed F",
    **{f"{setup}_map": f"mAP ({setup})" for setup in ("easy", "medium", "hard", "original")},
}
_FAMILIES = {
    "precision": "Precision",
    "recall": "Recall",
    "true_recall": "True recall",
    "mean_average_precision": "mAP",
    "mean_average_precision_trapezoid": "mAP (trapezoid)",
    "mean_precision": "mP",
    **{f"{setup}_mp": f"mP ({setup})" for setup in ("easy", "medium", "hard", "original")},
}
_HEADLINES = (
    "recall_at_1",
    "precision_at_1",
    "mean_average_precision_at_r",
    "mean_average_precision",
    "r_precision",
    "mean_reciprocal_rank",
    "h_ap",
    "ndcg",
    "medium_map",
    "hard_map",
)


def format_value(value: float) -> str:
    """Three decimals; a dash where there is no number.

    >>> format_value(0.81249), format_value(float("nan"))
    ('0.812', '–')
    """
    return f"{value:.3f}" if math.isfinite(value) else "–"


def format_interval(interval: Interval | None) -> str:
    """Two decimals on each side, so that the interval never looks sharper than it is.

    >>> format_interval((0.789, 0.834)), format_interval(None)
    ('(0.79–0.83)', '')
    """
    if interval is None or not all(math.isfinite(bound) for bound in interval):
        return ""
    return f"({interval[0]:.2f}–{interval[1]:.2f})"


def format_estimate(value: float, interval: Interval | None = None) -> str:
    """A value with its interval.

    >>> format_estimate(0.812, (0.79, 0.83))
    '0.812 (0.79–0.83)'
    """
    return f"{format_value(value)} {format_interval(interval)}".rstrip()


def short(value: float) -> str:
    """At most three significant digits; below a thousandth with an exponent.

    >>> short(0.25), short(0.0001), short(12345.0)
    ('0.25', '1e-4', '1.23e4')
    """
    if value and not 1e-3 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def split_level(name: str) -> tuple[str, int | None]:
    """The metric and its label level, None where there is only one.

    >>> split_level("recall_at_1_level2"), split_level("ndcg")
    (('recall_at_1', 2), ('ndcg', None))
    """
    match = re.fullmatch(r"(.+)_level(\d+)", name)
    return (match[1], int(match[2])) if match else (name, None)


def metric_title(name: str, levels: Sequence[str] = ()) -> str:
    """A metric as papers write it; a name that is not ours stays as it is.

    >>> metric_title("recall_at_4"), metric_title("mean_average_precision_at_r_level1")
    ('Recall@4', 'MAP@R, level 1')
    >>> metric_title("h_ap_level1", ["species", "genus"])
    'H-AP, genus'
    """
    base, level = split_level(name)
    family = re.fullmatch(r"(.+)_at_(\d+)", base)
    if base in _TITLES:
        title = _TITLES[base]
    elif family and family[1] in _FAMILIES:
        title = f"{_FAMILIES[family[1]]}@{family[2]}"
    else:
        title = base
    return title if level is None else f"{title}, {level_title(level, levels)}"


def level_title(level: int, levels: Sequence[str] = ()) -> str:
    """The name of a label level, or its number."""
    return levels[level] if level < len(levels) else f"level {level}"


def headlines(names: Iterable[str], limit: int = 4) -> list[str]:
    """The metrics to show first, finest level only; precision@1 gives way to recall@1, its equal.

    >>> headlines(["mean_average_precision", "precision_at_1", "recall_at_1", "ndcg"])
    ['recall_at_1', 'mean_average_precision', 'ndcg']
    >>> headlines(["recall_at_1_level1", "recall_at_1_level2"])
    ['recall_at_1_level1']
    """
    asked = [(name, *split_level(name)) for name in names]
    first = min((level for _, _, level in asked if level is not None), default=0)
    finest = {base: name for name, base, level in asked if level in (None, first)}
    known = [finest[base] for base in _HEADLINES if base in finest]
    if "recall_at_1" in finest and "precision_at_1" in finest:
        known.remove(finest["precision_at_1"])
    return (known or list(finest.values()))[:limit]


def by_level(values: Mapping[str, float]) -> dict[str, dict[int | None, str]]:
    """Metric → level → name, in the order of ``values``.

    >>> by_level({"ndcg": 1.0, "h_ap_level0": 0.5, "h_ap_level1": 0.6})
    {'ndcg': {None: 'ndcg'}, 'h_ap': {0: 'h_ap_level0', 1: 'h_ap_level1'}}
    """
    table: dict[str, dict[int | None, str]] = {}
    for name in values:
        base, level = split_level(name)
        table.setdefault(base, {})[level] = name
    return table
