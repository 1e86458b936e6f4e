"""Trainings that go wrong, each in its own way, and what the run says of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from lookalike.compose import from_yaml
from lookalike.console import Console
from lookalike.data.loader import PictureDataset
from lookalike.errors import ConfigError, NumericsError
from lookalike.evaluation.run_report import write_run_report
from lookalike.jobs import train
from lookalike.report.diagnostics import concerns, concerns_of_run
from lookalike.runs import Run
from lookalike.training import trainer

pytestmark = pytest.mark.slow

SHORT = ["watch.every=1", "epochs=1", "evaluation.every=0"]


@pytest.fixture(autouse=True)
def unfinished(monkeypatch):
    """Leave out the last evaluation and the report, which take longer than the training."""
    monkeypatch.setattr(trainer.Training, "_finish", lambda self, progress: None)


def run(toy, tmp_path, *options) -> Run:
    return Run(train.run([*toy, f"run={tmp_path / 'x'}", *SHORT, *options], quiet=True))


def rows(run: Run) -> list[dict]:
    return [row for row in run.history() if row["kind"] == "watch"]


def test_rows_tell_the_health_of_a_training(toy, tmp_path, capsys):
    found = rows(run(toy, tmp_path, "watch.every=2", "loss=proxy_anchor", "epochs=2"))
    assert [row["step"] for row in found] == [2, 4, 6, 8, 10]
    values, clock = found[-1]["values"], found[-1]["clock"]
    assert 1 < values["effective_rank"] <= 8
    assert values["uniformity"] < 0 < values["alignment"] < 4
    assert values["active_share"] == 1.0
    assert "hubness" not in values  # eight images have no ten neighbours
    norms = {name for name in values if name.startswith("gradient_norm_")}
    assert norms == {"gradient_norm_backbone", "gradient_norm_head", "gradient_norm_loss"}
    assert all(values[name] > 0 for name in norms)
    assert clock["pictures_per_second"] > 0
    assert 0 <= clock["waiting_share"] <= 1
    assert "step 10  loss" in capsys.readouterr().out


def test_looks_are_some_steps_apart(toy, tmp_path):
    with pytest.raises(ConfigError, match=r"watch\.every=-1"):
        run(toy, tmp_path, "watch.every=-1")


def test_looking_changes_nothing(toy, tmp_path):
    looked = run(toy, tmp_path / "a")
    unlooked = run(toy, tmp_path / "b", "watch.every=0")
    assert not rows(unlooked)
    state = [torch.load(r.checkpoints / "last.pt")["parts"] for r in (looked, unlooked)]
    for name, value in state[0]["model"].items():
        assert torch.equal(value, state[1]["model"][name]), name


def test_gradient_norms_are_those_of_the_mean_gradient(toy, tmp_path, monkeypatch):
    seen = []
    original = torch.nn.utils.clip_grad_norm_

    def note(parameters, largest):
        norm = original(parameters, largest)
        seen.append(float(norm))
        return norm

    monkeypatch.setattr("lookalike.training.step.nn.utils.clip_grad_norm_", note)
    options = ("optimizer.clip_norm=0.01", "update_every=2")
    found = rows(run(toy, tmp_path, *options))
    both = ["gradient_norm_backbone", "gradient_norm_head"]
    measured = [sum(row["values"][name] ** 2 for name in both) ** 0.5 for row in found]
    assert measured == pytest.approx(seen, rel=1e-5)


def test_a_collapse_is_named(toy, tmp_path, capsys):
    found = run(
        toy, tmp_path, "loss=tests.jobs.odd_parts.Pull", "optimizer.lr=0.02", "sampler.batches=20"
    )
    assert "Collapse" in concerns(rows(found))["collapse"]
    said = [line for line in capsys.readouterr().out.splitlines() if "Collapse" in line]
    assert len(said) == 1  # once, with what to try
    assert "warmup_epochs" in said[0]
    found.write_manifest(
        epochs=1, steps=20, seconds=1.0, choice="The last.", skipped_pictures={}, best={}
    )
    write_run_report(found, from_yaml(found.config.read_text()), [], Console(quiet=True))
    page = found.report.read_text()
    assert "Collapse: all images" in page
    assert "warned of: collapse" in page
    for title in ("Effective rank", "Gradient norm", "Images per second"):
        assert title in page


def test_a_loss_stuck_at_its_margin_is_named(toy, tmp_path):
    options = ("loss=triplet", "loss.margin=1.0", "optimizer.name=sgd", "optimizer.lr=100")
    found = run(toy, tmp_path, *options, "sampler.batches=12")
    assert "stuck at its margin" in concerns(rows(found))["stuck at the margin"]


def test_starved_proxies_are_named(toy, tmp_path):
    options = ("loss=proxy_anchor", "loss.num_classes=24", "sampler.batches=160")
    found = run(toy, tmp_path, *options, "watch.every=4")
    assert "75% of the loss's proxies" in concerns(rows(found))["starved proxies"]
    fair = run(toy, tmp_path / "y", "loss=proxy_anchor", "sampler.batches=60", "watch.every=20")
    assert "starved proxies" not in concerns(rows(fair))
    assert rows(fair)[-1]["values"]["starved_proxies"] == 0.0


def test_a_data_bound_loop_is_named(toy, tmp_path, monkeypatch):
    original = PictureDataset.__getitem__

    def slow(self, key):
        time.sleep(0.02)
        return original(self, key)

    monkeypatch.setattr(PictureDataset, "__getitem__", slow)
    found = run(toy, tmp_path)
    assert "waiting for images" in concerns(rows(found))["data-bound"]


def test_a_falling_loss_scale_is_named(toy, tmp_path):
    options = ("precision=fp16", "loss=tests.jobs.odd_parts.Overflowing")
    found = run(toy, tmp_path, *options)
    assert "precision=bf16" in concerns(rows(found))["falling loss scale"]


def test_a_healthy_run_is_left_alone(toy, tmp_path):
    found = run(toy, tmp_path, "sampler.batches=30", "loss=smooth_ap")
    assert set(concerns_of_run(rows(found))) <= {"data-bound"}


def test_warnings_come_and_go():
    sick = {"kind": "watch", "values": {}, "clock": {"waiting_share": 0.5}}
    well = {"kind": "watch", "values": {}, "clock": {"waiting_share": 0.1}}
    assert concerns([sick, sick]) == {}
    assert list(concerns([sick, sick, sick])) == ["data-bound"]
    assert concerns([sick, sick, well]) == {}
    numbered = [row | {"step": i} for i, row in enumerate([well, sick, sick, sick, sick, well])]
    (words,) = concerns_of_run(numbered).values()
    assert words.startswith("Steps 3 to 4: Data-bound")


def test_a_loss_that_is_no_number_keeps_its_batch(toy, tmp_path):
    with pytest.raises(NumericsError, match=r"step 2.*the loss itself.*broken_batch"):
        run(toy, tmp_path, "loss=tests.jobs.odd_parts.Hole")
    folder = tmp_path / "x" / "broken_batch"
    kept = load_file(folder / "batch.safetensors")
    assert kept["pictures"].shape == (8, 3, 32, 32)
    assert kept["embeddings"].shape == (8, 8)
    told = json.loads((folder / "rows.json").read_text())
    assert [row["row"] for row in told["rows"]] == kept["index"].tolist()
    assert all(row["path"].endswith(".png") for row in told["rows"])


def test_weights_that_are_no_numbers_are_named(toy, tmp_path):
    with pytest.raises(NumericsError, match=r"The model's \S+ is not finite any more"):
        run(toy, tmp_path, "loss=tests.jobs.odd_parts.Root")


def test_a_resumed_run_has_the_rows_of_one_never_stopped(toy, tmp_path, monkeypatch):
    from lookalike.errors import Interrupted
    from lookalike.training.step import SupervisedStep

    options = ("watch.every=2", "epochs=3", "loss=proxy_anchor", "sampler.batches=30")
    whole = rows(run(toy, tmp_path / "a", *options))
    original, count = SupervisedStep.backward, 0

    def stopping(self, batch):
        nonlocal count
        count += 1
        if count == 47:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, batch)

    monkeypatch.setattr(SupervisedStep, "backward", stopping)
    with pytest.raises(Interrupted):
        run(toy, tmp_path / "b", *options)
    monkeypatch.undo()
    resumed = Run(train.run([f"run={tmp_path / 'b' / 'x'}"], resume=True, quiet=True))
    assert whole[-1]["values"]["starved_proxies"] == 0.0
    for one, other in zip(whole, rows(resumed), strict=True):
        assert (one["step"], one["values"]) == (other["step"], other["values"])


def test_two_processes_tell_what_one_tells(toy, tmp_path):
    options = [*toy, *SHORT, "watch.every=2", "update_every=2", "sampler.batches=12"]
    options += ["loss=proxy_anchor", "model.freeze_batch_norm=true", "optimizer.lr=1e-3"]
    alone = rows(Run(train.run([*options, f"run={tmp_path / 'one'}"], quiet=True)))
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [*torchrun, "-m", "lookalike", "train", *options, f"run={tmp_path / 'two'}"]
    subprocess.run([sys.executable, *command], check=True, timeout=550, capture_output=True)
    together = rows(Run(tmp_path / "two"))
    assert [row["step"] for row in together] == [2, 4, 6]
    for one, other in zip(alone, together, strict=True):
        assert other["values"] == pytest.approx(one["values"], rel=1e-4)
