"""One run under way: its objects, and what it does when the loop reports."""

from __future__ import annotations

import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lookalike import distributed
from lookalike.compose import write_config
from lookalike.config import Config
from lookalike.console import Console
from lookalike.data.build import build_table, training_rows
from lookalike.data.datasets.table_files import write_table
from lookalike.data.samplers.grouped import GroupedSampler
from lookalike.data.table import Table
from lookalike.errors import RunError, counted
from lookalike.evaluation import averages, own_split
from lookalike.evaluation.run_report import write_run_report
from lookalike.models import preprocessing, weights
from lookalike.models.build import build_model, pick_device, pick_precision
from lookalike.models.embedder import Embedder
from lookalike.runs import Run, environment
from lookalike.training import acceleration, frozen, model_selection, objectives, start, teacher
from lookalike.training.averaging import Averaged
from lookalike.training.build import build_loss, build_sampler, with_miner
from lookalike.training.callback import Moment
from lookalike.training.checkpoint_policy import Saver
from lookalike.training.checkpoints import Progress, Stateful, has_checkpoint
from lookalike.training.display import Display
from lookalike.training.evaluated import evaluated_model, measured_splits
from lookalike.training.given import Given
from lookalike.training.loop import Loop
from lookalike.training.negatives import mine
from lookalike.training.optimizers import Schedule, create_optimizers, own_optimizer, set_frozen
from lookalike.training.resume_fingerprint import facts
from lookalike.training.run_log import Journal
from lookalike.training.schedules import Span
from lookalike.training.step import SupervisedStep
from lookalike.training.trace import Trace
from lookalike.training.watch import Watch


