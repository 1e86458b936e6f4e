"""A head on a frozen backbone: each image passes it once, to the figures of the long way."""

from __future__ import annotations

import json

import pytest
import torch

import lookalike as la
from lookalike.compose import compose
from lookalike.errors import ConfigError, Interrupted
from lookalike.jobs import evaluate, train
from lookalike.models import save
from lookalike.runs import Run
from lookalike.training.checks import check
from lookalike.training.frozen import FrozenBackbone

# No augmentation: the training view is the whole image squeezed, as evaluation has it.
WORDS = [
    "model=conv4", "model.options.width=8", "transform=photo", "transform.size=32",
    "transform.train={scale:null,flip:0.0}", "transform.evaluation.crop=false", "workers=0",
    "epochs=3", "batch_size=8", "sampler.m=2", "model.embedding_size=6", "optimizer.lr=0.05",
    "optimizer.freeze=[backbone]", "evaluation.baselines=false", "evaluation.batch_size=7",
]  # fmt: skip


@pytest.fixture(scope="module")
def words(kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    model = la.create_model("conv4", pretrained=False, options={"width": 8}, size=32)
    model.train()(torch.rand(64, 3, 32, 32) * 255)  # statistics that a training mode would move
    save(model, folder)
    return [*WORDS, f"model.pretrained={folder / 'model.safetensors'}", f"dataset={kinds}"]


def trained(words, folder, *more):
    return Run(train.run([*words, f"run={folder}", *more], quiet=True))


def weights(run):
    return la.load(run.folder).state_dict()


@pytest.mark.parametrize("pool", ["avg", "gem"])
def test_it_equals_the_run_that_embeds_every_step(words, tmp_path, pool):
    once = trained(words, tmp_path / "once", f"model.pool={pool}")
    anew = trained(words, tmp_path / "anew", f"model.pool={pool}", "views=0")
    a, b = weights(once), weights(anew)
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5, msg=name)
    started = la.load(once.start).state_dict()
    for name, tensor in started.items():
        same = torch.equal(tensor, a[name])
        assert same == name.startswith("backbone"), name  # statistics of batch norm included
    report = [json.loads((r.evaluation("test") / "report.json").read_text()) for r in (once, anew)]
    assert report[0]["values"] == pytest.approx(report[1]["values"], abs=1e-6)
    losses = [[row["loss"] for row in r.history() if row["kind"] == "train"] for r in (once, anew)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert not (once.folder / "features").exists()
    again = evaluate.run(once.folder, ["workers=0"])  # the whole embedder, from its images
    assert again["test"]["values"] == pytest.approx(report[0]["values"], abs=1e-6)


def test_a_killed_run_goes_on_with_the_features_it_had_and_ends_with_the_same_bits(
    words, tmp_path, monkeypatch
):
    augmented = [w for w in words if not w.startswith("transform.train")]
    whole = trained(augmented, tmp_path / "whole", "views=3")
    seen: list[int] = []
    original = FrozenBackbone._pass

    def counted(self, loader, rows):
        for part in original(self, loader, rows):
            seen.append(len(part.rows))
            if len(seen) == 4:  # in the middle of the second view
                raise Interrupted
            yield part

    monkeypatch.setattr(FrozenBackbone, "_pass", counted)
    monkeypatch.setattr("lookalike.models.embedding_store.SECONDS", 0.0)
    monkeypatch.setattr(
        "lookalike.models.embedding_store.EmbeddingStore.__init__.__defaults__", (0.0,)
    )
    with pytest.raises(Interrupted):
        trained(augmented, tmp_path / "cut", "views=3")
    resumed = Run(train.run([f"run={tmp_path / 'cut'}"], resume=True, quiet=True))
    assert sum(seen) < 2 * 16 * 3 + 16  # what was embedded was not embedded again
    a, b = weights(whole), weights(resumed)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_views_are_drawn_anew_and_kept_for_other_runs(words, tmp_path, monkeypatch):
    augmented = [w for w in words if not w.startswith("transform.train")]
    cache = f"feature_cache={tmp_path / 'cache'}"
    first = trained(augmented, tmp_path / "a", "views=2", cache)

    def refused(*_):
        raise AssertionError("an image passed the backbone again")

    monkeypatch.setattr(
        FrozenBackbone, "_pass", lambda self, loader, rows: refused() if len(loader) else iter(())
    )
    again = trained(augmented, tmp_path / "b", "views=2", cache)
    a, b = weights(first), weights(again)
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["views=2"], r"views=2: only a frozen backbone"),
        (["feature_cache=x"], r"feature_cache=x: it keeps the features of a frozen backbone"),
        (["optimizer.freeze_epochs=2"], r"say what stands still meanwhile"),
        (["optimizer.freeze=[backbone,pool,head,loss]"], r"nothing is left to train"),
        (["optimizer.freeze=[backbon]"], r"no such group.*backbone"),
    ],
)
def test_what_does_not_go_together_is_said(words, says):
    with pytest.raises(ConfigError, match=says):
        check(compose([*words, "model.pretrained=false"]))
