"""What the options of the engine do to a run that is otherwise the same."""

from __future__ import annotations

import math
import shutil

import pytest
import torch

from lookalike.compose import compose
from lookalike.console import Console
from lookalike.errors import ConfigError, Interrupted
from lookalike.jobs import train
from lookalike.runs import Run
from lookalike.training import trainer
from lookalike.training.trainer import Training


def state(run: Run) -> dict:
    return torch.load(run.checkpoints / "last.pt", weights_only=True)


def one_step(options, **more):
    """Loss and gradients of the first batch of a run."""
    made = Training(Run("nowhere"), compose(options), Console(silent=True))
    made.loop()
    made.step.micro_batch = more.get("micro_batch")
    scale = 1.0
    if made.scaler is not None:  # one that float16 holds from the first step on
        scale = 256.0
        made.step.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    batch = next(iter(made._batches(0, 0)))
    loss = made.step.backward(batch)
    found = {n: p.grad / scale for n, p in made.model.named_parameters() if p.grad is not None}
    return loss, found, {n: b.clone() for n, b in made.model.named_buffers()}


def assert_close(a, b, tolerance):
    assert a[0] == pytest.approx(b[0], abs=tolerance)
    assert a[1].keys() == b[1].keys()
    largest = max(float(g.abs().max()) for g in a[1].values())
    for key, gradient in a[1].items():
        torch.testing.assert_close(b[1][key], gradient, rtol=0, atol=tolerance * largest, msg=key)
    for key, buffer in a[2].items():
        torch.testing.assert_close(
            b[2][key].float(), buffer.float(), rtol=tolerance, atol=tolerance, msg=key
        )


SMALL = ["model=test_resnet", "model.pretrained=false", "model.embedding_size=8"]


def test_activations_computed_twice_give_the_same_step(toy):
    options = [*(o for o in toy if not o.startswith("model")), *SMALL, "loss=smooth_ap"]
    again = one_step([*options, "gradient_checkpointing=true"])
    assert_close(one_step(options), again, 1e-6)  # batch norm's statistics among it


def test_a_backbone_that_cannot_recompute_says_so(toy):
    with pytest.raises(ConfigError, match="gradient_checkpointing: conv4 cannot"):
        one_step([*toy, "gradient_checkpointing=true"])


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.1), ("fp16", 0.02)])
def test_half_precisions_come_close(toy, precision, tolerance):
    options = [*toy, "loss=proxy_anchor", "model.freeze_batch_norm=true"]
    assert_close(one_step(options), one_step([*options, f"precision={precision}"]), tolerance)


def test_scaled_losses_train_and_their_scale_is_saved(toy, tmp_path):
    run = Run(train.run([*toy, f"run={tmp_path / 'x'}", "precision=fp16"], quiet=True))
    saved = state(run)["parts"]
    # The scale starts too high for float16; every step that overflows halves it, and is left out.
    halvings = int(math.log2(65536 / saved["scaler"]["scale"]))
    assert 0 <= halvings < 10
    assert saved["optimizer"]["network"]["state"][0]["step"] == 15 - halvings


@pytest.mark.slow
def test_a_compiled_backbone_gives_the_same_step(toy):
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    options = [*toy, "loss=smooth_ap"]
    assert_close(one_step(options), one_step([*options, "compile=true"]), 1e-5)


def test_micro_batches_give_the_step_of_the_whole_batch(toy):
    options = [*toy, "loss=proxy_anchor", "model.freeze_batch_norm=true"]
    assert_close(one_step(options), one_step(options, micro_batch=3), 1e-6)


def test_micro_batches_are_found_once_and_kept(toy, tmp_path, monkeypatch):
    from lookalike.training import acceleration

    monkeypatch.setattr(acceleration, "free_memory", lambda device: 1_500_000)
    options = [*toy, f"run={tmp_path / 'x'}", "micro_batch=auto", "epochs=1"]
    original = trainer.SupervisedStep.update

    def stop(self, *words):
        original(self, *words)
        import os
        import signal

        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(trainer.SupervisedStep, "update", stop)
    with pytest.raises(Interrupted):
        train.run(options, quiet=True)
    found = state(Run(tmp_path / "x"))["progress"]["micro_batch"]
    assert 1 <= found < 8
    monkeypatch.undo()  # memory is free again, and the run keeps its parts all the same
    run = Run(train.run([f"run={tmp_path / 'x'}"], resume=True, quiet=True))
    assert state(run)["progress"]["micro_batch"] == found