class Training:
    """One run under way: its objects, and what it does when the loop reports.

    Args:
        folder: the run folder.
        config: the resolved configuration.
        console: where people read.
        trace: file that every step is written to; None: none.
        given: objects in place of what the configuration names.
    """

    def __init__(
        self,
        folder: Run,
        config: Config,
        console: Console,
        trace: Path | None = None,
        given: Given | None = None,
    ) -> None:
        self.given = given = given or Given()
        # All three: other libraries' losses and miners draw from whichever they like.
        random.seed(config.seed)
        np.random.seed(config.seed)
        torch.manual_seed(config.seed)
        self.folder = folder
        self.config = config
        self.console = console
        self.display = Display(console)
        self.device = pick_device(config.device)
        self.precision = pick_precision(config.precision, self.device)
        with console.counting("drawing images") as progress:
            self.table: Table = (
                build_table(config, progress) if given.table is None else given.table
            )
        model: Embedder = given.model or build_model(config)
        before = self.table
        self.table, config.interpolate = start.with_validation(
            config, self.table, begun=model.pretrained
        )
        if self.table is not before and given.table is None:
            config.dataset |= {"hold_out": start.HELD_OUT, "hold_out_seed": config.seed}
        self.choosing = model_selection.choosing_splits(self.table, config)
        self.training = training_rows(self.table)
        self.sampler = build_sampler(config, self.training, given.sampler)
        self.model = model.to(self.device)
        self.tutor = teacher.tutor_of(config, self.model)
        if given.loss is None:
            loss = build_loss(config, self.training, self.model.width)
        else:
            loss = with_miner(config, given.loss)
        self.loss = loss.to(self.device)
        if self.precision == torch.float64:
            self.model.double()
            self.loss.double()
        self.lesson = objectives.lesson(config, self.model, self.tutor, self.training, self.sampler)
        self.model.still = frozen.is_frozen(config)
        self.frozen = None
        if frozen.is_stored(config):
            self.frozen = frozen.FrozenBackbone(
                config, self.model, self.training, self.sampler, folder.folder, self.precision
            )
        self.loader = self.lesson.loader if self.frozen is None else self.frozen.loader
        self.sharded = acceleration.shard(self.model, config, self.device)
        self.parts = {
            "backbone": self.model.backbone,
            "pool": self.model.pool,
            "head": self.model.ends,
            "loss": self.loss,
        }
        self.still = frozenset(
            p for part in self.parts.values() for p in part.parameters() if not p.requires_grad
        )
        self.optimizers = (
            create_optimizers(self.parts, config.optimizer)
            if given.optimizer is None
            else own_optimizer(self.parts, config.optimizer, given.optimizer)
        )
        self.span = Span(len(self.sampler), config.epochs, config.update_every)
        scaled = self.precision == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type) if scaled else None
        self.average = Averaged(self.model, config.average) if config.average.name else None
        acceleration.prepare(self.model, config, self.device)
        self.step = self._step()
        self._frozen: list[str] | None = None  # not known yet
        self.started = time.perf_counter()
        self.journal = Journal(folder, config, self.display)
        self.watch = Watch(
            self.step,
            every=0 if config.fsdp else config.watch.every,  # one process sees a part of a gradient
            folder=folder.folder,
            path_of=self.training.path,
        )
        about = {
            "recipe": config.recipe,
            "precision": config.precision,
            "data": self.table.fingerprint,
        }
        self.trace = None if trace is None else Trace(self.watch, trace, about)
        self.saver = Saver(folder, config, self._stateful(), facts(config, self.table, self.tutor))

    def _stateful(self) -> dict[str, Stateful | None]:
        """Everything that may have a state, by name."""
        return {
            "model": self.model,
            "loss": self.loss,
            "optimizer": self.optimizers,
            **(self.sharded.parts(self.optimizers) if self.sharded is not None else {}),
            "scaler": self.scaler,
            "average": self.average,
            "watch": self.watch,
            # the negatives it mined belong to the epoch
            "sampler": self.sampler if isinstance(self.sampler, GroupedSampler) else None,
        }

    # ── the run ────────────────────────────────────────────────────────────────────────────────

    def train(self, *, resume: bool, overwrite: bool) -> None:
        """Train to the end, evaluate the best model, write the report."""
        if resume and has_checkpoint(self.folder.checkpoints):
            progress = self._resume()
        else:  # a run that ended before its first checkpoint has nothing to go on from
            progress = self._begin(overwrite=overwrite or resume)
        self._embed_once(progress)
        if progress.step == 0:
            start.begin(self)
        self._choose_micro_batch(progress)
        self.journal.begin(progress)
        if self.trace is not None:
            self.trace.begin(progress.step)
        try:
            with self.display.training(self, progress):
                self.loop().run(progress)
        finally:
            self.journal.close()
            if self.trace is not None:
                self.trace.close()
        main = distributed.is_main()
        distributed.barrier()
        distributed.stop()  # what follows is the main process's alone
        if main:
            self._finish(progress)

    def _embed_once(self, progress: Progress) -> None:
        """Let a frozen backbone see all images, where it is to see each once."""
        if self.frozen is None:
            return
        if progress.step == 0:
            self.saver.save(progress)  # a run that is killed meanwhile goes on with what is there
        self.console.say(frozen.words(self.config, self.training))
        total = len(self.training) * self.frozen.views
        with self.console.embedding("train", total) as advance:
            self.frozen.prepare(advance)

    def _choose_micro_batch(self, progress: Progress) -> None:
        """How many images pass the network at a time; a resumed run keeps what it found."""
        if progress.micro_batch is None and self.frozen is None:
            assert self.config.batch_size is not None  # settled with the sampler
            local = self.config.batch_size // distributed.world_size()
            self.model.train()
            progress.micro_batch = acceleration.micro_batch(self.config, self.step, local)
        self.step.micro_batch = progress.micro_batch
        if self.config.micro_batch == "auto" and progress.micro_batch is not None:
            pictures = counted(progress.micro_batch, "image")
            self.console.say(f"         {pictures} at a time, as memory has it")

    def _begin(self, *, overwrite: bool) -> Progress:
        if distributed.is_main():
            Run.create(self.folder.folder, overwrite=overwrite)
            write_config(self.folder.config, self.config)
            own_split.keep(self.folder, self.table)
            if self.given.table is not None:
                write_table(self.table.with_absolute_paths(), self.folder.table)
            if self.tutor is not None:
                self.tutor.keep(self.folder.folder)
            file = self.model.weights_file
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
                preprocessing=preprocessing.record(self.model),
                pretrained=None if file is None else asdict(file),
            )
        return Progress()

    def _resume(self) -> Progress:
        progress, note = self.saver.restore()
        if note is not None:
            self.console.say(note)
        if progress.ended(self.config.epochs) and self.folder.report.is_file():
            raise RunError(f"{self.folder.folder} is finished; there is nothing to resume.")
        if distributed.is_main():
            if not (self.folder.folder / own_split.FILE).is_file():  # a run of before it was kept
                own_split.keep(self.folder, self.table)
            self.folder.rewind(progress.step, evaluated=progress.batch == 0)
            self.folder.write_manifest(status="running")
        return progress

    def _step(self) -> SupervisedStep:
        c = self.config
        return self.lesson.step(
            model=self.model,
            loss=self.loss,
            optimizers=self.optimizers,
            schedule=Schedule(self.optimizers, self.span, c.optimizer),
            device=self.device,
            precision=self.precision,
            scaler=self.scaler,
            clip_norm=c.optimizer.clip_norm,
            recomputes=c.gradient_checkpointing,
            accumulate=c.accumulate,
        )

    def loop(self) -> Loop:
        """The loop over this run's batches, ready to start."""
        c = self.config
        self.model.train()
        return Loop(
            epochs=c.epochs,
            batches=lambda epoch, skip: self.watch.timed(self._batches(epoch, skip)),
            step=self.watch if self.trace is None else self.trace,
            evaluate=self._evaluate,
            evaluate_every=c.evaluation.every,
            listener=self,
            rates=self.step.schedule.rates,
            update_every=c.update_every,
            drop_partial=c.drop_partial_update,
        )

    def _batches(self, epoch: int, skip: int) -> Any:
        self._let_move(epoch)
        mine(self.sampler, epoch, self.model, self.training, self.config, self.precision)
        self.loader.set_epoch(epoch)
        if skip:
            self.loader.load_state_dict({"epoch": epoch, "batch": skip})
        return self.loader

    def _let_move(self, epoch: int) -> None:
        """Freeze the groups that stand still in an epoch; wrap what moves for many processes."""
        c = self.config.optimizer
        still = c.freeze if epoch < c.freeze_epochs or not c.freeze_epochs else []
        if still == self._frozen:
            return
        self._frozen = still
        set_frozen(self.parts, still, self.still)
        network = self.model if self.frozen is None else self.frozen.network
        # DistributedDataParallel asks once, when it is made, which parameters have gradients.
        moving = any(p.requires_grad for p in self.model.parameters())
        if distributed.is_active() and moving and self.sharded is None:
            self.step.model = nn.parallel.DistributedDataParallel(network)
        else:
            self.step.model = network

    # ── evaluation ─────────────────────────────────────────────────────────────────────────────

    def _evaluate(self, progress: Progress) -> None:
        model = evaluated_model(self)
        if not self.table.evaluation_splits:
            if distributed.is_main():
                weights.save(model, self.folder.model)
            return
        measured = measured_splits(self, model, self.table.evaluation_splits)
        table = averages.values(measured, self.config.evaluation)
        self.journal.evaluation(progress, table)
        self.display.evaluated(progress, table, self.config.evaluation.monitor)
        better, value = True, None
        if self.choosing:
            value = model_selection.monitored(table, self.config.evaluation.monitor, self.choosing)
            better = model_selection.judge(progress, value, self.config)
        if better and distributed.is_main():
            weights.save(model, self.folder.model)
        for callback in self.given.callbacks:
            callback.on_evaluation(self._moment(progress), table, value)

    def _finish(self, progress: Progress) -> None:
        model = self.model if self.sharded is None else self.sharded.whole
        weights.load_into(model, self.folder.folder)
        choice = [model_selection.choice(progress, self.config, self.choosing)]
        if self.config.interpolate:
            choice.append(start.go_part_way(self, model))
            self.console.say(choice[-1])
        measured = measured_splits(self, model, self.table.evaluation_splits)
        for one in measured:
            one.save(self.folder.evaluation(one.split))
        self.folder.write_manifest(
            status="finished",
            epochs=progress.epoch,
            steps=progress.step,
            best={"epoch": progress.best_epoch, self.config.evaluation.monitor: progress.best},
            choice=" ".join(choice),
            skipped_pictures=self._skipped(),
            seconds=round(time.perf_counter() - self.started, 1),
        )
        if self.frozen is not None:
            self.frozen.remove()
        sections = write_run_report(self.folder, self.config, measured, self.console)
        self.display.finished(self.folder, sections)

    # ── what the loop reports ──────────────────────────────────────────────────────────────────

    def train_row(self, progress: Progress, row: dict[str, Any]) -> None:
        """Write a row of losses."""
        self.journal.train(row)
        self.display.loss(row["loss"])

    def step_done(self, progress: Progress) -> None:
        """Move the bar and the averaged weights; save where it is due."""
        if self.average is not None:
            self.average.step_done(self.model, progress.step, progress.epoch)
        self.display.step(progress)
        if self.watch.row is not None:
            self.journal.watch(self.watch.row)
        self.saver.step_done(progress)
        for callback in self.given.callbacks:
            callback.on_step(self._moment(progress))

    def epoch_trained(self, progress: Progress) -> None:
        """Move averaged weights that move by the epoch."""
        if self.average is not None:
            self.average.epoch_done(self.model, progress.epoch)

    def epoch_done(self, progress: Progress) -> None:
        """Save where it is due."""
        self.saver.epoch_done(progress)
        for callback in self.given.callbacks:
            callback.on_epoch(self._moment(progress))

    def interrupted(self, progress: Progress) -> None:
        """Save what a resume needs, wherever the run is, and say how to go on."""
        self.saver.save(progress)
        if distributed.is_main():
            self.folder.write_manifest(status="interrupted")
            self.console.say(
                f"Stopped at step {progress.step}. Go on: lookalike train --resume "
                f"run={self.folder.folder}"
            )
        # torchrun ends all processes soon after the first one, and this one may still be writing.
        distributed.barrier()

    def _moment(self, at: Progress) -> Moment:
        return Moment(at.epoch, at.step, self.step.value, self.step.schedule.rates(), self.model)

    def _skipped(self) -> dict[str, str]:
        """Files that could not be read, with the reason."""
        return {self.training.path(row): why for row, why in self.loader.broken.items()}
