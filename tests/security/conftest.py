"""A stranger's folders: whole and in order, and bearing the mark of somebody else."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.jobs.conftest import toy, trained  # noqa: F401 (fixtures)

BOOM = "tests.security.boom.boom"


@pytest.fixture
def elsewhere(monkeypatch, tmp_path) -> Path:
    """From now on this is another user's machine: no mark made before is theirs."""
    home = tmp_path / "me"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    return home


@pytest.fixture
def unharmed():
    """Fails where the module that no file may name was imported."""
    sys.modules.pop("tests.security.boom", None)
    yield
    assert "tests.security.boom" not in sys.modules


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """A folder of 24 images in three classes."""
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for number in range(24):
        place = folder / f"class{number % 3}" / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(place)
    return folder


@pytest.fixture(scope="session")
def given_index(trained, photos, tmp_path_factory) -> Path:  # noqa: F811
    """An index of the images, which nobody may touch."""
    from lookalike.jobs.index import build

    folder = tmp_path_factory.mktemp("given") / "ix"
    build(trained, str(photos), folder, workers=0)
    return folder


@pytest.fixture
def strange_run(trained, tmp_path, elsewhere) -> Path:  # noqa: F811
    """A run that a stranger sent."""
    return Path(shutil.copytree(trained, tmp_path / "sent" / "run"))


@pytest.fixture
def strange_index(given_index, tmp_path, elsewhere) -> Path:
    """An index that a stranger sent."""
    return Path(shutil.copytree(given_index, tmp_path / "sent" / "ix"))


@pytest.fixture
def vectors() -> tuple[np.ndarray, pd.DataFrame]:
    """Forty unit vectors, and their items."""
    x = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    items = pd.DataFrame({"path": [f"{i}.jpg" for i in range(40)], "label": np.arange(40) % 4})
    return x, items


def edited(file: Path, change) -> None:
    """Change a JSON file by a function of its content."""
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
