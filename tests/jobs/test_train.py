from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import lookalike
from lookalike.errors import ConfigError, DataError, Interrupted, NumericsError, RunError
from lookalike.jobs import train
from lookalike.runs import Run
from lookalike.training import trainer


def numbers(run: Run) -> list[dict]:
    """The history without clock readings."""
    return [{k: v for k, v in row.items() if k != "seconds_per_step"} for row in run.history()]


def state(run: Run) -> dict:
    return torch.load(run.checkpoints / "last.pt", weights_only=True)


def assert_same(a, b):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b


def test_a_run_folder_explains_itself(finished):
    run = Run.open(finished)
    manifest = run.read_manifest()
    assert manifest["status"] == "finished"
    assert manifest["steps"] == 15
    assert manifest["data"]["pictures"] == 72
    kinds = [(row["kind"], row["step"]) for row in run.history()]
    assert kinds == [
        ("evaluation", 5),
        ("train", 10),
        ("evaluation", 10),
        ("evaluation", 15),
    ]
    html = run.report.read_text()
    assert "Recall@1" in html
    assert "http://" not in re.sub(r"http://www\.w3\.org\S*", "", html)
    assert (run.evaluation("test") / "embeddings.npy").is_file()
    stored = json.loads((run.evaluation("test") / "report.json").read_text())
    assert 0 < stored["values"]["recall_at_1_level0"] <= 1
    assert any(run.tensorboard.iterdir())


def test_the_saved_model_gives_the_saved_embeddings(finished):
    import pandas as pd

    run = Run.open(finished)
    rows = pd.read_parquet(run.evaluation("test") / "rows.parquet")
    saved = np.load(run.evaluation("test") / "embeddings.npy")
    fresh = lookalike.load(finished).encode(list(rows["path"]), batch_size=128)
    np.testing.assert_array_equal(fresh, saved)