def test_averaged_weights_are_those_measured_and_kept(toy, tmp_path):
    options = [*toy, "average.name=ema", "average.decay=0.5", "average.start_epoch=1"]
    run = Run(train.run([*options, f"run={tmp_path / 'x'}"], quiet=True))
    saved = state(run)["parts"]
    averaged = saved["average"]["module.head.weight"]
    assert not torch.equal(averaged, saved["model"]["head.weight"])
    from safetensors.torch import load_file

    kept = load_file(run.model / "model.safetensors")
    assert torch.equal(kept["head.weight"], averaged)
    assert "averaged (exponential average, decay 0.5)" in run.report.read_text()


def test_swa_measures_with_statistics_of_its_own(toy, tmp_path):
    run = Run(train.run([*toy, f"run={tmp_path / 'x'}", "average.name=swa"], quiet=True))
    saved = state(run)["parts"]["average"]
    assert int(saved["n_averaged"]) == 3
    counts = [int(v) for k, v in saved.items() if k.endswith("num_batches_tracked")]
    assert set(counts) == {1}  # one pass over the 36 training images, in one batch


def test_a_group_stands_still_until_its_epoch(toy, tmp_path):
    frozen = [*toy, "optimizer.freeze=[backbone]", "model.freeze_batch_norm=true"]
    short = [*frozen, "optimizer.freeze_epochs=2", "epochs=2", f"run={tmp_path / 'a'}"]
    run = Run(train.run(short, quiet=True))
    fresh = Training(Run("nowhere"), compose(short), Console(silent=True)).model.state_dict()
    ended = state(run)["parts"]["model"]
    assert all(torch.equal(v, fresh[k]) for k, v in ended.items() if k.startswith("backbone"))
    assert not torch.equal(ended["head.weight"], fresh["head.weight"])
    long = [*frozen, "optimizer.freeze_epochs=2", "epochs=3", f"run={tmp_path / 'b'}"]
    moved = state(Run(train.run(long, quiet=True)))["parts"]["model"]
    assert any(not torch.equal(v, fresh[k]) for k, v in moved.items() if k.startswith("backbone"))


def test_gradients_of_several_batches_and_a_dropped_rest(toy, tmp_path):
    options = [*toy, "update_every=2", "drop_partial_update=true"]
    run = Run(train.run([*options, f"run={tmp_path / 'x'}"], quiet=True))
    assert run.read_manifest()["steps"] == 6  # 5 batches an epoch: 2 steps, and one batch unused


def test_without_a_validation_split_the_last_epoch_is_kept(toy, finished):
    run = Run(finished)
    assert run.read_manifest()["best"]["epoch"] is None
    assert "epoch 3, the last" in run.read_manifest()["choice"]


def test_held_out_classes_choose_and_stop(toy, tmp_path):
    options = [
        "dataset.hold_out=0.34",
        "batch_size=6",
        "early_stop.patience=1",
        "early_stop.min_delta=2.0",
    ]
    run = Run(train.run([*toy, *options, f"run={tmp_path / 'x'}"], quiet=True))
    manifest = run.read_manifest()
    # No value ever lies 2 above the first: the second evaluation ends the run.
    assert manifest["epochs"] == 2
    assert manifest["choice"].endswith("Training stopped after epoch 2: nothing got better.")
    assert {row["split"] for row in run.history() if row["kind"] == "evaluation"} == {"val", "test"}


def test_the_test_split_chooses_only_when_asked(toy, tmp_path):
    with pytest.raises(ConfigError, match="nothing to judge by"):
        train.run([*toy, f"run={tmp_path / 'x'}", "early_stop.patience=1"], quiet=True)
    with pytest.raises(ConfigError, match="no such split"):
        train.run([*toy, f"run={tmp_path / 'x'}", "evaluation.select=vall"], quiet=True)
    options = ["evaluation.select=test", "checkpoint.best=true", "checkpoint.keep_every=2"]
    run = Run(train.run([*toy, *options, f"run={tmp_path / 'x'}"], quiet=True))
    manifest = run.read_manifest()
    assert "The test split chose it" in manifest["choice"]
    values = {
        row["epoch"]: row["values"]["mean_average_precision_at_r_level0"]
        for row in run.history()
        if row["kind"] == "evaluation"
    }
    assert manifest["best"]["epoch"] == max(values, key=lambda epoch: values[epoch])
    best = torch.load(run.checkpoints / "best.pt", weights_only=True)
    assert best["progress"]["epoch"] == manifest["best"]["epoch"]
    assert (run.checkpoints / "epoch_0002.pt").is_file()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("micro_batch=0", "at least 1"),
        ("micro_batch=all", "auto"),
        ("update_every=0", "update_every"),
        ("checkpoint.steps=0", r"checkpoint\.steps"),
        ("average.name=emma", "ema"),
    ],
)
def test_what_cannot_be_is_refused(toy, tmp_path, override, words):
    with pytest.raises(ConfigError, match=words):
        train.run([*toy, f"run={tmp_path / 'x'}", override], quiet=True)
