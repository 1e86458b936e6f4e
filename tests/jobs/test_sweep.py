"""Sweeps: trials as runs, judged, pruned, taken up again, shared between workers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lookalike.errors import ConfigError, Interrupted, RunError
from lookalike.jobs import sweep
from lookalike.runs import Run
from lookalike.training import trainer
from lookalike.training.step import SupervisedStep

pytestmark = pytest.mark.slow

optuna = pytest.importorskip("optuna", reason="the extra 'tune' is not installed")

SPACE = "optimizer.lr: {low: 1e-4, high: 3e-2, log: true}\nmodel.pool: {choices: [auto, gem]}\n"
SHORT = ["evaluation.select=test", "epochs=2", "sampler.batches=2", "watch.every=0"]


@pytest.fixture(autouse=True)
def quick_end(monkeypatch):
    """Leave out the last evaluation and the report of each trial; they take longer than it."""

    def finish(self, progress):
        best = {"epoch": progress.best_epoch, self.config.evaluation.monitor: progress.best}
        self.folder.write_manifest(status="finished", best=best)

    monkeypatch.setattr(trainer.Training, "_finish", finish)


@pytest.fixture
def words(toy, tmp_path):
    space = tmp_path / "search.yaml"
    space.write_text(SPACE)
    return [*toy, *SHORT, str(space)]


def trials_of(folder: Path) -> list:
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / "study.journal"))
    )
    return optuna.load_study(study_name=folder.name, storage=storage).trials


def outcome(folder: Path) -> list[tuple]:
    return [(t.number, t.state.name, t.params, t.value) for t in trials_of(folder)]


def test_trials_are_runs_and_the_page_tells_of_them(words, tmp_path, capsys):
    folder = tmp_path / "s"
    page = sweep.run(words, trials=3, out=folder)
    trials = trials_of(folder)
    assert [t.state.name for t in trials] == ["COMPLETE"] * 3
    assert trials[0].params == {"optimizer.lr": 0.003, "model.pool": "auto"}  # as it is without
    for trial in trials:
        run = Run.open(folder / f"trial-{trial.number:04d}")
        judged = [
            row["values"]["mean_average_precision_at_r_level0"]
            for row in run.history()
            if row["kind"] == "evaluation"
        ]
        assert list(trial.intermediate_values.values()) == judged
        assert trial.value == max(judged)
        assert f"pool: {trial.params['model.pool']}" in run.config.read_text()
    html = page.read_text()
    assert "Options and results" in html
    assert "3 finished" in html
    best = max(trials, key=lambda t: t.value)
    again = re.search(r"^again +(.*)$", capsys.readouterr().out, re.MULTILINE)
    assert again is not None
    assert f"optimizer.lr={best.params['optimizer.lr']}" in again[1]
    assert again[1].count("optimizer.lr=") == 1


def test_a_sweep_stopped_in_a_trial_goes_on_with_it(words, tmp_path, monkeypatch):
    whole, broken = tmp_path / "a" / "s", tmp_path / "b" / "s"
    sweep.run(words, trials=3, out=whole)
    original, count = SupervisedStep.backward, 0

    def stopping(self, batch):
        nonlocal count
        count += 1
        if count == 4 + 3:  # in the second epoch of the second trial
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch)

    monkeypatch.setattr(SupervisedStep, "backward", stopping)
    with pytest.raises(Interrupted, match="trial 1"):
        sweep.run(words, trials=3, out=broken)
    monkeypatch.setattr(SupervisedStep, "backward", original)
    assert [t.state.name for t in trials_of(broken)] == ["COMPLETE", "RUNNING"]
    sweep.run(words, trials=3, out=broken)
    assert outcome(broken) == outcome(whole)


def test_a_trial_behind_the_others_is_pruned(words, tmp_path, monkeypatch):
    seen = []

    class Second(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            seen.append((trial.number, trial.last_step))
            return trial.number == 1

    monkeypatch.setattr(optuna.pruners, "MedianPruner", Second)
    page = sweep.run(words, trials=2, out=tmp_path / "s")
    assert seen == [(0, 1), (0, 2), (1, 1)]
    assert [t.state.name for t in trials_of(tmp_path / "s")] == ["COMPLETE", "PRUNED"]
    manifest = Run(tmp_path / "s" / "trial-0001").read_manifest()
    assert manifest["status"] == "pruned"
    assert "after epoch 1" in manifest["reason"]
    assert "1 pruned" in page.read_text()


def test_a_failed_trial_says_why_and_the_others_go_on(words, tmp_path):
    Path(words[-1]).write_text("sampler.m: {choices: [2, 3]}\n")
    page = sweep.run([*words], trials=6, out=tmp_path / "s", sampler="random", pruner="none")
    trials = trials_of(tmp_path / "s")
    failed = [t for t in trials if t.state.name == "FAIL"]
    assert 0 < len(failed) < 6
    assert all(t.params["sampler.m"] == 3 for t in failed)
    assert "batch_size" in failed[0].user_attrs["reason"]
    assert "failed: " in page.read_text()


def test_a_sweep_whose_trials_all_fail_is_an_error(words, tmp_path):
    Path(words[-1]).write_text("sampler.m: {choices: [3, 5]}\n")
    with pytest.raises(RunError, match=r"No trial of s ended well\. The last said: .*batch_size"):
        sweep.run(words, trials=2, out=tmp_path / "s")


def test_a_study_of_another_search_is_not_mixed_in(words, tmp_path):
    sweep.run(words, trials=1, out=tmp_path / "s")
    with pytest.raises(RunError, match="other options"):
        sweep.run([*words, "seed=1"], trials=2, out=tmp_path / "s")
    Path(words[-1]).write_text("optimizer.lr: {low: 1e-4, high: 1e-2}\n")
    with pytest.raises(RunError, match="other space"):
        sweep.run(words, trials=2, out=tmp_path / "s")
    assert len(trials_of(tmp_path / "s")) == 1


@pytest.mark.parametrize(
    ("change", "options", "error"),
    [
        (lambda w: [x for x in w if "select" not in x], {}, "no validation split to judge"),
        (lambda w: [*w, "run=runs/x"], {}, "names its runs itself"),
        (lambda w: [*w, "other.yaml"], {}, "name one search space"),
        (lambda w: w[:-1], {}, "name one search space"),
        (lambda w: [*w, "optimizer.schedule=cosin"], {}, "cosine"),
        (lambda w: w, {"sampler": "tpee"}, "Did you mean 'tpe'"),
        (lambda w: w, {"pruner": "medan"}, "Did you mean 'median'"),
        (lambda w: w, {"storage": "study.db"}, "write an address"),
    ],
)
def test_what_cannot_be_is_refused_before_any_trial(words, tmp_path, change, options, error):
    with pytest.raises(ConfigError, match=error):
        sweep.run(change(words), trials=1, out=tmp_path / "s", **options)
    assert not list((tmp_path / "s").glob("trial-*"))


def test_torchrun_is_refused(words, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="a worker a GPU"):
        sweep.run(words, trials=1, out=tmp_path / "s")


def test_without_optuna_it_says_what_to_install(words, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'lookalike\[tune\]'"):
        sweep.run(words, trials=1, out=tmp_path / "s")


# ── several processes ───────────────────────────────────────────────────────────────────────────


def worker(words, folder: Path, trials: int, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "lookalike", "sweep", *words, "--trials", str(trials)]
    return subprocess.Popen(
        [*command, "--out", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def test_a_killed_worker_leaves_its_trial_to_the_next(words, tmp_path):
    folder = tmp_path / "s"
    killed = worker([*words, "epochs=15"], folder, 1)
    wait_for(lambda: list(folder.glob("trial-0000/checkpoints/last.pt")))
    killed.kill()
    killed.wait()
    assert [t.state.name for t in trials_of(folder)] == ["RUNNING"]
    sweep.run([*words, "epochs=15"], trials=1, out=folder)
    (trial,) = trials_of(folder)
    assert trial.state.name == "COMPLETE"
    assert list(trial.intermediate_values) == list(range(1, 16))


def test_two_workers_share_a_study_in_postgresql(words, tmp_path):
    pgserver = pytest.importorskip("pgserver", reason="pgserver brings a PostgreSQL to test on")
    server = pgserver.get_server(tmp_path / "database")
    try:
        address = server.get_uri()
        options = ("--storage", address, "--study", "shared", "--pruner", "none")
        both = [worker(words, tmp_path / name, 5, *options) for name in ("one", "two")]
        said = [process.communicate(timeout=500)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        url = address.replace("postgresql://", "postgresql+psycopg://")
        trials = optuna.load_study(study_name="shared", storage=url).trials
        # Two that ask at the very same moment may begin one more than asked.
        assert len(trials) in (5, 6)
        assert {t.state.name for t in trials} == {"COMPLETE"}
        owners = {t.user_attrs["owner"].rpartition("/")[2] for t in trials}
        assert owners == {"one", "two"}
        drawn = [tuple(t.params.values()) for t in trials]
        assert len(set(drawn)) == len(drawn)
        for trial in trials:
            folder = tmp_path / trial.user_attrs["owner"].rpartition("/")[2]
            assert (folder / f"trial-{trial.number:04d}" / "report.html").is_file()
        with pytest.raises(RunError, match="out of reach"):
            wrong = "postgresql://nobody@127.0.0.1:1/nothing"
            sweep.run(words, trials=1, out=tmp_path / "x", storage=wrong)
    finally:
        server.cleanup()
