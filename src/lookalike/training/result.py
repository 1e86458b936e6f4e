"""What a run folder holds, as objects: metrics, history, model, report."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lookalike import documents
from lookalike.errors import RunError
from lookalike.metrics.definitions import explain
from lookalike.runs import Run

if TYPE_CHECKING:
    from lookalike.config import Config
    from lookalike.models.embedder import Embedder


class TrainingResult:
    """A trained run.

    Args:
        folder: of the run.

    Attributes:
        folder: of the run.
        report: its page.

    Raises:
        RunError: no run is there.
    """

    def __init__(self, folder: str | Path) -> None:
        self._run = Run.open(folder)
        self.folder: Path = self._run.folder
        self.report: Path = self._run.report

    @cached_property
    def config(self) -> Config:
        """The resolved configuration."""
        from lookalike.compose import read_config

        return read_config(self._run.config)

    @cached_property
    def splits(self) -> dict[str, dict[str, float]]:
        """Metric → value of every split that was evaluated with the model kept."""
        found = {}
        for file in sorted((self.folder / "evaluation").glob("*/report.json")):
            read = documents.read_json(file, dict[str, Any], fault=RunError)
            found[file.parent.name] = {name: float(v) for name, v in read["values"].items()}
        return found

    @property
    def metrics(self) -> Mapping[str, float]:
        """Metric → value of the test split, or of the first there is."""
        split = self._main_split()
        return {} if split is None else self.splits[split]

    @cached_property
    def model(self) -> Embedder:
        """The model kept: the best evaluated, or the last."""
        from lookalike.models.weights import load

        return load(self.folder)

    @cached_property
    def history(self) -> pd.DataFrame:
        """Losses, rates and evaluations in order: a row an event of ``metrics.jsonl``."""
        return pd.json_normalize(self._run.history())

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Command, versions, data and status of the run."""
        return self._run.read_manifest()

    def to_frame(self) -> pd.DataFrame:
        """A row a metric, a column a split."""
        return pd.DataFrame(self.splits).rename_axis("metric")

    def _main_split(self) -> str | None:
        names = sorted(self.splits, key=lambda name: (not name.startswith("test"), name))
        return names[0] if names else None

    def __repr__(self) -> str:
        values = list(self.metrics.items())[:3]
        said = ", ".join(f"{name} {value:.4f}" for name, value in values) or "not evaluated"
        return f"TrainingResult({str(self.folder)!r}: {said})"

    def _repr_html_(self) -> str:
        from lookalike.report.tables import Cell, Column, ReportTable, TableRow

        return ReportTable(
            columns=[Column("metric", numeric=False), Column("value")],
            rows=[
                TableRow([Cell(name, tip=explain(name).plain), f"{value:.4f}"])
                for name, value in self.metrics.items()
            ],
            caption=f"{self.folder}, {self._main_split() or 'not evaluated'}",
            notes=[f"report: {self.report}"],
        ).to_html()
