from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

import torch
from running_server import start

import lookalike
from lookalike.jobs import index as jobs
from lookalike.models import weights


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Four pictures of each of five kinds; one label would be a script if it were not escaped."""
    draw = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photos")
    for kind in ("fox", "owl", "bat", "elk", "<img src=x onerror=alert(1)>"):
        small = draw.integers(0, 255, (5, 7, 3), dtype=np.uint8)
        (folder / kind).mkdir()
        for number in range(4):
            moved = np.clip(small + draw.integers(-30, 30, small.shape), 0, 255).astype(np.uint8)
            picture = Image.fromarray(moved).resize((96, 72), Image.Resampling.BICUBIC)
            picture.save(folder / kind / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    made = lookalike.create_model(
        "conv4", pretrained=False, embedding_size=8, size=32, options={"width": 8}
    )
    weights.save(made, folder)
    return folder


@pytest.fixture
def index(model, photos, tmp_path):
    return jobs.build(model, str(photos), tmp_path / "ix", workers=0)


@pytest.fixture(scope="session")
def shared_index(model, photos, tmp_path_factory):
    return jobs.build(model, str(photos), tmp_path_factory.mktemp("shared") / "ix", workers=0)


@pytest.fixture(scope="session")
def address(shared_index):
    """A real server over the shared index."""
    process, url = start(shared_index.folder, "--rate", "100000", "--changes")
    yield url
    process.terminate()
    assert process.wait(timeout=20) == 0
