"""The recipes on real photographs: what they promise, and a miniature of one."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from lookalike.compose import compose
from lookalike.jobs import train
from lookalike.runs import Run

NAMES = ("cars", "cub", "flowers", "grocery")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_chosen_on_held_out_classes_and_shows_its_baselines(name):
    config = compose([f"recipe=photos/{name}", "data_root=DATA"])
    assert config.dataset["hold_out"] > 0
    assert config.interpolate and config.evaluation.baselines
    assert config.evaluation.select is None  # the validation classes, never the test
    assert config.model.head_init == "pca" and not config.optimizer.freeze
    assert config.model.pretrained == "DATA/weights/tf_efficientnet_lite0.safetensors"
    other = compose([f"recipe=photos/{name}", "model.pretrained=mine.pth"])
    assert other.model.pretrained == "mine.pth"


@pytest.mark.slow
def test_flowers_in_miniature(data_root, tmp_path):
    """24 kinds to train on, 4 unseen, four photos each at 32 pixels."""
    source = data_root / "flowers102_part"
    if not (data_root / "weights" / "tf_efficientnet_lite0.safetensors").is_file():
        pytest.skip("no pretrained weights beside the data")
    if not (source / "labels.csv").is_file():
        pytest.skip("the flowers are absent")
    rows = pd.read_csv(source / "labels.csv")
    rows = rows[rows.groupby("label").cumcount() < 4]
    some = [rows[rows["split"] == split] for split in ("train", "test")]
    kept = [
        part[part["label"].isin(part["label"].unique()[:n])]
        for part, n in zip(some, (24, 4), strict=True)
    ]
    pd.concat(kept).to_csv(tmp_path / "labels.csv", index=False)
    words = [
        "recipe=photos/flowers", f"data_root={data_root}",
        f"dataset.root={tmp_path / 'labels.csv'}",
        f"dataset.pictures={source}", "transform.size=32", "epochs=1", "batch_size=16", "workers=0",
        "model.embedding_size=32", f"run={tmp_path / 'x'}",
    ]  # fmt: skip
    run = Run(train.run(words, quiet=True))
    kept_baselines = json.loads((run.evaluation("test") / "baselines.json").read_text())
    assert {"raw pixels", "untrained network", "frozen backbone"} <= kept_baselines.keys()
    assert (
        json.loads((run.evaluation("test") / "verdict.json").read_text())["baseline"]
        == "frozen backbone"
    )
    assert run.read_manifest()["interpolation"]["share"] in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert run.read_manifest()["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
