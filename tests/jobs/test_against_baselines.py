"""What needs no training stands beside what was trained, and the run says who won."""

from __future__ import annotations

import json

import pytest
import torch

import lookalike as la
from lookalike.evaluation.verdict import Verdict, advice
from lookalike.jobs import evaluate, train
from lookalike.metrics.compare import Difference
from lookalike.models import save
from lookalike.runs import Run

WORDS = [
    "model=conv4", "model.options.width=8", "transform.size=32", "workers=0", "epochs=1",
    "batch_size=8", "sampler.m=2", "model.embedding_size=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(3)
    save(la.create_model("conv4", pretrained=False, options={"width": 8}, size=32), folder)
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def run(kinds, weights, tmp_path_factory):
    words = [f"model.pretrained={weights}", f"dataset={kinds}"]
    folder = tmp_path_factory.mktemp("runs") / "x"
    return Run(train.run([*WORDS, *words, f"run={folder}"], quiet=True))


def test_a_folder_has_its_baselines_by_itself_and_the_backbone_as_it_was(run, kinds, weights):
    kept = json.loads((run.evaluation("test") / "baselines.json").read_text())
    assert [*kept] == ["raw pixels", "colour histogram", "untrained network", "frozen backbone"]
    model = la.create_model(
        "conv4", pretrained=weights, embedding_size=None, options={"width": 8}, size=32
    ).eval()
    rows = la.data.folder(kinds).split("test")
    by_hand = la.metrics.evaluate(model.encode(rows), rows.labels)
    for name in ("recall_at_1", "mean_average_precision_at_r"):
        assert kept["frozen backbone"][name] == pytest.approx(by_hand[name], abs=1e-9)
    started = la.load(run.start)
    assert torch.equal(started.backbone[0].weight, model.backbone[0].weight)


def test_the_report_says_whether_training_beat_the_backbone(run):
    verdict = json.loads((run.evaluation("test") / "verdict.json").read_text())
    assert verdict["baseline"] == "frozen backbone"
    found = verdict["differences"]["recall_at_1"]
    assert found["low"] <= found["difference"] <= found["high"]
    page = run.report.read_text()
    assert any(words in page for words in ("Training beat", "Training lost", "cannot be told"))


def test_evaluate_shows_the_baselines_that_the_run_kept_and_measures_others(run, kinds, capsys):
    own = evaluate.run(run.folder, ["workers=0"])
    assert "frozen backbone" in own["test"]["baselines"]
    without = evaluate.run(run.folder, ["workers=0", "evaluation.baselines=false"])
    assert "baselines" not in without["test"]
    other = evaluate.run(run.folder, [f"dataset={kinds}", "dataset.seed=1", "workers=0"])
    assert other["test"]["verdict"]["baseline"] == "frozen backbone"
    assert "frozen" in capsys.readouterr().out


def test_a_named_data_set_has_baselines_only_on_request(tmp_path):
    from lookalike.compose import compose
    from lookalike.evaluation.baselines import wanted

    assert not wanted(compose(["dataset=toy"]))
    assert wanted(compose(["dataset=toy", "evaluation.baselines=true"]))
    assert wanted(compose([f"dataset={tmp_path}"]))
    assert not wanted(compose([f"dataset={tmp_path}", "evaluation.baselines=false"]))


@pytest.mark.parametrize(
    ("ends", "outcome", "says"),
    [
        ([(0.01, 0.03), (-0.01, 0.02)], "better", "Training beat the frozen backbone"),
        ([(-0.03, -0.01), (-0.02, 0.01)], "worse", "Training lost to the frozen backbone"),
        ([(-0.03, -0.01), (0.01, 0.02)], "mixed", "beat the frozen backbone in one figure"),
        ([(-0.03, 0.01), (-0.01, 0.02)], "unclear", "cannot be told from the frozen backbone"),
    ],
)
def test_a_verdict_is_what_its_intervals_say(ends, outcome, says):
    from lookalike.compose import compose

    names = ("recall_at_1", "mean_average_precision_at_r")
    found = {
        name: Difference(0.5, 0.5 + (a + b) / 2, (a + b) / 2, a, b, 0.1, 9, 4, 3)
        for name, (a, b) in zip(names, ends, strict=True)
    }
    verdict = Verdict("frozen backbone", found, ["label"])
    assert verdict.outcome == outcome
    assert says in str(verdict)
    assert bool(advice(verdict, compose())) == (outcome != "better")
    assert not any("backbone" in words for words in advice(verdict, compose(["model=vectors"])))
