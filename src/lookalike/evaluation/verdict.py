"""Whether training beat what needs none: the paired difference with its interval, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lookalike import documents
from lookalike.config import Config
from lookalike.errors import RunError
from lookalike.evaluation.baselines import FROZEN, Baseline, measure_baselines
from lookalike.evaluation.benchmarks import Benchmark
from lookalike.evaluation.evaluator import SplitResult
from lookalike.files import write_text
from lookalike.metrics.compare import Difference, compare_reports
from lookalike.models import weights
from lookalike.models.embedder import Embedder, Spec
from lookalike.report.figures import metric_title
from lookalike.runs import Run

Outcome = Literal["better", "worse", "mixed", "unclear"]
BASELINES = "baselines.json"
_METRICS = ("recall_at_1", "mean_average_precision_at_r")
_WORDS = {
    "better": "Training beat the {}",
    "worse": "Training lost to the {}",
    "mixed": "Training beat the {} in one figure and lost in another",
    "unclear": "Training cannot be told from the {}",
}


@dataclass(frozen=True)
class Verdict:
    """A trained model against the best of what needs no training, on the same queries.

    Attributes:
        baseline: which that is: the frozen backbone where there is one.
        differences: metric → trained − baseline, paired, the interval over classes.
        levels: names of the label levels, finest first.
    """

    baseline: str
    differences: Mapping[str, Difference]
    levels: Sequence[str]

    @property
    def outcome(self) -> Outcome:
        """Better or worse: an interval lies wholly on that side of 0, and none on the other."""
        better = any(d.low > 0 for d in self.differences.values())
        worse = any(d.high < 0 for d in self.differences.values())
        if better and worse:
            return "mixed"
        return "better" if better else "worse" if worse else "unclear"

    def __str__(self) -> str:
        figures = "; ".join(
            f"{metric_title(name, self.levels)} {d.a:.3f} → {d.b:.3f}, {d.difference:+.3f} "
            f"({d.low:+.3f} to {d.high:+.3f})"
            for name, d in self.differences.items()
        )
        how = "95 % intervals of the paired difference, over classes"
        return f"{_WORDS[self.outcome].format(self.baseline)}: {figures}; {how}."

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        figures = {name: asdict(d) for name, d in self.differences.items()}
        return {"baseline": self.baseline, "outcome": self.outcome, "differences": figures}


def judge(one: SplitResult, beside: Sequence[Baseline]) -> Verdict | None:
    """Compare a measured split with the frozen backbone, or else with the best baseline.

    Returns:
        None: there is no baseline, or neither recall@1 nor MAP@R was measured.
    """
    suffix = f"_level{one.level}" if len(one.table.levels) > 1 else ""
    names = [
        name
        for name in (f"{metric}{suffix}" for metric in _METRICS)
        if name in one.report.per_query and all(name in b.report.per_query for b in beside)
    ]
    if not beside or not names:
        return None
    frozen = [b for b in beside if b.name == FROZEN]
    best = frozen[0] if frozen else max(beside, key=lambda b: b.report.values[names[-1]])
    found = compare_reports(
        best.report, one.report, metrics=names, over="classes", level=one.level, permutations=1000
    )
    return Verdict(best.name, found.differences, one.table.levels)


def advice(verdict: Verdict, config: Config) -> list[str]:
    """A sentence on what to try where training did not beat the baseline; none where it did."""
    if verdict.outcome == "better":
        return []
    tries = []
    if config.model.head_init == "random" and config.model.embedding_size is not None:
        tries.append("let the head begin as the features are, model.head_init=pca")
    if config.model.backbone == "vectors":
        tries.append("a higher or lower optimizer.lr")
    elif not config.optimizer.freeze:
        tries.append("train the head alone, optimizer.freeze=[backbone], or the backbone more"
                     " gently, by a lower optimizer.lr")  # fmt: skip
    if not config.interpolate:
        tries.append("go a part of the way only, interpolate=true")
    tries += ["more images a class", "another loss (lookalike list losses)"]
    return [f"What to try: {'; '.join(tries)}."]


@dataclass(frozen=True)
class Beside:
    """What stands beside a measured split.

    Attributes:
        values: name of a baseline → metric → value.
        verdict: whether training beat the best of them, where that was compared.
        words: the same in sentences.
    """

    values: Mapping[str, Mapping[str, float]]
    verdict: Verdict | None = None
    words: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        found: dict[str, Any] = {"baselines": self.values}
        return found if self.verdict is None else found | {"verdict": self.verdict.to_dict()}


def of_run(folder: Run, config: Config, one: SplitResult) -> Beside:
    """A run's split beside its baselines; figures and verdict are written beside its report."""
    found = _compared(one, config, weights.load(folder.folder).spec, folder)
    write_text(folder.evaluation(one.split) / BASELINES, json.dumps(found.values, indent=2) + "\n")
    if found.verdict is not None:
        text = json.dumps(found.verdict.to_dict(), indent=2) + "\n"
        write_text(folder.evaluation(one.split) / "verdict.json", text)
    return found


def beside(
    measured: Sequence[SplitResult], model: Embedder, folder: Path, one: Benchmark
) -> dict[str, Beside]:
    """Split → its baselines, for splits that a verb has measured.

    Those of a run's own data are read where the run kept them.
    """
    found: dict[str, Beside] = {}
    for part in measured:
        if any(part.table is other.table for other in measured if other.split in found):
            continue  # a narrower width of the same rows
        kept = Run(folder).evaluation(part.split) / BASELINES
        if one.own and kept.is_file():
            read = documents.read_json(kept, dict[str, dict[str, float]], fault=RunError)
            found[part.split] = Beside(read)
        else:
            trained = Run(folder) if folder.is_dir() else None
            found[part.split] = _compared(part, one.config, model.spec, trained)
    return found


def _compared(one: SplitResult, config: Config, spec: Spec, folder: Run | None) -> Beside:
    """The baselines of a split; of a model that was trained (it has a folder) also the verdict."""
    start = None
    if folder is not None and folder.start.is_dir():
        start = weights.load(folder.start)
    found = measure_baselines(config, one, spec, start)
    values = dict(b.values for b in found)
    verdict = None if folder is None else judge(one, found)
    if verdict is None:
        return Beside(values)
    return Beside(values, verdict, [f"{one.split}: {verdict}", *advice(verdict, config)])
