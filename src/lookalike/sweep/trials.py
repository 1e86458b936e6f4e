"""The trials of a sweep: each trained, judged and reported."""

from __future__ import annotations

import datetime
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike.compose import check_words
from lookalike.config import Config
from lookalike.errors import (
    Busy,
    ConfigError,
    DiskError,
    Interrupted,
    LookalikeError,
    NumericsError,
    RunError,
    printable,
)
from lookalike.files import is_free, refuse_links, write_text
from lookalike.runs import Run
from lookalike.sweep.space import (
    Space,
    check_space,
    first_values,
    override,
    read_space,
    with_values,
)
from lookalike.training.callback import Callback, Moment
from lookalike.training.checks import check
from lookalike.training.given import Given
from lookalike.training.run import run_training

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

    from lookalike.report.sweep import TrialRow
    from lookalike.sweep.study import Trials


class _Pruned(Interrupted):
    """The pruner saw enough."""


def run_sweep(
    words: Sequence[str],
    trials: int,
    *,
    out: Path | None,
    storage: str | None,
    study: str | None,
    sampler: str,
    pruner: str,
    seed: int,
) -> Path:
    """Run trials until the study has so many; the page. The arguments are the command's."""
    overrides, name = _split(words)
    space = read_space(name)
    config = check_space(space, overrides)
    check(config)
    _check_judge(config)
    if out is None:
        out = Path("runs") / f"sweep-{Path(name).stem}"
    _make(out)
    # Optuna takes half a second to import, and the trainings much longer.
    from lookalike.sweep.study import Trials, create_sampler, open_study

    create_sampler(sampler, seed)
    opened = open_study(
        out,
        name=study or out.resolve().name,
        storage=storage,
        pruner=pruner,
        first=first_values(space, config),
        facts={"options": sorted(overrides), "space": _as_facts(space)},
    )
    worker = Trials(opened, out, sampler, seed)
    facts = {"Sampler": sampler, "Pruner": pruner, "Storage": _public(storage), "Seed": str(seed)}
    while (claim := worker.claim(trials)) is not None:
        try:
            _trial(worker, claim.trial, space, overrides, config)
        finally:
            claim.release()
            page = _report(worker, space, overrides, config, facts)
    page = _report(worker, space, overrides, config, facts)
    _conclude(opened, page, overrides)
    return page


def _make(out: Path) -> None:
    """Make the folder, unless it holds something else than a sweep."""
    from lookalike.sweep.study import JOURNAL, LOCKS

    if out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file. Choose another --out.")
    begun = (out / JOURNAL).is_file() or (out / LOCKS).is_dir()
    if not begun and not is_free(out):
        raise RunError(f"{out} is not empty and holds no sweep. Choose another --out.")
    out.mkdir(parents=True, exist_ok=True)
    refuse_links(out, [path.name for path in out.iterdir() if not path.name.startswith("trial-")])


def _split(words: Sequence[str]) -> tuple[list[str], str]:
    """Overrides, and the one word that is none: the search space."""
    overrides = [word for word in words if "=" in word]
    others = [word for word in words if "=" not in word]
    if len(others) != 1:
        given = f"not {len(others)}: {', '.join(others)}" if others else "such as search.yaml"
        raise ConfigError(f"sweep: name one search space, {given}.")
    if any(word.startswith("run=") for word in overrides):
        raise ConfigError("run=…: a sweep names its runs itself; give its folder with --out.")
    check_words(overrides)
    return overrides, others[0]


def _check_judge(config: Config) -> None:
    """Refuse a sweep that has no split to judge trials by, before anything is trained."""
    from lookalike.data.build import build_table
    from lookalike.training import model_selection

    table = build_table(config)
    if not model_selection.choosing_splits(table, config):
        raise ConfigError(
            f"sweep: {table.name} has no validation split to judge trials by. Hold classes out "
            "with dataset.hold_out=0.2, or let the test split judge with evaluation.select=test."
        )


# ── one trial ───────────────────────────────────────────────────────────────────────────────────


def _trial(
    worker: Trials, trial: Trial, space: Space, overrides: Sequence[str], config: Config
) -> None:
    """Train with the values of a trial, and tell the study how it went."""
    from optuna.trial import TrialState

    from lookalike.sweep.study import draw

    values = draw(trial, space)
    words = with_values(overrides, values)
    folder = Run(worker.run_folder(trial.number))
    print(f"trial {trial.number:3d}  {_shown(values)}", flush=True)
    try:
        _train(folder, words, _judge(worker.study, trial))
        reached = float(folder.read_manifest()["best"][config.evaluation.monitor])
        if math.isnan(reached):
            raise NumericsError(
                f"{config.evaluation.monitor} is not a number: no query that judges has a match at"
                " this level. Choose another evaluation.monitor, or a split whose classes have two"
                " images"
            )
    except _Pruned as pruned:
        folder.write_manifest(status="pruned", reason=str(pruned))
        worker.study.tell(trial, state=TrialState.PRUNED)
        print(f"trial {trial.number:3d}  pruned: {pruned}", flush=True)
        return
    except Interrupted as stop:
        raise Interrupted(
            f"Stopped in trial {trial.number}; the same command goes on with it."
        ) from stop
    except (Busy, DiskError) as error:  # the machine's fault, not the trial's, which stays open
        raise type(error)(
            f"trial {trial.number}: {error} Then the same command goes on."
        ) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        trial.set_user_attr("reason", reason)
        worker.study.tell(trial, state=TrialState.FAIL)
        print(f"trial {trial.number:3d}  failed: {printable(reason)}", flush=True)
        # What a person can fix by other options, or a GPU that is too small for these, is the
        # trial's own affair; anything else is a fault of the program.
        if not isinstance(error, LookalikeError) and "out of memory" not in reason.lower():
            raise
        return
    worker.study.tell(trial, reached)
    best = worker.study.best_trial
    print(
        f"trial {trial.number:3d}  {reached:.4f}   best {best.value:.4f} (trial {best.number})",
        flush=True,
    )


