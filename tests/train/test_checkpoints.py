from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.errors import RunError
from lookalike.train.checkpoints import Progress, load_checkpoint, save_checkpoint

PRINTS = {"data": "abc", "options": "def"}


def objects(width=2):
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = nn.Linear(3, width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
    return {"model": model, "loss": nn.Module(), "optimizer": optimizer, "schedule": schedule}


def train(things, steps):
    for _ in range(steps):
        noise = torch.randn(4, 3) + random.random() + float(np.random.rand())
        things["optimizer"].zero_grad()
        things["model"](noise).pow(2).sum().backward()
        things["optimizer"].step()
        things["schedule"].step()


def test_going_on_gives_the_same_bits_as_never_stopping(tmp_path):
    unbroken = objects()
    train(unbroken, 5)
    broken = objects()
    train(broken, 2)
    save_checkpoint(tmp_path / "c.pt", Progress(step=2), **broken, fingerprints=PRINTS)
    train(broken, 7)  # whatever happens after the checkpoint is lost
    again = objects()
    progress = load_checkpoint(tmp_path / "c.pt", **again, fingerprints=PRINTS)
    assert progress.step == 2
    train(again, 3)
    assert torch.equal(again["model"].weight, unbroken["model"].weight)
    assert again["schedule"].get_last_lr() == unbroken["schedule"].get_last_lr()


def test_a_checkpoint_of_another_model_or_data_says_what_differs(tmp_path):
    save_checkpoint(tmp_path / "c.pt", Progress(), **objects(), fingerprints=PRINTS)
    with pytest.raises(RunError, match=r"weight is \(2, 3\) there and \(4, 3\) here"):
        load_checkpoint(tmp_path / "c.pt", **objects(4), fingerprints=PRINTS)
    with pytest.raises(RunError, match="other data than"):
        load_checkpoint(tmp_path / "c.pt", **objects(), fingerprints=PRINTS | {"data": "x"})


def test_damaged_and_missing_checkpoints_are_refused(tmp_path):
    with pytest.raises(RunError, match="never reached a checkpoint"):
        load_checkpoint(tmp_path / "c.pt", **objects(), fingerprints=PRINTS)
    save_checkpoint(tmp_path / "c.pt", Progress(), **objects(), fingerprints=PRINTS)
    whole = (tmp_path / "c.pt").read_bytes()
    for size in (0, 100, len(whole) // 2, len(whole) - 100):
        (tmp_path / "c.pt").write_bytes(whole[:size])
        with pytest.raises(RunError, match="damaged"):
            load_checkpoint(tmp_path / "c.pt", **objects(), fingerprints=PRINTS)


def test_a_pickle_from_a_stranger_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"format": 1, "model": Evil()}, tmp_path / "c.pt")
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path / "c.pt", **objects(), fingerprints=PRINTS)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("write")])
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch, error):
    save_checkpoint(tmp_path / "c.pt", Progress(step=1), **objects(), fingerprints=PRINTS)

    def full(state, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match="Cannot write"):
        save_checkpoint(tmp_path / "c.pt", Progress(step=2), **objects(), fingerprints=PRINTS)
    assert load_checkpoint(tmp_path / "c.pt", **objects(), fingerprints=PRINTS).step == 1
    assert len(list(tmp_path.iterdir())) == 1
