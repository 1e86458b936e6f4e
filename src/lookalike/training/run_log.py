"""What a run writes down while it trains: ``metrics.jsonl``, trackers, and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lookalike import distributed
from lookalike.config import Config
from lookalike.report.diagnostics import concerns
from lookalike.runs import Run
from lookalike.training.checkpoints import Progress
from lookalike.training.display import Display
from lookalike.training.trackers import Trackers, open_trackers


class Journal:
    """Writes on the main process, and nothing on the others.

    Args:
        folder: the run.
        config: its configuration.
        display: where rows and warnings are shown.
    """

    def __init__(self, folder: Run, config: Config, display: Display) -> None:
        self.folder, self.config, self.display = folder, config, display
        self._watched: list[dict[str, Any]] = []
        self._told: set[str] = set()
        self._trackers: Trackers | None = None

    def begin(self, progress: Progress) -> None:
        """A run starts, or goes on after what is in the folder."""
        if not distributed.is_main():
            return
        self._watched = [row for row in self.folder.history() if row["kind"] == "watch"]
        self._trackers = open_trackers(self.folder, self.config, progress.step, self._warn)

    def train(self, row: dict[str, Any]) -> None:
        """Losses and rates of a few steps."""
        rates = {f"lr_{name}": rate for name, rate in row["lr"].items()}
        self._log(row, "train", {"loss": row["loss"]} | rates)

    def watch(self, row: dict[str, Any]) -> None:
        """The health of a step; what is wrong with it is said once."""
        self._log(row, "watch", row["values"] | row["clock"])
        self.display.watched(row)
        self._watched.append(row)
        for name, words in concerns(self._watched).items():
            if name not in self._told:
                self._told.add(name)
                self._warn(words)

    def evaluation(self, progress: Progress, table: Mapping[str, dict[str, float]]) -> None:
        """An evaluation, a row a split."""
        place = {"kind": "evaluation", "epoch": progress.epoch, "step": progress.step}
        for split, found in table.items():
            self._log(place | {"split": split, "values": found}, split, found)

    def close(self) -> None:
        """The run ends here, for now or for good."""
        if self._trackers is not None:
            self._trackers.close()

    def _log(self, row: dict[str, Any], group: str, values: Mapping[str, float]) -> None:
        if self._trackers is None:
            return
        self.folder.log(row)
        figures = {f"{group}/{name}": value for name, value in values.items()}
        self._trackers.log(figures, row["step"])

    def _warn(self, words: str) -> None:
        self.display.console.say(f"warning  {words}")