def test_the_loss_falls(toy, tmp_path):
    run = Run(
        train.run([*toy, f"run={tmp_path / 'x'}", "epochs=12", "evaluation.every=0"], quiet=True)
    )
    losses = [row["loss"] for row in run.history() if row["kind"] == "train"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("stop_after", [2, 5, 7, 13])
def test_a_run_interrupted_and_resumed_ends_with_the_same_bits(
    toy, finished, tmp_path, monkeypatch, stop_after
):
    folder = tmp_path / "x"
    original = trainer.SupervisedStep.backward
    count = 0

    def stopping(self, batch):
        nonlocal count
        count += 1
        if count == stop_after:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch)

    monkeypatch.setattr(trainer.SupervisedStep, "backward", stopping)
    with pytest.raises(Interrupted):
        train.run([*toy, f"run={folder}"], quiet=True)
    assert Run(folder).read_manifest()["status"] == "interrupted"
    monkeypatch.undo()
    train.run([f"run={folder}"], resume=True, quiet=True)
    unbroken, broken = Run(finished), Run(folder)
    assert_same(state(broken), state(unbroken))
    assert numbers(broken) == numbers(unbroken)
    assert (broken.model / "model.safetensors").read_bytes() == (
        unbroken.model / "model.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_a_run_killed_without_warning_and_resumed_ends_with_the_same_bits(toy, finished, tmp_path):
    program = (
        "import os, signal, sys\n"
        "from lookalike.jobs import train\n"
        "from lookalike.training import trainer as training\n"
        "step, count = training.SupervisedStep.backward, 0\n"
        "def dying(self, batch):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 8: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(self, batch)\n"
        "training.SupervisedStep.backward = dying\n"
        "train.run(sys.argv[1:], quiet=True)\n"
    )
    folder = tmp_path / "x"
    words = [sys.executable, "-c", program, *toy, f"run={folder}"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    train.run([f"run={folder}"], resume=True, quiet=True)
    assert_same(state(Run(folder)), state(Run(finished)))
    assert numbers(Run(folder)) == numbers(Run(finished))


def test_workers_do_not_change_what_is_seen(toy, finished, tmp_path):
    run = Run(train.run([*toy, f"run={tmp_path / 'x'}", "workers=2"], quiet=True))
    assert numbers(run) == numbers(Run(finished))


def test_bfloat16_trains_the_model_and_leaves_loss_and_weights_in_float32(
    toy, tmp_path, monkeypatch
):
    seen = []
    original = trainer.SupervisedStep._loss

    def watch(self, embeddings, labels, index):
        value = original(self, embeddings, labels, index)
        seen.append((torch.is_autocast_enabled("cpu"), value.dtype))
        return value

    monkeypatch.setattr(trainer.SupervisedStep, "_loss", watch)
    run = Run(train.run([*toy, f"run={tmp_path / 'x'}", "precision=bf16", "epochs=1"], quiet=True))
    assert set(seen) == {(False, torch.float32)}
    weights = state(run)["parts"]["model"].values()
    assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}


def test_a_loss_of_pytorch_metric_learning_trains(toy, tmp_path):
    loss = "loss=pytorch_metric_learning.losses.TripletMarginLoss"
    run = Run(train.run([*toy, f"run={tmp_path / 'x'}", loss, "epochs=1"], quiet=True))
    assert run.read_manifest()["status"] == "finished"


def test_a_loss_with_proxies_gets_its_own_rate_and_resumes(toy, tmp_path):
    options = [f"run={tmp_path / 'x'}", "loss=proxy_anchor", "optimizer.loss.lr=0.1"]
    run = Run(train.run([*toy, *options], quiet=True))
    row = next(row for row in run.history() if row["kind"] == "train")
    assert row["lr"]["loss"] > 10 * row["lr"]["backbone"]
    assert any("prox" in key for key in state(run)["parts"]["loss"])


def test_resume_refuses_what_would_change_the_numbers(finished):
    with pytest.raises(ConfigError, match=r"epochs: a resumed run keeps its options"):
        train.run([f"run={finished}", "epochs=9"], resume=True)
    with pytest.raises(RunError, match="is finished"):
        train.run([f"run={finished}"], resume=True)
    assert Run(finished).read_manifest()["status"] == "finished"
    with pytest.raises(ConfigError, match="needs the run's folder"):
        train.run([], resume=True)


def test_a_run_in_the_way_is_not_overwritten(toy, finished):
    with pytest.raises(RunError, match="holds a run already"):
        train.run([*toy, f"run={finished}"])
    assert Run.open(finished).report.is_file()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.schedule=cosin", "cosine"),
        ("optimizer.name=AdmW", "adamw"),
        ("precision=fp8", "fp32"),
        ("device=cuda:99" if not torch.cuda.is_available() else "device=nope", "device="),
        ("broken=ignore", "refuse or skip"),
        ("epochs=0", "at least 1"),
        ("evaluation.monitor=recal_at_1", "recall_at_1"),
        ("batch_size=9", "9"),
        ("sampler.m=1000", "m"),
        ("model.pool=gme", "gem"),
        ("model=resnt18", "resnet18"),
        ("transform.train.flp=1", "flip"),
    ],
)
def test_what_cannot_be_is_refused_with_a_hint_and_leaves_no_run(toy, tmp_path, override, words):
    with pytest.raises(ConfigError, match=words):
        train.run([*toy, f"run={tmp_path / 'x'}", override], quiet=True)
    assert not (tmp_path / "x" / "config.yaml").exists()


def test_a_missing_folder_names_itself(tmp_path):
    with pytest.raises((ConfigError, DataError), match="nowhere"):
        train.run(["dataset=cub", f"data_root={tmp_path}/nowhere", f"run={tmp_path / 'x'}"])


def test_nan_stops_the_run_and_keeps_the_checkpoint(toy, tmp_path, monkeypatch):
    original, count = trainer.SupervisedStep.backward, 0

    def poison(self, batch):
        nonlocal count
        count += 1
        if count == 8:
            with torch.no_grad():
                self.model.head.weight.fill_(float("nan"))
        return original(self, batch)

    monkeypatch.setattr(trainer.SupervisedStep, "backward", poison)
    with pytest.raises(NumericsError):
        train.run([*toy, f"run={tmp_path / 'x'}"], quiet=True)
    assert state(Run(tmp_path / "x"))["progress"]["step"] == 5


def test_a_run_that_fails_says_why_and_does_not_block_the_next(toy, tmp_path, monkeypatch):
    def broken(self, batch):
        raise NumericsError("The loss became nan.")

    monkeypatch.setattr(trainer.SupervisedStep, "backward", broken)
    run = Run(tmp_path / "x")
    with pytest.raises(NumericsError):
        train.run([*toy, f"run={run.folder}"], quiet=True)
    assert run.read_manifest()["status"] == "failed"
    assert run.read_manifest()["reason"].startswith("The loss became nan.")
    monkeypatch.undo()
    train.run([*toy, f"run={run.folder}", "epochs=1"], quiet=True)
    assert run.read_manifest()["status"] == "finished"
