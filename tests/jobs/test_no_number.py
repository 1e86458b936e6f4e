"""A monitored metric that is not a number: it never stands in a better one's way, and is said."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from lookalike.compose import compose
from lookalike.errors import ConfigError, RunError
from lookalike.runs import Run
from lookalike.sweep import trials as sweep
from lookalike.training.checkpoints import Progress
from lookalike.training.model_selection import judge, monitored

NAN = math.nan
MONITOR = "evaluation.monitor=recall_at_1"


@pytest.mark.parametrize(
    ("values", "best", "epoch"),
    [
        ([NAN, 0.1, 0.3], 0.3, 3),
        ([0.1, NAN, 0.3], 0.3, 3),
        ([0.3, NAN, 0.1], 0.3, 1),
        ([NAN, NAN, -1.0], -1.0, 3),
        ([NAN, 0.0], 0.0, 2),
        ([0.0, NAN], 0.0, 1),
        ([NAN, NAN], NAN, 1),
    ],
)
def test_the_best_epoch_is_that_of_the_best_number(values, best, epoch):
    progress, config = Progress(), compose([])
    for progress.epoch, value in enumerate(values, start=1):
        judge(progress, value, config)
    assert progress.best_epoch == epoch
    assert progress.best == pytest.approx(best, nan_ok=True)


def test_values_that_are_no_numbers_count_towards_an_early_stop():
    config = compose(["early_stop.patience=2", "evaluation.select=test"])
    progress = Progress()
    judge(progress, 0.5, config)
    judge(progress, NAN, config)
    assert not progress.stopped
    judge(progress, NAN, config)
    assert progress.stopped


def test_a_split_without_a_number_leaves_none_to_choose_by():
    table = {"val_a": {"recall_at_1": 0.5}, "val_b": {"recall_at_1": NAN}}
    assert math.isnan(monitored(table, "recall_at_1", ["val_a", "val_b"]))


def test_a_trial_without_a_number_fails_with_the_remedy(tmp_path, monkeypatch, capsys):
    optuna = pytest.importorskip("optuna", reason="the extra 'tune' is not installed")
    space, config = sweep.read_space("raml"), compose([MONITOR])
    study = optuna.create_study(direction="maximize")
    worker: Any = SimpleNamespace(
        study=study, run_folder=lambda number: tmp_path / f"trial-{number}"
    )
    measured = iter([NAN, 0.25])

    def training(folder, words, told):
        value = next(measured)
        told(1, value)
        Run.create(folder.folder)
        folder.write_manifest(status="finished", best={"epoch": 1, "recall_at_1": value})

    monkeypatch.setattr(sweep, "_train", training)
    sweep._trial(worker, study.ask(), space, [MONITOR], config)
    assert [trial.state.name for trial in study.trials] == ["FAIL"]
    said = capsys.readouterr().out
    assert "recall_at_1 is not a number" in said and "another evaluation.monitor" in said
    with pytest.raises(RunError, match="ended well. The last said: recall_at_1 is not a number"):
        sweep._conclude(study, tmp_path / "sweep.html", [MONITOR])
    sweep._trial(worker, study.ask(), space, [MONITOR], config)  # the next is judged as ever
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert study.best_value == 0.25


def test_a_metric_that_is_not_measured_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'recall_at_1'"):
        monitored({"val": {"recall_at_1": 0.5}}, "recal_at_1", ["val"])
