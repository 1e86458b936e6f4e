"""Search, measure and embed with a backbone as it is: before any training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import lookalike as la
from lookalike.data.embedding_file import Embeddings
from lookalike.errors import ConfigError, ModelError
from lookalike.jobs import embed, evaluate, search
from lookalike.jobs import index as jobs
from lookalike.models import save

WORDS = ["model.options.width=8", "transform.size=32"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The file of a backbone's weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    save(la.create_model("conv4", pretrained=False, options={"width": 8}, size=32), folder)
    file = folder / "conv4.safetensors"
    (folder / "model.safetensors").rename(file)
    return file


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three images of each of four kinds, a folder a kind."""
    draw = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data") / "photos"
    for kind in range(4):
        (folder / f"kind{kind}").mkdir(parents=True)
        for number in range(3):
            pixels = draw.integers(0, 255, (40, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"kind{kind}" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def model(weights):
    """The same backbone from Python."""
    return la.create_model(
        "conv4", pretrained=weights, embedding_size=None, options={"width": 8}, size=32
    ).eval()


def test_an_index_of_a_backbone_is_searched_with_the_model_it_keeps(
    weights, photos, model, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(photos.parent)
    kept = tmp_path / "w.safetensors"
    kept.write_bytes(weights.read_bytes())
    index = jobs.build(
        "conv4", "photos/", overrides=[f"model.pretrained={kept}", *WORDS], workers=0
    )
    kept.unlink()
    assert index.folder.resolve() == photos.with_name("photos.index").resolve()
    assert "left over: head.bias, head.weight" in capsys.readouterr().out
    vectors = model.encode(index.items["path"].tolist())
    np.testing.assert_allclose(np.asarray(index.vectors), vectors, atol=1e-6)
    search.run(index.folder, [str(photos / "kind1" / "2.png")], top=1)
    assert "kind1/2.png" in capsys.readouterr().out
    python = la.Index.from_images(model, photos, tmp_path / "python.index", workers=0)
    np.testing.assert_array_equal(np.asarray(python.vectors), np.asarray(index.vectors))


def test_a_backbone_is_measured_without_a_head(weights, photos, model, capsys):
    words = [f"model.pretrained={weights}", *WORDS, f"dataset={photos}", "workers=0"]
    found = evaluate.run("conv4", words, over="queries")
    table = la.data.folder(photos, test_classes=1.0)
    vectors = model.encode(table)
    by_hand = la.metrics.evaluate(vectors, table.labels)
    assert found["test"]["values"]["recall_at_1"] == pytest.approx(by_hand["recall_at_1"])
    assert f"weights  {weights}" in capsys.readouterr().out


def test_a_backbone_embeds_a_data_set(weights, photos, model, tmp_path):
    words = [f"model.pretrained={weights}", *WORDS, "workers=0"]
    embed.run("conv4", str(photos), tmp_path / "x.npy", words)
    found = Embeddings.load(tmp_path / "x.npy")
    np.testing.assert_allclose(found.vectors, model.encode(found.rows["path"].tolist()), atol=1e-6)


def test_a_backbone_without_weights_is_the_same_twice(photos, tmp_path):
    words = ["model.pretrained=false", *WORDS]
    first, again = (
        jobs.build("conv4", str(photos), tmp_path / name, overrides=words, workers=0)
        for name in ("a", "b")
    )
    np.testing.assert_array_equal(np.asarray(first.vectors), np.asarray(again.vectors))


def test_what_is_neither_folder_nor_backbone_is_said(photos, tmp_path):
    for name, hint in (("resnt18", "Did you mean 'resnet18'"), ("runs/nothing", "does not exist")):
        with pytest.raises(ModelError, match=hint):
            jobs.build(name, str(photos), tmp_path / "ix")
    save(la.create_model("conv4", pretrained=False, size=32), tmp_path / "model")
    with pytest.raises(ConfigError, match=r"model\.pretrained=x: .*says all of its network"):
        jobs.build(tmp_path / "model", str(photos), tmp_path / "ix", ["model.pretrained=x"])
