"""One run under way: its objects, and what it does when the loop reports."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from lookalike import components, distributed
from lookalike.compose import to_yaml
from lookalike.config import Config
from lookalike.data import transforms
from lookalike.data.loader import train_loader
from lookalike.data.table import Table
from lookalike.errors import ConfigError, RunError, suggest
from lookalike.files import write_text
from lookalike.jobs import building, measuring
from lookalike.jobs.console import Console
from lookalike.jobs.reporting import write_run_report
from lookalike.jobs.train import RESUMABLE
from lookalike.models import weights
from lookalike.models.embedder import Embedder
from lookalike.runs import Run, environment
from lookalike.train.checkpoints import Progress, load_checkpoint, save_checkpoint
from lookalike.train.loop import Loop
from lookalike.train.optimizers import create_optimizer, create_schedule, parameter_groups
from lookalike.train.step import SupervisedStep


class Training:
    """One run under way: its objects, and what it does when the loop reports.

    Args:
        folder: the run folder.
        config: the resolved configuration.
        console: where people read.
    """

    def __init__(self, folder: Run, config: Config, console: Console) -> None:
        # All three: other libraries' losses and miners draw from whichever they like.
        random.seed(config.seed)
        np.random.seed(config.seed)
        torch.manual_seed(config.seed)
        self.folder = folder
        self.config = config
        self.console = console
        self.device = building.pick_device(config.device)
        self.precision = building.pick_precision(config.precision, self.device)
        with console.counting("drawing pictures") as progress:
            self.table: Table = building.build_table(config, progress)
        self.training = building.training_rows(self.table)
        self.sampler = components.build(
            "sampler",
            config.sampler,
            labels=self.training.labels,
            batch_size=config.batch_size,
            seed=config.seed,
            rank=distributed.rank(),
            world=distributed.world_size(),
        )
        self.loader = train_loader(
            self.training,
            transforms.train(config.transform.size, **config.transform.train),
            self.sampler,
            workers=config.workers,
            seed=config.seed,
            broken=building.broken_policy(config),
        )
        self.model: Embedder = building.build_model(config).to(self.device)
        self.loss = building.build_loss(config, self.training, self.model.width).to(self.device)
        groups = parameter_groups(
            [self.model.backbone], [self.model.pool, self.model.head], self.loss, config.optimizer
        )
        self.optimizer = create_optimizer(groups, config.optimizer)
        self.schedule = create_schedule(
            self.optimizer,
            steps_per_epoch=len(self.sampler),
            epochs=config.epochs,
            c=config.optimizer,
        )
        self.started = time.perf_counter()
        self.board: Any = None

    # ── the run ────────────────────────────────────────────────────────────────────────────────

    def train(self, *, resume: bool, overwrite: bool) -> None:
        """Train to the end, evaluate the best model, write the report."""
        progress = self._resume() if resume else self._begin(overwrite=overwrite)
        with self.console.training(self, progress):
            self.loop().run(progress)
        main = distributed.is_main()
        distributed.barrier()
        distributed.stop()  # what follows is the main process's alone
        if main:
            self._finish(progress)

    def _begin(self, *, overwrite: bool) -> Progress:
        if distributed.is_main():
            Run.create(self.folder.folder, overwrite=overwrite)
            write_text(self.folder.config, to_yaml(self.config))
            self.folder.write_manifest(
                **environment(),
                status="running",
                data={
                    "name": self.table.name,
                    "fingerprint": self.table.fingerprint,
                    "pictures": len(self.table),
                    "notes": list(self.table.notes),
                },
                parameters=sum(p.numel() for p in self.model.parameters()),
            )
        return Progress()

    def _resume(self) -> Progress:
        progress = load_checkpoint(
            self.folder.checkpoints / "last.pt",
            model=self.model,
            loss=self.loss,
            optimizer=self.optimizer,
            schedule=self.schedule,
            fingerprints=self._fingerprints(),
        )
        if distributed.is_main():
            self.folder.rewind(progress.step, evaluated=progress.batch == 0)
            self.folder.write_manifest(status="running")
        if progress.epoch >= self.config.epochs and self.folder.report.is_file():
            raise RunError(f"{self.folder.folder} is finished; there is nothing to resume.")
        return progress

    def loop(self) -> Loop:
        """The loop over this run's batches, ready to start."""
        model: nn.Module = self.model
        if distributed.is_active():
            model = nn.parallel.DistributedDataParallel(self.model)
        self.model.train()
        return Loop(
            epochs=self.config.epochs,
            batches=self._batches,
            step=SupervisedStep(
                model=model,
                loss=self.loss,
                optimizer=self.optimizer,
                schedule=self.schedule,
                device=self.device,
                precision=self.precision,
                clip_norm=self.config.optimizer.clip_norm,
            ),
            evaluate=self._evaluate,
            evaluate_every=self.config.evaluation.every,
            listener=self,
            rates=self._rates,
        )

    def _batches(self, epoch: int, skip: int) -> Any:
        self.loader.set_epoch(epoch)
        if skip:
            self.loader.load_state_dict({"epoch": epoch, "batch": skip})
        return self.loader

    def _rates(self) -> dict[str, float]:
        return {
            group["name"]: group["lr"]
            for group in self.optimizer.param_groups
            if not group["name"].endswith("_no_decay")
        }

    # ── evaluation ─────────────────────────────────────────────────────────────────────────────

    def _evaluate(self, progress: Progress) -> None:
        if not self.table.evaluation_splits:
            if distributed.is_main():
                weights.save(self.model, self.folder.model)
            return
        measured = self._measure(self.table.evaluation_splits)
        table = measuring.values(measured, self.config.evaluation)
        if distributed.is_main():
            for split, found in table.items():
                self._write({"kind": "evaluation", "split": split, "values": found}, progress)
        self.console.evaluated(progress, table, self.config.evaluation.monitor)
        self._choose(progress, table)

    def _choose(self, progress: Progress, table: dict[str, dict[str, float]]) -> None:
        """Keep the model if it is the best so far, by the validation split where there is one."""
        value = monitored(table, self.config.evaluation.monitor)
        if progress.best is None or value > progress.best:
            progress.best, progress.best_epoch = value, progress.epoch
            if distributed.is_main():
                weights.save(self.model, self.folder.model)

    def _measure(self, splits: Sequence[str]) -> list[measuring.Measured]:
        found = []
        for split in splits:
            with self.console.embedding(split, len(self.table.split(split))) as advance:
                found.append(
                    measuring.measure(
                        self.model,
                        self.table,
                        split,
                        self.config.evaluation,
                        workers=self.config.workers,
                        broken=building.broken_policy(self.config),
                        precision=self.precision,
                        on_batch=advance,
                    )
                )
        return found

    def _finish(self, progress: Progress) -> None:
        weights.load_into(self.model, self.folder.folder)
        measured = self._measure(self.table.evaluation_splits)
        for one in measured:
            one.save(self.folder.evaluation(one.split))
        self.folder.write_manifest(
            status="finished",
            epochs=progress.epoch,
            steps=progress.step,
            best={"epoch": progress.best_epoch, self.config.evaluation.monitor: progress.best},
            skipped_pictures=self._skipped(),
            seconds=round(time.perf_counter() - self.started, 1),
        )
        sections = write_run_report(self.folder, self.config, measured, self.console)
        self.console.finished(self.folder, sections)

    # ── what the loop reports ──────────────────────────────────────────────────────────────────

    def train_row(self, progress: Progress, row: dict[str, Any]) -> None:
        """Write a row of losses."""
        if distributed.is_main():
            self.folder.log(row)
            self._tensorboard("train/loss", row["loss"], progress)
            for name, rate in row["lr"].items():
                self._tensorboard(f"train/lr_{name}", rate, progress)
        self.console.loss(row["loss"])

    def batch_done(self, progress: Progress) -> None:
        """Move the bar."""
        self.console.step(progress)

    def epoch_done(self, progress: Progress) -> None:
        """Save what a resume needs."""
        last = progress.epoch == self.config.epochs
        if last or progress.epoch % self.config.checkpoint_every == 0:
            self._save(progress)

    def interrupted(self, progress: Progress) -> None:
        """Save what a resume needs, in the middle of an epoch."""
        self._save(progress)
        if distributed.is_main():
            self.folder.write_manifest(status="interrupted")
            self.console.say(
                f"Stopped at step {progress.step}. Go on: lookalike train --resume "
                f"run={self.folder.folder}"
            )

    def _save(self, progress: Progress) -> None:
        if not distributed.is_main():
            return
        save_checkpoint(
            self.folder.checkpoints / "last.pt",
            progress,
            model=self.model,
            loss=self.loss,
            optimizer=self.optimizer,
            schedule=self.schedule,
            fingerprints=self._fingerprints(),
        )

    def _skipped(self) -> dict[str, str]:
        """Files that could not be read, with the reason."""
        return {self.training.path(row): why for row, why in self.loader.broken.items()}

    def _fingerprints(self) -> dict[str, str]:
        kept = {k: v for k, v in asdict(self.config).items() if k not in (*RESUMABLE, "data_root")}
        kept["dataset"] = {k: v for k, v in kept["dataset"].items() if k != "root"}
        digest = hashlib.sha256(repr(sorted(kept.items())).encode()).hexdigest()[:16]
        return {"data": self.table.fingerprint, "options": digest}

    def _write(self, row: dict[str, Any], progress: Progress) -> None:
        place = {"kind": row["kind"], "epoch": progress.epoch, "step": progress.step}
        self.folder.log(place | row)
        for name, value in row["values"].items():
            self._tensorboard(f"{row['split']}/{name}", value, progress)

    def _tensorboard(self, name: str, value: float, progress: Progress) -> None:
        if self.board is None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(self.folder.tensorboard), purge_step=progress.step)
        self.board.add_scalar(name, value, progress.step)


def monitored(table: dict[str, dict[str, float]], metric: str) -> float:
    """The value that chooses the best model: of the validation split, else the mean over tests.

    Raises:
        ConfigError: the metric was not measured; the nearest names are suggested.
    """
    splits = [s for s in table if s.startswith("val")] or [
        s for s in table if s.startswith("test") and s != "test (mean)"
    ]
    found = []
    for split in splits:
        name = metric if metric in table[split] else f"{metric}_level0"
        if name not in table[split]:
            raise ConfigError(
                f"evaluation.monitor={metric}: not among what is measured. "
                f"{suggest(metric, table[split])}"
            )
        found.append(table[split][name])
    return sum(found) / len(found)
