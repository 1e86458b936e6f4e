"""When a run's state is saved, what of it is kept for good, and how it is put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lookalike import distributed
from lookalike.config import Config
from lookalike.runs import Run
from lookalike.training.checkpoints import (
    Progress,
    Stateful,
    keep,
    latest_checkpoint,
    restore,
    save_checkpoint,
)
from lookalike.training.resume_fingerprint import with_defaults


class Saver:
    """Saves the state of a run when its config says so; the main process writes.

    Args:
        folder: the run.
        config: whose ``checkpoint`` says when.
        parts: everything that has a state, by name; None has none.
        facts: what a resumed run must share with the one before.
    """

    def __init__(
        self,
        folder: Run,
        config: Config,
        parts: Mapping[str, Stateful | None],
        facts: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.checkpoints = folder.checkpoints
        self.config, self.epochs = config.checkpoint, config.epochs
        self.parts = {name: part for name, part in parts.items() if part is not None}
        self.facts = facts

    def restore(self) -> tuple[Progress, str | None]:
        """Put the latest state back: how far the run is, and what there is to say about it."""
        path, state, note = latest_checkpoint(self.checkpoints)
        state["facts"]["options"] = with_defaults(state["facts"].get("options", {}))
        return restore(state, path, self.parts, self.facts), note

    def save(self, progress: Progress) -> None:
        """Save now; with several processes all must call this."""
        main = distributed.is_main()
        save_checkpoint(self.checkpoints, progress, self.parts, self.facts, write=main)

    def step_done(self, progress: Progress) -> None:
        """Save where a step is due for it."""
        if self.config.steps is not None and progress.step % self.config.steps == 0:
            self.save(progress)

    def epoch_done(self, progress: Progress) -> None:
        """Save what a resume needs, and what is kept for good."""
        c, epoch = self.config, progress.epoch
        best = c.best and progress.best_epoch == epoch
        kept = c.keep_every is not None and epoch % c.keep_every == 0
        if best or kept or progress.ended(self.epochs) or epoch % c.every == 0:
            self.save(progress)
            if distributed.is_main():
                if kept:
                    keep(self.checkpoints, f"epoch_{epoch:04d}.pt")
                if best:
                    keep(self.checkpoints, "best.pt")
