"""SmoothAP and SupAP against the originals' numbers and against plain loops."""

import numpy as np
import pytest
import torch
from golden_files import assert_close, cases, load, settings, value_and_gradient

from lookalike.losses import SmoothAP, SupAP
from lookalike.losses.average_precision import average_precision
from lookalike.ops.pair_sums import PairSteps, pair_sums
from lookalike.ops.positives import Positives
from lookalike.ops.ranked_rows import RankedRows
from lookalike.ops.ranks import Steps
from lookalike.ops.row_losses import row_losses_of_scores
from lookalike.ops.steps import Heaviside

SUP = ("tau", "rho", "offset", "delta", "start")


@pytest.mark.parametrize("name", [*map(str, range(6)), "6_unnormalised"])
def test_smooth_ap_is_the_original(name):
    case = load(f"smoothap/smoothap_{name}")
    value, gradient = value_and_gradient(SmoothAP(float(case["tau"]), normalize=False), case, "x")
    assert_close(value, case["loss"], 1e-10)
    assert_close(gradient, case["grad"], 0, atol=1e-10)


@pytest.mark.parametrize("chunk_size", [None, 5])
@pytest.mark.parametrize(
    ("path", "loss"),
    [
        ("suprank/roadmap_smoothap", SmoothAP),
        ("suprank/roadmap_supap", SupAP),
        ("suprank/suprank_smoothap", SmoothAP),
        ("suprank/suprank_supap", SupAP),
    ],
)
def test_rank_losses_are_roadmap_and_suprank(path, loss, chunk_size):
    for _, case in cases(path):
        made = loss(
            **settings(case, *(SUP if loss is SupAP else SUP[:1])),
            level=int(case.get("level", 0)),
            normalize=False,
            chunk_size=chunk_size,
        )
        value, gradient = value_and_gradient(made, case)
        joined = loss is SupAP and np.isnan(case["hp_offset"])  # the original's offset is float32
        assert_close(value, case["loss"], 0, atol=1e-6 if joined else 1e-8)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)
        made.reduction = "none"
        each, _ = value_and_gradient(made, case)
        expected = case.get("ap_per_query", case.get("score_per_query"))
        assert_close(1 - each, expected, 0, atol=1e-6 if joined else 1e-8)


def test_a_batch_without_positives_gives_zero_and_a_gradient_of_zeros():
    x = torch.randn(5, 4, requires_grad=True)
    loss = SmoothAP(include_self=False)
    value = loss(x, torch.arange(5))
    value.backward()
    assert value.item() == 0
    assert x.grad.abs().max() == 0
    assert loss.skipped == 5


def test_ties_are_roadmap():
    steps = {0: Steps.smooth(0.01), 1: Steps.sup(0.01, 100.0, 0.05, 0.5, 1.44)}
    checked = 0
    for _, case in cases("suprank/roadmap_ap_ties_scores"):
        if int(case["kind"]) not in steps:
            continue  # the exact AP, below
        checked += 1
        labels = torch.tensor(case["labels"])
        rows = RankedRows(Positives(labels, labels), steps[int(case["kind"])], average_precision)
        scores = torch.tensor(case["scores"], requires_grad=True)
        weights = torch.full((len(scores),), 1 / len(scores), dtype=torch.float64)
        value = row_losses_of_scores(scores, rows, weights)
        value.backward()
        assert_close(value.item(), case["loss"], 0, atol=1e-8)
        assert_close(scores.grad.numpy(), case["grad_scores"], 1e-6, atol=1e-14)
        assert_close(1 - rows(scores.detach().clone(), 0, None), case["ap_per_query"], 0, atol=1e-8)
    assert checked == 6


def exact_ap(scores, matches):
    """AP of Heaviside ranks, a tie counting against the item, by the kernel of positives."""
    exact = PairSteps(Heaviside(), Heaviside(), Heaviside())
    real = matches.double()
    rank = 1 + pair_sums(scores, torch.ones_like(real), None, exact)
    among = real + pair_sums(scores, real, None, exact)
    return (real * among / rank).sum(1) / real.sum(1)


def test_exact_ap_is_roadmaps_and_the_limit_of_ours():
    for _, case in cases("suprank/roadmap_heavisideap"):
        x, y = torch.tensor(case["embeddings"]), torch.tensor(case["labels"])
        against = {}
        if "ref_embeddings" in case:
            against = {
                "ref_emb": torch.tensor(case["ref_embeddings"]),
                "ref_labels": torch.tensor(case["ref_labels"]),
            }
        matches = y == against.get("ref_labels", y)[:, 0]
        exact = exact_ap(x @ against.get("ref_emb", x).T, matches)
        assert_close(exact.numpy(), case["ap_per_query"], 0, atol=1e-12)
        assert_close(1 - exact.mean(), case["loss"], 0, atol=1e-12)
        for limit in (
            SmoothAP(tau=1e-13),
            SupAP(tau=1e-13, rho=0.0, delta=None, start=0.0, offset=1),
        ):
            # The sigmoid makes half a step of a tie, and there is none here.
            assert_close(limit(x, y, **against), case["loss"], 0, atol=1e-8)
    ties = [c for _, c in cases("suprank/roadmap_ap_ties_scores") if int(c["kind"]) == 2]
    assert len(ties) == 3
    for case in ties:
        scores, y = torch.tensor(case["scores"]), torch.tensor(case["labels"])
        assert_close(exact_ap(scores, y == y[:, 0]).numpy(), case["ap_per_query"], 0, atol=1e-12)


def test_score_gradients_are_roadmap():
    for path, kind in (("suprank/roadmap_smoothap", "smooth"), ("suprank/roadmap_supap", "sup")):
        for _, case in cases(path):
            if "ref_embeddings" in case:
                continue
            steps = Steps.smooth(float(case["hp_tau"]))
            if kind == "sup":
                steps = Steps.sup(**settings(case, *SUP))
            labels = torch.tensor(case["labels"])
            x = torch.tensor(case["embeddings"])
            scores = (x @ x.T).requires_grad_()
            weights = torch.full((len(x),), 1 / len(x), dtype=torch.float64)
            rows = RankedRows(Positives(labels, labels), steps, average_precision)
            row_losses_of_scores(scores, rows, weights).backward()
            assert_close(scores.grad.numpy(), case["grad_scores"], 1e-6, atol=1e-14)
