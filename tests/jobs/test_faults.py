"""What a training says and leaves behind when the machine fails it; then it goes on."""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lookalike.errors import DataError, RunError
from lookalike.jobs import train
from lookalike.runs import Run
from lookalike.training import checkpoint_policy, trainer
from lookalike.training.checkpoints import latest_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture
def before_step(monkeypatch):
    """Does something before a step of the trainings to come, once."""

    def at(number, act):
        original, count = trainer.SupervisedStep.backward, 0

        def backward(self, batch):
            nonlocal count
            count += 1
            if count == number:
                act()
            return original(self, batch)

        monkeypatch.setattr(trainer.SupervisedStep, "backward", backward)

    yield at
    monkeypatch.undo()


def goes_on(folder: Path, like: Path) -> None:
    """The run, resumed, ends with the weights of another."""
    run = Run(train.run([f"run={folder}"], resume=True, quiet=True))
    assert run.read_manifest()["status"] == "finished"
    for name in ("model/model.safetensors", "evaluation/test/embeddings.npy"):
        assert (folder / name).read_bytes() == (like / name).read_bytes()


def test_a_killed_worker_is_named_with_what_to_try(toy, finished, tmp_path, before_step):
    def kill():
        multiprocessing.active_children()[0].kill()

    before_step(8, kill)
    folder = tmp_path / "x"
    with pytest.raises(DataError, match=r"worker \(pid.*workers=0.*--resume"):
        train.run([*toy, "workers=1", f"run={folder}"], quiet=True)
    assert "workers=0" in Run(folder).read_manifest()["reason"]
    goes_on(folder, finished)


def test_a_picture_that_vanishes_is_named(toy, finished, tmp_path, before_step):
    root = next(Path(o.partition("=")[2]) for o in toy if o.startswith("dataset.root="))
    gone = []

    def remove():
        for picture in sorted(root.rglob("*.png")):
            picture.rename(picture.with_suffix(".gone"))
            gone.append(picture)

    before_step(8, remove)
    try:
        with pytest.raises(DataError) as caught:
            train.run([*toy, f"run={tmp_path / 'x'}"], quiet=True)
    finally:
        for picture in gone:
            picture.with_suffix(".gone").rename(picture)
    assert any(str(picture) in str(caught.value) for picture in gone)
    goes_on(tmp_path / "x", finished)


def test_a_full_disk_leaves_the_last_checkpoint_whole(toy, finished, tmp_path, monkeypatch):
    folder = tmp_path / "x"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    original, saved = checkpoint_policy.save_checkpoint, []

    def save(where, *words, **options):
        if saved:  # from the second on no file may grow beyond half of the first
            size = (where / "last.pt").stat().st_size // 2
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        saved.append(where)
        original(where, *words, **options)

    monkeypatch.setattr(checkpoint_policy, "save_checkpoint", save)
    try:
        with pytest.raises(RunError, match=r"Cannot write .*\.pt: .*free some space"):
            train.run([*toy, f"run={folder}"], quiet=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    monkeypatch.undo()
    _, state, damaged = latest_checkpoint(folder / "checkpoints")
    assert damaged is None and state["progress"]["epoch"] == 1
    assert not list(folder.rglob("*.part"))
    goes_on(folder, finished)


@pytest.mark.parametrize("left", [1, 6_000])
def test_a_disk_too_full_for_anything_is_named_with_the_remedy(toy, tmp_path, before_step, left):
    """6,000 bytes: the metrics still fit, and the weights that safetensors writes do not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before_step(4, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard)))
    try:
        with pytest.raises(RunError, match=r"Cannot write .*ree some space"):
            train.run([*toy, f"run={tmp_path / 'x'}"], quiet=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# One of two processes is asked to stop in its eighth step.
ASKED = """
import os, signal, sys
from lookalike.jobs import train
from lookalike.training import trainer as training
step, count = training.SupervisedStep.backward, 0
def asked(self, batch):
    global count
    count += 1
    if os.environ["RANK"] == "1" and count == 8:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(self, batch)
training.SupervisedStep.backward = asked
from lookalike.cli import main
main()
"""


def test_one_of_two_processes_asked_to_stop_stops_both_and_all_is_saved(toy, tmp_path):
    program, folder = tmp_path / "asked.py", tmp_path / "x"
    program.write_text(ASKED)
    words = ["--nproc-per-node", "2", "--standalone", str(program), "train", *toy, "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words, f"run={folder}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert "Stopped at step 8." in done.stdout, done.stderr[-4000:]
    assert done.stderr.count("everything is saved") == 2
    assert Run(folder).read_manifest()["status"] == "interrupted"
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    assert state["progress"]["step"] == 8
