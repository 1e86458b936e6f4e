"""Curves go to TensorBoard, and to Weights & Biases by option; neither can stop a training."""

from __future__ import annotations

import json
import time

import pytest

from lookalike.errors import ConfigError
from lookalike.jobs import train
from lookalike.runs import Run
from lookalike.training import trackers, trainer


@pytest.fixture(autouse=True)
def unfinished(monkeypatch):
    """Leave out the last evaluation and the report."""
    monkeypatch.setattr(trainer.Training, "_finish", lambda self, progress: None)


def run(toy, tmp_path, *options) -> Run:
    options = ("watch.every=5", "evaluation.every=0", *options)
    return Run(train.run([*toy, f"run={tmp_path / 'x'}", *options], quiet=True))


def scalars(run: Run) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.tensorboard))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def test_tensorboard_has_the_figures_of_the_history(toy, tmp_path):
    found = run(toy, tmp_path)
    shown = scalars(found)
    assert [step for step, _ in shown["watch/effective_rank"]] == [5, 10, 15]
    history = found.history()
    losses = [row["loss"] for row in history if row["kind"] == "train"]
    assert [value for _, value in shown["train/loss"]] == pytest.approx(losses)
    assert {"train/lr_backbone", "watch/pictures_per_second"} <= shown.keys()
    assert any(tag.startswith("test/recall_at_1") for tag in shown)


class Down:
    """A tracker that works once."""

    name = "down"

    def __init__(self) -> None:
        self.heard = 0

    def log(self, values, step):
        self.heard += 1
        if self.heard > 1:
            raise ConnectionError("no route to host\nmore of it")

    def close(self):
        raise AssertionError("it was dropped")


def test_a_tracker_that_is_down_is_named_once_and_dropped():
    said, down = [], Down()
    both = trackers.Trackers({"down": lambda: down}, said.append)
    for step in range(5):
        both.log({"loss": 1.0}, step)
    both.close()
    assert down.heard == 2
    (words,) = said
    assert "down is down (no route to host)" in words


def test_training_goes_on_without_its_trackers(toy, tmp_path, monkeypatch, capsys):
    def refuse(self, folder, step):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trackers.TensorBoard, "__init__", refuse)
    found = run(toy, tmp_path)
    assert [row["step"] for row in found.history() if row["kind"] == "watch"] == [5, 10, 15]
    out = capsys.readouterr().out
    assert out.count("tracker tensorboard is down") == 1
    assert "No space left on device" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["tracker=wandbb"], "Did you mean 'wandb'"),
        (["tracker_options.mode=offline"], "need a tracker"),
    ],
)
def test_a_tracker_that_cannot_be_is_refused(toy, tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        run(toy, tmp_path, *options)


def test_a_tracker_that_is_not_installed_names_what_to_install(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'lookalike\[wandb\]'"):
        run(toy, tmp_path, "tracker=wandb")


@pytest.mark.slow
def test_wandb_has_the_figures_when_offline(toy, tmp_path):
    pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    found = run(toy, tmp_path, "tracker=wandb", "tracker_options.mode=offline")
    (file,) = (found.folder / "wandb").glob("offline-run-*/*.wandb")
    # Figures lie in it as JSON; on a busy machine W&B's own process writes them a moment later.
    until = time.monotonic() + 60
    while (kept := file.read_bytes()).count(b"watch/effective_rank") < 3:
        assert time.monotonic() < until, "the figures never came"
        time.sleep(0.1)
    rows = [row for row in found.history() if row["kind"] == "watch"]
    assert len(rows) == 3
    for row in rows:
        assert json.dumps(row["values"]["effective_rank"]).encode() in kept
