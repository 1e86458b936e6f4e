"""A run keeps which rows and classes trained it, and is evaluated apart from them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from lookalike.data.datasets import folder
from lookalike.errors import DataError
from lookalike.evaluation import own_split
from lookalike.evaluation.benchmarks import Benchmark, benchmarks
from lookalike.evaluation.own_split import evaluated_table
from lookalike.jobs import evaluate, train

pytestmark = pytest.mark.slow  # a whole training


def draw(root, *classes, pictures=4, seed=0):
    rng = np.random.default_rng(seed)
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(pictures):
            pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{seed}_{i}.png")
    return root


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A folder of eight classes, and a run that was trained on half of them."""
    place = tmp_path_factory.mktemp("own")
    draw(place / "birds", *(f"c{i}" for i in range(8)))
    words = [
        f"dataset={place / 'birds'}", "model=conv4", "model.options.width=8", "epochs=1",
        "model.embedding_size=8", "transform=figure", "transform.size=32", "batch_size=8",
        "sampler.m=2", "sampler.batches=2", "workers=0", f"run={place / 'run'}",
    ]  # fmt: skip
    train.run(words, quiet=True)
    return place


@pytest.fixture
def place(before, tmp_path):
    """A copy of both, whose folder may change; the run still names the first one's."""
    shutil.copytree(before / "birds", tmp_path / "birds")
    shutil.copytree(before / "run", tmp_path / "run")
    config = (tmp_path / "run/config.yaml").read_text()
    text = config.replace(str(before / "birds"), str(tmp_path / "birds"))
    (tmp_path / "run/config.yaml").write_text(text)
    return tmp_path


def classes(table, split):
    return set(table.split(split).frame["label"])


def own(place, *overrides):
    (one,) = benchmarks(place / "run", overrides)
    return evaluated_table(place / "run", one)


def test_the_run_folder_says_what_trained_it(place):
    kept = own_split.record(place / "run")
    table = folder(place / "birds")
    assert kept.trained == classes(table, "train") and kept.evaluated == classes(table, "test")
    one, same = own(place)
    assert one.own and same.notes == table.notes


def test_an_image_at_another_depth_leaves_all_as_it_was(place):
    """A search takes it; the run that was trained before is measured and exported all the same."""
    draw(place / "birds" / "more", "deep")
    shutil.copy(next((place / "birds").rglob("*.png")), place / "birds" / "loose.png")
    one, table = own(place)
    assert one.own and "at another depth than most left out" in table.notes[0]
    with pytest.raises(DataError, match="outside any class folder"):
        folder(place / "birds")


def test_another_division_that_is_asked_for_moves_no_class(place):
    kept = own_split.record(place / "run")
    one, table = own(place, "dataset.test_classes=0.9")
    assert not one.own and classes(table, "test") == kept.evaluated
    assert "the same images, read with other options" in " ".join(table.notes)


def test_a_class_more_leaves_every_class_where_it_was(place):
    kept = own_split.record(place / "run")
    draw(place / "birds", "a0", "a1", seed=1)
    assert kept.trained & classes(folder(place / "birds"), "test")  # what a new draw would do
    one, table = own(place)
    assert not one.own and not kept.trained & classes(table, "test")
    assert kept.evaluated <= classes(table, "test")
    text = " ".join(table.notes)
    assert "the data changed since the run: 8 images more, 0 gone" in text
    assert "2 new classes (a0, a1)" in text and "drawn with seed" not in text


def test_new_pictures_of_a_trained_class_are_not_tested(place):
    kept = own_split.record(place / "run")
    draw(place / "birds", *kept.trained, pictures=1, seed=2)
    _, table = own(place)
    assert not kept.trained & classes(table, "test")


def test_the_run_s_own_figures_stay_when_its_data_change(place, capsys):
    file = place / "run/evaluation/test/report.json"
    first = file.read_bytes()
    draw(place / "birds", "a0", seed=3)
    found = evaluate.run(place / "run", ["workers=0"], as_json=True)
    assert file.read_bytes() == first
    assert any("the data changed" in note for note in found["test"]["notes"])
    assert json.loads(capsys.readouterr().out)["test"]["notes"] == found["test"]["notes"]


def test_a_run_too_old_to_know_says_so(place):
    (place / "run/data.parquet").unlink()
    draw(place / "birds", "a0", seed=4)
    one, table = own(place)
    assert not one.own and "too old to know which rows trained it" in table.notes[-1]


def test_another_data_set_is_measured_whole(place):
    draw(place / "other", "x", "y", "c0")
    kept = own_split.record(place / "run")
    one, table = own(place, f"dataset={place / 'other'}")
    assert isinstance(one, Benchmark) and not one.own and table.splits == ["test"]
    assert any("c0" in note for note in table.notes) == ("c0" in kept.trained)
    _, part = own(place, f"dataset={place / 'other'}", "dataset.test_classes=1")
    assert len(classes(part, "test")) == 1


def test_the_very_files_it_was_trained_on_are_left_out_of_any_data_set(before):
    (one,) = benchmarks(before / "run", [f"dataset={before / 'birds'}"])
    _, table = evaluated_table(before / "run", one)
    assert classes(table, "train") == own_split.record(before / "run").trained
    assert any("16 images left out of the evaluation" in note for note in table.notes)
