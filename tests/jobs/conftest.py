from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.jobs import train

TOY = [
    "dataset=toy",
    "dataset.families=2",
    "dataset.genera=1",
    "dataset.species=6",
    "dataset.pictures=6",
    "dataset.size=32",
    "transform=figure",
    "transform.size=32",
    "model=conv4",
    "model.options.width=8",
    "model.embedding_size=8",
    "batch_size=8",
    "sampler.m=2",
    "sampler.batches=5",
    "epochs=3",
    "workers=0",
    "optimizer.lr=0.003",
]


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> list[str]:
    """The overrides of a run that takes seconds."""
    return [*TOY, f"dataset.root={tmp_path_factory.mktemp('toy')}"]


@pytest.fixture(scope="session")
def trained(toy, tmp_path_factory) -> Path:
    """A finished run folder, which nobody may touch."""
    folder = tmp_path_factory.mktemp("runs") / "toy"
    return train.run([*toy, f"run={folder}"], quiet=True)


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory) -> Path:
    """A copy of it for the tests of one file, who may leave evaluations in it."""
    return Path(shutil.copytree(trained, tmp_path_factory.mktemp("run") / "toy"))


@pytest.fixture(scope="session")
def kinds(tmp_path_factory) -> Path:
    """Four images of each of eight kinds, a folder a kind; nobody may touch it."""
    draw = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data") / "photos"
    for kind in range(8):
        base = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        (folder / f"kind{kind}").mkdir(parents=True)
        for number in range(4):
            moved = np.clip(base + draw.integers(-90, 90, base.shape), 0, 255).astype(np.uint8)
            Image.fromarray(moved).resize((40, 40)).save(folder / f"kind{kind}" / f"{number}.png")
    return folder
