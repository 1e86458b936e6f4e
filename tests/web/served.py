"""An index to serve, and an application over it with its service at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

import torch
from starlette.testclient import TestClient

import lookalike
from lookalike.jobs import index as jobs
from lookalike.models import weights
from lookalike.search.encoders import own_encoder
from lookalike.web.app import create_app
from lookalike.web.service import Service
from lookalike.web.settings import Settings


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Four images of each of five kinds; one label would be a script if it were not escaped."""
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


class Site:
    """An application with its service at hand."""

    def __init__(self, folder, **options):
        settings = Settings(**({"rate": 1e6, "max_pixels": 1_000_000} | options))

        def make(timed):
            self.service = Service(folder, own_encoder, settings, timed)
            return self.service

        self.settings, self.app = settings, create_app(make, settings)
        self.client = TestClient(
            self.app, base_url="http://127.0.0.1", raise_server_exceptions=False
        )

    def __enter__(self):
        self.client.__enter__()
        self.service.load()
        return self

    def __exit__(self, *error):
        self.client.__exit__(*error)

    def search(self, *pictures, **form):
        files = [("picture", ("q.png", data, "image/png")) for data in pictures]
        return self.client.post("/api/search", data=form, files=files or None)


@pytest.fixture
def site(index):
    with Site(index.folder) as site:
        yield site


@pytest.fixture
def query(index):
    return Path(index.items["path"].iloc[6]).read_bytes()
