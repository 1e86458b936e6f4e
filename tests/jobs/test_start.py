"""Heads that begin as the features are, and weights that go a part of the way from there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import lookalike as la
from lookalike.compose import compose
from lookalike.errors import ConfigError
from lookalike.jobs import train
from lookalike.models import save
from lookalike.runs import Run
from lookalike.training.checks import check
from lookalike.training.start import SHARES, begin_head, mixed, settled

WORDS = [
    "model=conv4", "model.options.width=16", "transform.size=32", "workers=0", "epochs=2",
    "batch_size=16", "sampler.m=2", "model.embedding_size=8", "evaluation.baselines=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three images of each of 44 kinds, a folder a kind."""
    draw = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data") / "photos"
    for kind in range(44):
        base = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        (folder / f"kind{kind:02d}").mkdir(parents=True)
        for number in range(3):
            moved = np.clip(base + draw.integers(-60, 60, base.shape), 0, 255).astype(np.uint8)
            Image.fromarray(moved).resize((36, 36)).save(
                folder / f"kind{kind:02d}" / f"{number}.png"
            )
    return folder


@pytest.fixture(scope="module")
def words(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    model = la.create_model("conv4", pretrained=False, options={"width": 16}, size=32)
    save(model, folder)
    return [*WORDS, f"model.pretrained={folder / 'model.safetensors'}", f"dataset={photos}"]


def trained(words, folder, *more):
    return Run(train.run([*words, f"run={folder}", *more], quiet=True))


# ── the head ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bias", [False, True])
def test_a_head_by_pca_keeps_dot_products_as_well_as_any_of_its_width(bias):
    torch.manual_seed(0)
    options = {"options": {"width": 16}, "embedding_size": 5, "head_bias": bias}
    model = la.create_model("conv4", pretrained=False, **options)
    x = torch.rand(200, 16) @ torch.diag(torch.linspace(3, 0.1, 16))
    begin_head(model, "pca", x)
    y = model.head(x)
    best = torch.linalg.svd(x - x.mean(dim=0) if bias else x)
    rank5 = best.U[:, :5] @ torch.diag(best.S[:5]) @ best.Vh[:5]
    torch.testing.assert_close(y @ y.T, rank5 @ rank5.T, rtol=1e-4, atol=1e-4)


def test_a_head_as_wide_as_the_features_ranks_as_they_do():
    options = {"options": {"width": 16}, "embedding_size": 16, "head_bias": False}
    model = la.create_model("conv4", pretrained=False, **options)
    bare = la.create_model("conv4", pretrained=False, options={"width": 16}, embedding_size=None)
    bare.backbone.load_state_dict(model.backbone.state_dict())
    images = torch.randint(0, 255, (32, 3, 32, 32), dtype=torch.uint8)
    expected = bare.eval()(images)
    for way in ("identity", "pca"):
        begin_head(model, way, model.eval().features(images).detach())
        found = model.eval()(images)
        torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=1e-4, atol=1e-4)
    narrow = la.create_model("conv4", pretrained=False, options={"width": 16}, embedding_size=8)
    with pytest.raises(ConfigError, match="needs model.embedding_size=16"):
        begin_head(narrow, "identity", torch.rand(32, 16))
    with pytest.raises(ConfigError, match="4 training images with 16 features each cannot fill"):
        begin_head(narrow, "pca", torch.rand(4, 16))


@pytest.mark.parametrize(
    ("words", "way"),
    [
        (["model.pretrained=w.pth"], "pca"),
        (["model.pretrained=false"], "random"),
        (["model.pretrained=w.pth", "model.embedding_size=null"], "random"),
        (["recipe=roadmap/cub"], "random"),
        (["model.weights=w.pth"], "random"),
        (["model.pretrained=w.pth", "model.head_init=random"], "random"),
        (["recipe=roadmap/cub", "model.head_init=pca"], "pca"),
    ],
)
def test_which_head_a_run_begins_with(words, way):
    assert settled(compose(words)).model.head_init == way


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model.head_init=pcb"], "Did you mean 'pca'"),
        (["model.head_init=pca", "model.embedding_size=null"], "has no head"),
        (["model.head_init=pca", "model.weights=x.pth"], "brings a head of its own"),
    ],
)
def test_heads_that_cannot_be_are_refused(words, says):
    with pytest.raises(ConfigError, match=says):
        check(compose([*words]))


# ── the way from there ──────────────────────────────────────────────────────────────────────────


def test_a_run_keeps_the_weights_that_serve_held_out_classes_best(words, tmp_path):
    run = trained(words, tmp_path / "x")
    kept = run.read_manifest()["interpolation"]
    values = {float(share): value for share, value in kept["values"].items()}
    assert tuple(values) == SHARES
    assert values[kept["share"]] == max(values.values())
    first, last = la.load(run.start).state_dict(), la.load(run.folder)
    report = json.loads((run.evaluation("val") / "report.json").read_text())
    assert report["values"][kept["metric"]] == pytest.approx(values[kept["share"]])
    assert "of the way from the first to the trained" in run.report.read_text()
    assert "3 of 22 training classes held out as 'val'" in run.read_manifest()["data"]["notes"]
    # Far away, the trained weights are of no use: the run goes back to where it began.
    lost = trained(words, tmp_path / "lost", "optimizer.lr=30", "optimizer.name=sgd")
    share = lost.read_manifest()["interpolation"]["share"]
    assert share < 1
    if share == 0:
        now = la.load(lost.folder).state_dict()
        assert all(torch.equal(now[name], tensor) for name, tensor in first.items())
    assert last.width == 8


def test_a_run_killed_after_it_chose_does_not_choose_again(words, tmp_path, monkeypatch):
    whole = trained(words, tmp_path / "whole", "optimizer.lr=0.01")

    def killed(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("lookalike.training.trainer.write_run_report", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(words, tmp_path / "cut", "optimizer.lr=0.01")
    monkeypatch.undo()
    resumed = Run(train.run([f"run={tmp_path / 'cut'}"], resume=True, quiet=True))
    a, b = (la.load(run.folder).state_dict() for run in (whole, resumed))
    assert all(torch.equal(a[name], b[name]) for name in a)
    one, two = (run.read_manifest()["interpolation"] for run in (whole, resumed))
    assert one == two


def test_it_needs_a_beginning_and_classes_to_judge_by(words, photos, tmp_path):
    scratch = [w for w in words if not w.startswith("model.pretrained")]
    with pytest.raises(ConfigError, match="nothing to go back to"):
        trained([*scratch, "model.pretrained=false"], tmp_path / "a", "interpolate=true")
    few = ["interpolate=true", "dataset.test_classes=0.9", "batch_size=8"]
    with pytest.raises(ConfigError, match="too few to hold some out"):
        trained(words, tmp_path / "b", *few)
    run = trained(words, tmp_path / "c", *few[1:])  # not asked for: it goes without
    assert "interpolation" not in run.read_manifest()


def test_counters_are_not_mixed():
    first, last = {"n": torch.tensor(3)}, {"n": torch.tensor(9)}
    assert mixed(first, last, 0.5)["n"] == 9
