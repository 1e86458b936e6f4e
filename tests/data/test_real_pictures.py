"""The loaders on real images, where they are: in $LOOKALIKE_DATA or beside the checkout."""

import os
from pathlib import Path

import pytest

from lookalike.data import transforms
from lookalike.data.conformance import check_dataset
from lookalike.data.datasets import cub, omniglot
from lookalike.data.doctor import check
from lookalike.data.loader import eval_loader

ROOT = Path(os.environ.get("LOOKALIKE_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.pictures


@pytest.fixture(scope="module")
def birds():
    root = ROOT / "CUB_200_2011"
    if not root.is_dir():
        pytest.skip(f"no {root}")
    return root


@pytest.fixture(scope="module")
def characters(tmp_path_factory):
    if not (ROOT / "omniglot").is_dir():
        pytest.skip(f"no {ROOT / 'omniglot'}")
    return {"root": ROOT / "omniglot", "cache": tmp_path_factory.mktemp("cache")}


def test_cub(birds):
    check_dataset(lambda: cub(birds))
    table = cub(birds)
    train, test = table.split("train"), table.split("test")
    assert not set(train.labels[:, 0]) & set(test.labels[:, 0])
    assert table.levels == ("species", "genus", "family", "order")
    if len(table) != 11788:
        assert "not the official set" in table.notes[0]
    report = check(table.where(range(0, len(table), 10)), near=True)
    assert report.ok, report.to_text()


def test_cub_by_the_numbers_of_suprank(birds):
    table = cub(birds, taxonomy="suprank")
    assert table.levels == ("species", "family", "order")
    assert table.num_classes("order") <= 13 and table.num_classes("family") <= 38
    assert check(table, pictures=False).ok


def test_omniglot(characters):
    check_dataset(lambda: omniglot(**characters))
    table = omniglot(**characters)
    assert set(table.split("test").frame["alphabet"]) >= {"Sanskrit", "Tagalog"}
    drawings = table.where(range(0, len(table), 50))
    (batch,) = eval_loader(
        drawings, transforms.evaluation(56, crop=False), batch_size=len(drawings)
    )
    values = batch["pictures"].float().mean()
    assert 200 < values < 255  # dark strokes on white
