"""The verbs of search on an index whose vectors live in a server, from images to an answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import lookalike
from lookalike.errors import ConfigError, RunError
from lookalike.jobs import index as jobs
from lookalike.jobs import index_changes as changes
from lookalike.jobs import search
from lookalike.models import weights


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    made = lookalike.create_model(
        "conv4", pretrained=False, embedding_size=8, size=32, options={"width": 8}
    )
    weights.save(made, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def photos(tmp_path):
    draw = np.random.default_rng(0)
    for number in range(8):
        folder = tmp_path / "photos" / f"kind{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(folder / f"{number}.png")
    return tmp_path / "photos"


def test_from_pictures_to_an_answer(model, photos, tmp_path, postgres, capsys):
    local = jobs.build(model, str(photos), tmp_path / "local", workers=0)
    options = {"engine": "pgvector", "server": postgres, "workers": 0}
    index = jobs.build(
        model, str(photos), tmp_path / "ix", engine_options=["index=hnsw", "links=8"], **options
    )
    picture = sorted(photos.rglob("*.png"))[2]

    def answers(**asked):
        return [search.run(folder, [picture], **asked) for folder in (local.folder, index.folder)]

    for asked in ({}, {"where": ["label=kind1"]}, {"rerank": "k_reciprocal"}, {"min_score": 0.5}):
        expected, found = answers(**asked)
        assert found == expected
    Image.new("RGB", (50, 50), (0, 250, 0)).save(photos / "new.png")
    picture.unlink()
    picture = sorted(photos.rglob("*.png"))[4]
    for folder in (local.folder, index.folder):
        changes.update(folder, workers=0)
        changes.remove(folder, ["#0"])
    expected, found = answers()
    assert found == expected
    jobs.verify(index.folder)
    jobs.info(index.folder)
    said = capsys.readouterr().out
    assert "7 images, 6 files as written, the vectors in the server as sent" in said
    assert "engine    pgvector (index hnsw, links 8, construction 64, search 64)" in said
    assert f"table {index.manifest['server']['table']}" in said
    with pytest.raises(RunError, match="--overwrite"):
        jobs.build(model, str(photos), index.folder, **options)


def test_an_engine_that_cannot_be_is_refused_before_the_embedding(model, photos, tmp_path):
    for options, words in (
        ({"engine": "hsnw"}, "Did you mean 'hnsw'"),
        ({"engine": "ivfpq"}, "at least 256"),
        ({"engine": "hnsw", "engine_options": ["links"]}, "write NAME=VALUE"),
        ({"engine": "hnsw", "engine_options": ["links=0"]}, "above 0"),
        ({"engine": "pgvector", "server": "host=127.0.0.1 port=1"}, "Cannot reach"),
    ):
        with pytest.raises((ConfigError, RunError), match=words):
            jobs.build(model, str(photos), tmp_path / "ix", workers=0, **options)
        assert not (tmp_path / "ix").exists()
