from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lookalike.data import transforms
from lookalike.data.coupled import CoupledDataset, CoupledViews, mix
from lookalike.data.loader import Loader
from lookalike.data.samplers import RandomSampler
from lookalike.errors import ConfigError, DataError

GOLDEN = Path(__file__).parents[1] / "golden" / "raml_pp"


def views(count=2, mixup=0.0, small=16, large=48):
    options = {"scale": (0.08, 1.0), "jitter": (0.4, 0.4, 0.4, 0.1)}
    return CoupledViews(
        transforms.train(small, **options), transforms.train(large, **options), count, mixup
    )


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((160 + i, 120), Image.Resampling.BICUBIC).save(path)
    return paths


def picture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    smooth = Image.fromarray(coarse).resize((200, 150), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(smooth)).permute(2, 0, 1)


@pytest.mark.parametrize("mixup", [0.0, 0.2])
def test_both_networks_see_the_same_region_flip_colours_and_partner(mixup):
    student, teacher = views(6, mixup)([picture(i) for i in range(3)], seeds=[1, 2, 3])
    assert student.shape == (3, 6, 3, 16, 16) and teacher.shape == (3, 6, 3, 48, 48)
    shrunk = torch.nn.functional.avg_pool2d(teacher.flatten(0, 1).float(), 3)
    difference = (shrunk - student.flatten(0, 1)).abs().mean(dim=(1, 2, 3))
    assert float(difference.max()) < 8  # of 255: what remains is the other resolution
    flat = student.flatten(0, 1).float()
    others = (flat[:, None] - flat[None]).abs().mean(dim=(2, 3, 4)) + 1e3 * torch.eye(18)
    assert float(others.min()) > 8  # and no two views are alike


def test_mixing_weighs_the_same_view_of_a_partner():
    one, two = picture(1), picture(2)
    alone, _ = views(8)([one], [5])
    mixed, _ = views(8, 1.0)([one, two], [5, 6])
    partners = views(8)
    rng = np.random.default_rng(5)
    for view in range(8):
        at, share = int(rng.integers(2)), float(rng.beta(1.0, 1.0))
        seed = transforms.picture_seed(5, 0, view)
        other = partners.student([one, two][at], seed=seed)
        expected = mix(alone[0, view], other, share) if at else alone[0, view]
        assert torch.equal(mixed[0, view], expected)


@pytest.mark.parametrize("chain", ["a", "b"])
def test_ramls_draws_give_ramls_mixtures(chain):
    """Theirs: each view's seed is drawn after the last one's; then its partner, then its share."""
    golden = np.load(GOLDEN / "raml_aug_chain.npz", allow_pickle=False)
    rng = np.random.RandomState(int(golden[f"chain_{chain}_seed0"]))
    group, made = [picture(i) for i in range(3)], views(1, 0.2)
    for seed, partner, share in golden[f"chain_{chain}"]:
        drawn = rng.randint(0, 2**31 - 1)
        rng = np.random.RandomState(drawn)
        assert drawn == seed
        assert rng.randint(0, int(golden["n_images"])) == partner
        rng = np.random.RandomState(drawn)  # the partner's views begin anew
        assert rng.beta(0.2, 0.2) == pytest.approx(share, abs=1e-15)
        pair = (0, 1 + int(partner) % 2)
        for transform in (made.student, made.teacher):
            one, other = (transform(group[row], seed=int(seed)).double() for row in pair)
            found = made.mixed(transform, group, pair, float(share), int(seed))
            assert float((found - (share * one + (1 - share) * other)).abs().max()) <= 0.5001


def test_every_picture_of_a_batch_is_decoded_once(files, monkeypatch):
    dataset = CoupledDataset(files, views=views(4, 0.2), seed=3)
    read = []
    monkeypatch.setattr(
        dataset, "read", lambda row: read.append(row) or np.array(Image.open(files[row]))
    )
    dataset.__getitems__([(row, 1, 0) for row in range(8)])
    assert sorted(read) == list(range(8))


@pytest.mark.parametrize("workers", [0, 2])
def test_views_do_not_depend_on_workers(files, workers):
    def batches(count):
        dataset = CoupledDataset(files, views=views(2, 0.2), seed=3, group=4)
        loader = Loader(dataset, RandomSampler(8, batch_size=4, seed=1), count)
        loader.set_epoch(2)
        return list(loader)

    for one, other in zip(batches(0), batches(workers), strict=True):
        assert torch.equal(one["teacher_pictures"], other["teacher_pictures"])
        assert torch.equal(one["pictures"], other["pictures"])
        assert one["pictures"].shape == (4, 2, 3, 16, 16)


def test_partners_come_from_the_group_alone(files):
    """Two processes with four images each see what one sees with eight in groups of four."""
    whole = CoupledDataset(files, views=views(2, 0.5), group=4)
    keys = [(row, 0, 0) for row in range(8)]
    together = whole.__getitems__(keys)
    apart = whole.__getitems__(keys[:4]) + whole.__getitems__(keys[4:])
    for one, other in zip(together, apart, strict=True):
        assert torch.equal(one["picture"], other["picture"])


def test_a_file_that_cannot_be_read_is_refused_by_name(files):
    files[3].write_bytes(b"no image")
    loader = Loader(CoupledDataset(files, views=views()), RandomSampler(8, batch_size=8), 0)
    with pytest.raises(DataError, match="3.png"):
        list(loader)


def test_refuses_numbers_that_cannot_be():
    with pytest.raises(ConfigError, match=r"distillation.views: 0"):
        views(0)
    with pytest.raises(ConfigError, match=r"distillation.mixup: -1"):
        views(1, -1)
