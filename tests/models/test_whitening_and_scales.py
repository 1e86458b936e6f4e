"""Whitening and several scales: the published numbers, the models that carry them, mistakes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookalike.errors import ConfigError, DataError, NumericsError
from lookalike.models import create_model, load, save
from lookalike.models.pooling import GeM, l2_normalize
from lookalike.models.scales import multi_scale
from lookalike.models.whitening import (
    add_whitening,
    class_pairs,
    learned_whitening,
    pca_whitening,
    whiten,
)


@pytest.fixture(scope="module")
def published(golden):
    with np.load(golden / "raml_pp" / "whitening.npz", allow_pickle=False) as file:
        return dict(file)


def near(ours, theirs, rtol=1e-6):
    """Relative to the largest entry: a matrix with entries near 0 has its own scale."""
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= rtol * np.abs(theirs).max()


@pytest.mark.parametrize("case", [0, 1, 2])
def test_pca_whitening_is_the_published_one(published, case):
    x = published[f"c{case}_X"].T
    mean, projection = pca_whitening(x)
    near(mean, published[f"c{case}_pca_m"][:, 0])
    near(projection.T @ projection, published[f"c{case}_pca_PtP"])
    near(np.abs(projection), np.abs(published[f"c{case}_pca_P"]))  # each row's sign is free
    y = whiten(x, mean, projection)
    near(y @ y.T, published[f"c{case}_pca_Y_gram"])


@pytest.mark.parametrize("case", [0, 1, 2])
def test_learned_whitening_is_the_published_one(published, case):
    x, q, p = (published[f"c{case}_{key}"] for key in ("X", "q", "p"))
    mean, projection = learned_whitening(x.T, q, p)
    # Five pairs in eight dimensions: the third is singular, and its inverse that of the jitter.
    rtol = 1e-6 if case < 2 else 1e-4
    near(mean, published[f"c{case}_lw_m"][:, 0])
    near(projection.T @ projection, published[f"c{case}_lw_PtP"], rtol)
    for size, key in ((None, "Y"), (3, "Y3")):
        y = whiten(x.T, mean, projection, size)
        near(y @ y.T, published[f"c{case}_lw_{key}_gram"], rtol)


def test_whitening_does_what_it_says():
    random = np.random.default_rng(0)
    x = random.standard_normal((200, 6)) @ random.standard_normal((6, 6)) + 3
    mean, projection = pca_whitening(x)
    y = (x - mean) @ projection.T
    np.testing.assert_allclose(y.T @ y / len(y), np.eye(6), atol=1e-10)
    q, p = class_pairs(np.arange(200) // 4)
    mean, projection = learned_whitening(x, q, p)
    noise = (x[q] - x[p]) @ projection.T
    np.testing.assert_allclose(noise.T @ noise / len(q), np.eye(6), atol=1e-10)
    scatter = ((x - mean) @ projection.T).var(axis=0)
    assert (np.diff(scatter) <= 0).all()


def test_directions_without_variance_are_left_out():
    x = np.random.default_rng(1).standard_normal((5, 12))
    _, projection = pca_whitening(x)
    assert projection.shape == (4, 12) and np.isfinite(projection).all()


def test_class_pairs_are_those_of_a_loop():
    labels = np.random.default_rng(2).integers(-1, 12, 40)
    q, p = class_pairs(labels)
    members = {y: np.flatnonzero(labels == y).tolist() for y in set(labels) - {-1}}
    expected = [
        (i, rows[(at + 1) % len(rows)])
        for _, rows in sorted(members.items())
        for at, i in enumerate(rows)
        if len(rows) > 1
    ]
    assert list(zip(q.tolist(), p.tolist(), strict=True)) == expected


def test_a_model_carries_its_whitening(tmp_path):
    torch.manual_seed(0)
    model = create_model("conv4", pretrained=False, embedding_size=8, size=28).eval()
    pictures = np.random.default_rng(3).integers(0, 256, (30, 28, 28, 3), np.uint8)
    before = model.encode(list(pictures))
    mean, projection = learned_whitening(before, *class_pairs(np.arange(30) // 3))
    whitened = add_whitening(model, mean, projection, size=5)
    expected = whiten(before, mean, projection, 5)
    np.testing.assert_allclose(whitened.encode(list(pictures)), expected, atol=1e-4)
    save(whitened, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.width == 5
    np.testing.assert_array_equal(again.encode(list(pictures)), whitened.encode(list(pictures)))
    with pytest.raises(ConfigError, match="a whitening to 5 dimensions already"):
        add_whitening(again, np.zeros(5), np.eye(5))


@pytest.mark.parametrize(("power", "key"), [(1.0, "ms_out_msp1"), (3.0, "ms_out_mspp")])
def test_several_scales_are_the_published_ones(golden, power, key):
    with np.load(golden / "raml_pp" / "gem_pooling.npz", allow_pickle=False) as file:
        x, scales = torch.from_numpy(file["ms_x"]), file["ms_scales"].tolist()
        expected = file[key]
    pool = GeM(3.0)
    with torch.no_grad():
        ours = multi_scale(lambda part: l2_normalize(pool(part)), x, scales, power)
    np.testing.assert_allclose(ours[0].numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(("width", "power"), [(None, 3.0), (8, 1.0)])
def test_a_model_averages_its_own_vectors(width, power):
    torch.manual_seed(0)
    model = create_model("conv4", pretrained=False, pool="gem", embedding_size=width, size=32)
    pictures = list(np.random.default_rng(4).integers(0, 256, (3, 32, 32, 3), np.uint8))
    model.eval()
    prepare = model.transform()
    halves = torch.nn.functional.interpolate(
        torch.stack([prepare(torch.from_numpy(p).permute(2, 0, 1)) for p in pictures]).float(),
        size=(16, 16),
        mode="bilinear",
    )
    with torch.no_grad():
        small = model(halves).numpy()
    mean = ((model.encode(pictures) ** power + small**power) / 2) ** (1 / power)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode(pictures, scales=[1, 0.5]), expected, atol=1e-5)
    np.testing.assert_array_equal(model.encode(pictures, scales=[1]), model.encode(pictures))


def test_mistakes_are_named():
    x = np.random.default_rng(5).standard_normal((6, 3))
    with pytest.raises(DataError, match="4 vectors without a difference"):
        pca_whitening(np.ones((4, 3)))
    with pytest.raises(DataError, match="positive names row 6"):
        learned_whitening(x, [0], [6])
    with pytest.raises(DataError, match="query names 2 rows and positive 1"):
        learned_whitening(x, [0, 1], [2])
    with pytest.raises(DataError, match="of every pair are the same"):
        learned_whitening(x, [0, 1], [0, 1])
    with pytest.raises(NumericsError, match="first in row 1"):
        pca_whitening([[0.0], [np.nan]])
    with pytest.raises(ConfigError, match="1 to 3 dimensions"):
        whiten(x, np.zeros(3), np.eye(3), 4)
    with pytest.raises(DataError, match="3 dimensions, the whitening 2"):
        whiten(x, np.zeros(2), np.eye(2))
    model = create_model("conv4", pretrained=False, embedding_size=4, size=28)
    with pytest.raises(DataError, match="4 wide, the whitening 3"):
        add_whitening(model, np.zeros(3), np.eye(3))
    with pytest.raises(ConfigError, match="give positive factors"):
        model.encode(np.zeros((28, 28, 3), np.uint8), scales=[1, 0])
