"""What a report says: plain values that a job fills in, with nothing of how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lookalike.report.confusions import Confusions
from lookalike.report.figures import Interval
from lookalike.report.images import SheetRow
from lookalike.report.maps import EmbeddingMap


def in_words(counts: Mapping[str, int]) -> str:
    """Counts of things on one line.

    >>> in_words({"queries": 2474, "classes": 42})
    '2,474 queries, 42 classes'
    """
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A few queries shown with what was found for them.

    Attributes:
        title: such as ``"Best"``.
        rows: the queries.
        note: how they were chosen, one sentence.
    """

    title: str
    rows: Sequence[SheetRow]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A figure from a paper, shown beside our own.

    Attributes:
        metric: the name our metric has, such as ``"recall_at_1"``; without a level it is compared
            with the finest.
        value: on our scale, 0 to 1.
        source: the paper and table.
        split: the split it belongs to; empty = every split that has the metric.
    """

    metric: str
    value: float
    source: str
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class EvaluationSection:
    """One evaluation: a split, its numbers and its images.

    Attributes:
        split: such as ``"test"``.
        values: metric → figure, in the order to show.
        definitions: metric → words; a metric with levels may be defined once, by its plain name.
        intervals: metric → (low, high), or None where there is none.
        interval_note: what the intervals are, such as ``"95 % bootstrap over queries"``.
        levels: names of the label levels, finest first; needed only where metrics have levels.
        counts: such as ``{"queries": 2474, "classes": 42}``.
        skipped: queries without a positive, which count in no metric; or level → that number.
        contract: sentences that hold for all figures, such as how equal scores rank.
        baselines: (name, values) of simpler systems, such as raw pixels.
        headline: metrics of ``values`` to show large; empty = chosen by the report.
        sheets: best, median and worst queries.
        map: the embeddings on a plane.
        confusions: classes mistaken for each other.
    """

    split: str
    values: Mapping[str, float]
    definitions: Mapping[str, str] = field(default_factory=dict)
    intervals: Mapping[str, Interval | None] = field(default_factory=dict)
    interval_note: str = ""
    levels: Sequence[str] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: int | Mapping[str, int] = 0
    contract: Sequence[str] = ()
    baselines: Sequence[tuple[str, Mapping[str, float]]] = ()
    headline: Sequence[str] = ()
    sheets: Sequence[Sheet] = ()
    map: EmbeddingMap | None = None
    confusions: Confusions | None = None

    @property
    def size(self) -> str:
        """The counts in words, such as ``"2,474 queries, 42 classes"``."""
        return in_words(self.counts)


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Everything the page of one run shows.

    Attributes:
        title: the run's name.
        command: the exact command that made the run.
        created: when, as it shall be written.
        versions: program and library → version.
        config: the resolved configuration, YAML text.
        facts: (name, value) about the data, the model and the machine.
        evaluations: one a split.
        rows: the rows of ``metrics.jsonl``: ``{"kind": "train", "epoch", "step", "loss", "lr"}``
            ``{"kind": "watch", "epoch", "step", "values": {…}, "clock": {…}}`` and ``{"kind":
            "evaluation", "epoch", "step", "split", "values": {…}}``.
        published: figures of papers.
        notes: warnings and whatever else the reader must know before trusting a number.
        subtitle: one line below the title.
        warnings: what was wrong while it trained, shown with its health.
    """

    title: str
    command: str
    created: str
    versions: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    facts: Sequence[tuple[str, str]] = ()
    evaluations: Sequence[EvaluationSection] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    published: Sequence[Published] = ()
    notes: Sequence[str] = ()
    subtitle: str = ""
    warnings: Sequence[str] = ()
