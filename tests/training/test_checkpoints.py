from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.errors import RunError
from lookalike.losses import CrossBatchMemory, MultiSimilarity
from lookalike.training import checkpoints
from lookalike.training.checkpoints import (
    Progress,
    keep,
    latest_checkpoint,
    restore,
    save_checkpoint,
)

FACTS = {"data": {"fingerprint": "abc"}, "options": {"epochs": 3, "optimizer.lr": 0.1}}


def objects(width=2):
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = nn.Linear(3, width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return {"model": model, "loss": nn.Module(), "optimizer": optimizer}


def train(things, steps):
    for _ in range(steps):
        noise = torch.randn(4, 3) + random.random() + float(np.random.rand())
        things["optimizer"].zero_grad()
        things["model"](noise).pow(2).sum().backward()
        things["optimizer"].step()


def load(folder, things, facts=FACTS):
    path, state, note = latest_checkpoint(folder)
    return restore(state, path, things, facts), note


def test_going_on_gives_the_same_bits_as_never_stopping(tmp_path):
    unbroken = objects()
    train(unbroken, 5)
    broken = objects()
    train(broken, 2)
    save_checkpoint(tmp_path, Progress(step=2), broken, FACTS)
    train(broken, 7)  # whatever happens after the checkpoint is lost
    again = objects()
    progress, note = load(tmp_path, again)
    assert progress.step == 2
    assert note is None
    train(again, 3)
    assert torch.equal(again["model"].weight, unbroken["model"].weight)


def test_a_checkpoint_of_another_model_data_or_config_says_what_differs(tmp_path):
    save_checkpoint(tmp_path, Progress(), objects(), FACTS)
    with pytest.raises(RunError, match=r"weight is \(2, 3\) there and \(4, 3\) here"):
        load(tmp_path, objects(4))
    with pytest.raises(RunError, match="other data than.*fingerprint was abc and is xyz"):
        load(tmp_path, objects(), FACTS | {"data": {"fingerprint": "xyz"}})
    changed = {"options": {"epochs": 3, "optimizer.lr": 0.2}}
    with pytest.raises(RunError, match=r"optimizer\.lr was 0\.1 and is 0\.2\. "):
        load(tmp_path, objects(), FACTS | changed)
    with pytest.raises(RunError, match="average differ"):
        load(tmp_path, objects() | {"average": nn.Module()})


def test_an_optimiser_of_other_parameters_is_refused(tmp_path):
    save_checkpoint(tmp_path, Progress(), objects(), FACTS)
    things = objects()
    things["optimizer"] = torch.optim.AdamW([things["model"].weight])
    with pytest.raises(RunError, match="its optimizer, does not fit"):
        load(tmp_path, things)


def test_a_memory_whose_label_columns_came_with_the_first_batch_goes_on(tmp_path):
    def memory():
        made = CrossBatchMemory(MultiSimilarity(), embedding_size=3, memory_size=9)
        return objects() | {"loss": made}

    things = memory()
    things["loss"](torch.randn(4, 3), torch.randint(0, 2, (4, 2)))
    save_checkpoint(tmp_path, Progress(), things, FACTS)
    again = memory()
    load(tmp_path, again)
    assert torch.equal(again["loss"].bank_labels, things["loss"].bank_labels)
    things["loss"] = CrossBatchMemory(MultiSimilarity(), embedding_size=3, memory_size=7)
    with pytest.raises(RunError, match=r"its loss, is of another model: bank is \(9, 3\) there"):
        load(tmp_path, things)


def test_one_flipped_byte_is_noticed_and_the_checkpoint_before_is_taken(tmp_path):
    save_checkpoint(tmp_path, Progress(step=1), objects(), FACTS)
    save_checkpoint(tmp_path, Progress(step=2), objects(), FACTS)
    path = tmp_path / "last.pt"
    whole = path.read_bytes()
    for place in (0, 100, len(whole) // 2, len(whole) - 200, len(whole) - 66, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        progress, note = load(tmp_path, objects())
        assert progress.step == 1
        assert f"{path} is damaged" in str(note)
        assert f"{tmp_path / 'previous.pt'}, step 1" in str(note)


def test_where_no_checkpoint_is_whole_every_file_is_named(tmp_path):
    with pytest.raises(RunError, match="never reached a checkpoint"):
        load(tmp_path, objects())
    for step in (1, 2):
        save_checkpoint(tmp_path, Progress(step=step), objects(), FACTS)
    for name in ("last.pt", "previous.pt"):
        whole = (tmp_path / name).read_bytes()
        for size in (0, 10, len(whole) // 2, len(whole) - 1):
            (tmp_path / name).write_bytes(whole[:size])
    with pytest.raises(RunError, match=r"last\.pt is damaged.*previous\.pt is damaged"):
        load(tmp_path, objects())


@pytest.mark.parametrize("moment", ["last.pt", "previous.pt"])
def test_a_kill_between_two_renames_loses_nothing(tmp_path, monkeypatch, moment):
    save_checkpoint(tmp_path, Progress(step=1), objects(), FACTS)
    replace = type(tmp_path).replace

    def die(self, target):
        if target.name == moment:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", die)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, Progress(step=2), objects(), FACTS)
    monkeypatch.undo()
    assert load(tmp_path, objects())[0].step == 1
    save_checkpoint(tmp_path, Progress(step=3), objects(), FACTS)
    assert load(tmp_path, objects())[0].step == 3


def test_what_is_kept_stays_when_the_last_is_replaced(tmp_path):
    save_checkpoint(tmp_path, Progress(step=1), objects(), FACTS)
    keep(tmp_path, "epoch_0001.pt")
    for step in (2, 3):
        save_checkpoint(tmp_path, Progress(step=step), objects(), FACTS)
    state = checkpoints._read(tmp_path / "epoch_0001.pt")
    assert state["progress"]["step"] == 1


def test_a_pickle_from_a_stranger_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"format": 2, "parts": Evil()}, tmp_path / "last.pt")
    checkpoints._seal(tmp_path / "last.pt")
    with pytest.raises(RunError, match="damaged"):
        load(tmp_path, objects())


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("write")])
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch, error):
    save_checkpoint(tmp_path, Progress(step=1), objects(), FACTS)

    def full(state, path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match="Cannot write"):
        save_checkpoint(tmp_path, Progress(step=2), objects(), FACTS)
    assert load(tmp_path, objects())[0].step == 1
    assert len(list(tmp_path.iterdir())) == 1
