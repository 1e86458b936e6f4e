import multiprocessing
import subprocess

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lookalike.data import transforms
from lookalike.data.loader import PictureDataset, _next, eval_loader, train_loader
from lookalike.data.samplers import MPerClassSampler, RandomSampler
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize((40 + i, 30)).save(tmp_path / f"{i}.png")
    return tmp_path


@pytest.fixture
def table(folder):
    frame = pd.DataFrame({"path": [f"{i}.png" for i in range(12)], "label": np.arange(12) // 4})
    return Table.from_frame(frame.assign(coarse=0), levels=["label", "coarse"], root=folder)


def loaded(table, workers=0, epoch=1, rank=0, world=1, m=4, resume=None, seed=3, batch_size=8):
    sampler = MPerClassSampler(
        table.labels, m, batch_size, seed=5, batches=4, rank=rank, world=world
    )
    loader = train_loader(table, transforms.train(16), sampler, workers, seed)
    if resume:
        loader.load_state_dict(resume)
    loader.set_epoch(epoch)
    return list(loader)


def same(batches, others):
    assert len(batches) == len(others)
    for one, two in zip(batches, others, strict=True):
        for key in ("pictures", "labels", "index"):
            assert torch.equal(one[key], two[key]), key


def test_a_batch_is_what_the_trainer_expects(table):
    batch = loaded(table)[0]
    assert set(batch) == {"pictures", "labels", "index"}
    assert batch["pictures"].shape == (8, 3, 16, 16) and batch["pictures"].dtype == torch.uint8
    assert batch["labels"].dtype == batch["index"].dtype == torch.int64
    assert torch.equal(batch["labels"], torch.from_numpy(table.labels)[batch["index"]])


def test_workers_do_not_change_what_is_seen(table):
    same(loaded(table, workers=0), loaded(table, workers=2))


def test_processes_do_not_change_what_is_seen(table):
    # m = 8 of 4 images: copies of an image fall on different processes and still differ
    whole = loaded(table, m=8, batch_size=16)
    parts = [loaded(table, m=8, batch_size=16, rank=r, world=2) for r in range(2)]
    joined = [{k: torch.cat([a[k], b[k]]) for k in a} for a, b in zip(*parts, strict=True)]
    same(joined, whole)


def test_resume_does_not_change_what_is_seen(table):
    whole = loaded(table, m=8)
    same(loaded(table, m=8, resume={"epoch": 1, "batch": 2}), whole[2:])


def test_the_state_counts_what_was_handed_out_not_what_was_prefetched(table):
    sampler = MPerClassSampler(table.labels, 4, 8, batches=4)
    loader = train_loader(table, transforms.train(16), sampler, workers=1)
    loader.set_epoch(2)
    batches = iter(loader)
    assert loader.state_dict() == {"epoch": 2, "batch": 0}
    next(batches)
    next(batches)
    assert loader.state_dict() == {"epoch": 2, "batch": 2}
    assert len(list(batches)) == 2
    assert loader.state_dict() == {"epoch": 2, "batch": 0}
    loader.set_epoch(3)
    assert len(list(loader)) == len(loader) == 4


def test_views_change_with_epoch_seed_and_repetition(table):
    first = loaded(table, m=8)[0]
    assert not torch.equal(first["pictures"], loaded(table, m=8, seed=4)[0]["pictures"])
    copies = torch.nonzero(first["index"] == first["index"][0])[:, 0]
    assert len(copies) == 2
    assert not torch.equal(first["pictures"][copies[0]], first["pictures"][copies[1]])
    loader = train_loader(table, transforms.train(16), RandomSampler(12, 12))
    seen = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        (batch,) = loader
        seen.append(batch["pictures"][batch["index"].argsort()])
    assert not torch.equal(*seen)


class EveryThird(torch.utils.data.Sampler):
    def __iter__(self):
        yield from [[0, 3], [3, 6]]

    def __len__(self):
        return 2


def test_a_sampler_of_someone_else_works_but_cannot_resume_inside_an_epoch(table):
    loader = train_loader(table, transforms.train(16), EveryThird())
    batches = list(loader)
    assert [b["index"].tolist() for b in batches] == [[0, 3], [3, 6]]
    assert not torch.equal(batches[0]["pictures"][1], batches[1]["pictures"][0])
    with pytest.raises(DataError, match="EveryThird cannot resume"):
        loader.load_state_dict({"epoch": 0, "batch": 1})


def test_evaluation_goes_through_all_rows_in_order(table):
    batches = list(eval_loader(table, transforms.evaluation(16), batch_size=5))
    assert [len(b["index"]) for b in batches] == [5, 5, 2]
    assert torch.cat([b["index"] for b in batches]).tolist() == list(range(12))
    assert torch.equal(torch.cat([b["labels"] for b in batches]), torch.from_numpy(table.labels))
    view = transforms.evaluation(16)
    want = view(torch.from_numpy(PictureDataset(table, view).read(7)).permute(2, 0, 1))
    assert torch.equal(batches[1]["pictures"][2], want)


def test_evaluation_batches_are_shared_between_processes(table):
    """In other company a network may give an image other bits, so batches stay what they are."""

    def batches(**share):
        loader = eval_loader(table, transforms.evaluation(16), batch_size=5, **share)
        return [batch["index"].tolist() for batch in loader]

    alone = batches()
    for world in (2, 3, 5):
        assert [b for rank in range(world) for b in batches(rank=rank, world=world)] == alone
    assert [len(batches(rank=rank, world=2)) for rank in (0, 1)] == [1, 2]
    done = np.zeros(12, bool)
    done[[6, 8]] = True
    assert batches(rank=1, world=2, done=done) == alone[2:]


def test_evaluation_takes_paths(folder):
    (batch,) = eval_loader([folder / "1.png", str(folder / "0.png")], transforms.evaluation(16))
    assert batch["labels"].tolist() == [[-1], [-1]] and batch["index"].tolist() == [0, 1]


def test_boxes_are_cut_out(folder):
    frame = pd.DataFrame({"path": ["0.png", "1.png"], "label": 0})
    nan = float("nan")
    boxes = frame.assign(x_1=[5, nan], x_2=[21, nan], y_1=[2, nan], y_2=[18, nan])
    table = Table.from_frame(boxes, root=folder)
    dataset = PictureDataset(table, transforms.evaluation(16, crop=False))
    whole = np.asarray(Image.open(folder / "0.png"))
    np.testing.assert_array_equal(dataset.read(0), whole[2:18, 5:21])
    assert dataset.read(1).shape == (30, 41, 3)
    assert torch.equal(
        dataset[0]["picture"], torch.from_numpy(whole[2:18, 5:21].copy()).permute(2, 0, 1)
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_refused_by_name(table, folder, workers):
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:60])
    sampler = RandomSampler(12, 4)
    for loader in (
        train_loader(table, transforms.train(16), sampler, workers),
        eval_loader(table, transforms.evaluation(16), 4, workers),
    ):
        with pytest.raises(DataError) as caught:
            list(loader)
        assert str(caught.value).startswith(str(folder / "5.png") + ": broken image")
        assert "Traceback" not in str(caught.value)
        assert not multiprocessing.active_children()  # ended at once, not by the garbage collector


def test_a_closed_loader_ends_its_workers_and_starts_others(table):
    loader = eval_loader(table, transforms.evaluation(16), 4, workers=1)
    first = list(loader)
    assert len(multiprocessing.active_children()) == 1
    loader.close()
    assert not multiprocessing.active_children()
    same(list(loader), first)
    loader.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_replaced_in_training_and_counted(table, folder, workers):
    for i in (5, 6):
        (folder / f"{i}.png").write_text("no image")
    loader = train_loader(
        table, transforms.train(16), RandomSampler(12, 12), workers, broken="skip"
    )
    (batch,) = loader
    assert set(loader.broken) == {5, 6}
    assert "5.png: no image" in loader.broken[5]
    assert sorted(batch["index"].tolist()) == [0, 1, 2, 3, 4, 7, 7, 7, 8, 9, 10, 11]
    assert batch["labels"][:, 0].bincount().tolist() == [4, 4, 4]


def test_a_class_without_a_sound_picture_is_refused(table, folder):
    for i in range(4, 8):
        (folder / f"{i}.png").write_text("no image")
    loader = train_loader(table, transforms.train(16), RandomSampler(12, 12), broken="skip")
    with pytest.raises(DataError, match=r"no image of the class of .* can be read, of 4 tried"):
        list(loader)


def test_a_broken_picture_is_left_out_of_evaluation_and_counted(table, folder):
    for i in (4, 5, 6, 7, 9):
        (folder / f"{i}.png").unlink()
    loader = eval_loader(table, transforms.evaluation(16), batch_size=4, broken="skip")
    batches = list(loader)
    assert [b["index"].tolist() for b in batches] == [[0, 1, 2, 3], [8, 10, 11]]
    assert set(loader.broken) == {4, 5, 6, 7, 9}


def test_pictures_of_different_sizes_are_refused(table):
    as_it_is = transforms.Transform([], "as_it_is()")
    with pytest.raises(DataError, match="have 4 sizes"):
        list(eval_loader(table, as_it_is, batch_size=4))
    assert len(list(eval_loader(table, as_it_is, batch_size=1))) == 12


def test_an_unknown_treatment_is_refused(table):
    with pytest.raises(ConfigError, match="broken: 'ignore'"):
        PictureDataset(table, transforms.evaluation(16), broken="ignore")


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_workers_live_on_when_the_whole_job_is_asked_to_stop(table, name):
    loader = train_loader(table, transforms.train(16), RandomSampler(12, 2), workers=1)
    batches = iter(loader)
    next(batches)
    (worker,) = multiprocessing.active_children()
    # By another process: what the parent itself sends ends a worker.
    subprocess.run(["kill", f"-{name}", str(worker.pid)], check=True)
    assert len([next(batches) for _ in range(4)]) == 4
    assert worker.is_alive()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0
    loader.close()


def test_a_worker_that_dies_while_it_hands_a_batch_over_is_named():
    def batches():
        raise ConnectionResetError(104, "Connection reset by peer")
        yield {}

    with pytest.raises(DataError, match=r"died while it handed over.*workers=0"):
        _next(batches())
