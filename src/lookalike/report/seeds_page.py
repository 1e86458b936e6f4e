"""What several seeds of one training reached: mean, interval, and each by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lookalike.errors import counted
from lookalike.report.contents import EvaluationSection, RunReport
from lookalike.report.figures import format_value, metric_title
from lookalike.report.render import Part, render_page
from lookalike.report.sections import definitions_part
from lookalike.report.tables import Cell, Column, ReportTable, TableRow

_IN_TERMINAL = 4  # seeds that a terminal has room for
NOTE = (
    "In brackets: 95 % interval over seeds (Student's t): where the mean of many more trainings "
    "lies. It says nothing of other classes; the report of each run does."
)


@dataclass(frozen=True)
class OverSeeds:
    """One metric: mean, interval, and the figure of each seed; NaN for ends that are not known."""

    mean: float
    low: float
    high: float
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class SeedsReport:
    """Everything the page shows.

    Attributes:
        title: of the training.
        seeds: in order.
        runs: the folder of each, below the page's.
        splits: split → metric → figures.
        definitions: metric → words.
        command: that trained them.
    """

    title: str
    seeds: Sequence[int]
    runs: Sequence[str]
    splits: Mapping[str, Mapping[str, OverSeeds]]
    definitions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


def seeds_table(report: SeedsReport, split: str) -> ReportTable:
    """A row a metric.

    >>> one = OverSeeds(0.5, 0.4, 0.6, [0.45, 0.55])
    >>> runs = ["seed-0", "seed-1"]
    >>> report = SeedsReport(title="t", seeds=[0, 1], runs=runs, splits={"test": {"ndcg": one}})
    >>> print(seeds_table(report, "test").to_markdown().splitlines()[-1])
    | NDCG | 0.500 (0.400–0.600) | 0.450 | 0.550 |
    """
    only = "page" if len(report.seeds) > _IN_TERMINAL else None
    return ReportTable(
        columns=[
            Column("Metric", numeric=False),
            Column("Mean"),
            *(Column(f"Seed {seed}", only=only) for seed in report.seeds),
        ],
        rows=[
            TableRow(
                [
                    Cell(metric_title(name), tip=name),
                    Cell(format_value(one.mean), small=_range(one)),
                    *(format_value(value) for value in one.values),
                ]
            )
            for name, one in report.splits[split].items()
        ],
        caption=f"{split}: {counted(len(report.seeds), 'seed')}",
        notes=[NOTE] if len(report.seeds) > 1 else ["One seed: nothing is known of others."],
        style="numbers",
    )


def render_seeds(report: SeedsReport) -> str:
    """The page as text; the same runs give the same bytes."""
    parts = [
        Part(
            f"Over seeds: {split}", "tables", {"lines": [], "tables": [seeds_table(report, split)]}
        )
        for split in report.splits
    ]
    links = ReportTable(
        columns=[Column("Seed", numeric=False), Column("Report", numeric=False)],
        rows=[
            TableRow([str(seed), Cell(f"{run}/report.html", link=f"{run}/report.html")])
            for seed, run in zip(report.seeds, report.runs, strict=True)
        ],
    )
    parts.append(Part("Each run", "tables", {"lines": [], "tables": [links]}))
    parts += definitions_part(
        [
            EvaluationSection(
                split=split,
                values={name: one.mean for name, one in rows.items()},
                definitions=report.definitions,
            )
            for split, rows in report.splits.items()
        ]
    )
    frame = RunReport(
        title=report.title,
        subtitle=f"{counted(len(report.seeds), 'training')} that differ in their seed alone",
        command=report.command,
        created="",
    )
    return render_page(frame, parts)


def _range(one: OverSeeds) -> str:
    if math.isnan(one.low):
        return ""
    return f"({format_value(one.low)}–{format_value(one.high)})"
