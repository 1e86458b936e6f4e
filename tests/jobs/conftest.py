from __future__ import annotations

import shutil
from pathlib import Path

import pytest

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