class _Judged(Callback):
    """Hands the value that chooses the model on."""

    def __init__(self, judge: Callable[[int, float], None]) -> None:
        self._judge = judge

    def on_evaluation(
        self, moment: Moment, metrics: Mapping[str, Mapping[str, float]], monitored: float | None
    ) -> None:
        if monitored is not None:
            self._judge(moment.epoch, monitored)


def _train(folder: Run, words: Sequence[str], judge: Callable[[int, float], None]) -> None:
    """Train in a folder, or go on with what a killed worker left there."""
    where, given = f"run={folder.folder}", Given(callbacks=[_Judged(judge)])
    if folder.begun and any(folder.checkpoints.glob("*.pt")):
        if folder.read_manifest()["status"] != "finished":
            run_training([where], resume=True, silent=True, given=given)
        return
    run_training([*words, where], overwrite=True, silent=True, given=given)


def _judge(study: Study, trial: Trial) -> Callable[[int, float], None]:
    """Tells the study of every evaluation, and ends the run when the pruner says so."""
    told = set(study.trials[trial.number].intermediate_values)

    def judge(epoch: int, value: float) -> None:
        print(f"trial {trial.number:3d}  epoch {epoch:3d}  {value:.4f}", flush=True)
        if epoch not in told:  # a run taken up again repeats what came after its checkpoint
            trial.report(value, epoch)
        if trial.should_prune():
            raise _Pruned(f"after epoch {epoch} it was behind the others ({value:.4f})")

    return judge


# ── the report ──────────────────────────────────────────────────────────────────────────────────


def _report(
    worker: Trials, space: Space, overrides: Sequence[str], config: Config, facts: dict[str, str]
) -> Path:
    from lookalike.report.sweep import Axis, SweepReport
    from lookalike.report.sweep_page import render_sweep
    from lookalike.sweep.study import importances

    study = worker.study
    rows = [_row(worker, trial) for trial in study.trials if trial.state.name != "WAITING"]
    axes = {
        key: Axis(low=p.low, high=p.high, log=p.log, choices=p.choices) for key, p in space.items()
    }
    report = SweepReport(
        title=study.study_name,
        metric=config.evaluation.monitor,
        axes=axes,
        trials=rows,
        importances=importances(study),
        command=_command(study, overrides),
        facts=[("Study", study.study_name), *facts.items(), ("Folder", str(worker.folder))],
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    page = worker.folder / "sweep.html"
    write_text(page, render_sweep(report))
    return page


def _row(worker: Trials, trial: FrozenTrial) -> TrialRow:
    from lookalike.report.sweep import TrialRow

    states = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
    page = worker.run_folder(trial.number) / "report.html"
    return TrialRow(
        number=trial.number,
        state=states[trial.state.name],
        values=trial.params,
        value=trial.value,
        epochs=max(trial.intermediate_values, default=0),
        reason=trial.user_attrs.get("reason", ""),
        run=f"{page.parent.name}/{page.name}" if page.is_file() else "",
    )


def _conclude(study: Study, page: Path, overrides: Sequence[str]) -> None:
    """The best values and the command that trains with them."""
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    if not done:
        reasons = [t.user_attrs["reason"] for t in study.trials if "reason" in t.user_attrs]
        why = f" The last said: {reasons[-1]}" if reasons else ""
        raise RunError(f"No trial of {study.study_name} ended well.{why}")
    best = study.best_trial
    print(f"\nbest     {best.value:.4f}, trial {best.number}: {_shown(best.params)}")
    print(f"again    {_command(study, overrides)}")
    print(f"report   {page}", flush=True)


def _command(study: Study, overrides: Sequence[str]) -> str:
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    if not done:
        return ""
    words = with_values(overrides, study.best_trial.params)
    return shlex.join(["lookalike", "train", *words])


def _shown(values: dict[str, Any]) -> str:
    return "  ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else override(key, value)
        for key, value in values.items()
    )


def _as_facts(space: Space) -> dict[str, Any]:
    from dataclasses import asdict

    return {key: asdict(p) | {"choices": list(p.choices)} for key, p in space.items()}


def _public(storage: str | None) -> str:
    """An address without its password."""
    if storage is None:
        return "journal file"
    scheme, _, rest = storage.partition("://")
    account, at, host = rest.rpartition("@")
    return f"{scheme}://{account.partition(':')[0]}{at}{host}"
