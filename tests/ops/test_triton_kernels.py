"""The Triton kernels against plain torch: compiled on a GPU, elsewhere by Triton's interpreter."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from lookalike.ops import paths

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")

CODE = """
import math, os, torch
torch.set_default_device(os.environ["ON"])
from lookalike.losses import SmoothAP, SupAP, SupHAP
from lookalike.ops import paths, step_sums as kernels, triton_kernels
from lookalike.ops.steps import SoftStep
assert paths.status()[1].active
torch.manual_seed(0)
for step in (SoftStep(0.1), SoftStep.upper_bound(0.1, 100.0, 0.05, 0.5, 1.44)):
    for queries, width, depth in ((2, 3, 1), (3, 1500, 6), (2, 1024, 4)):
        scores, pivots = torch.randn(queries, width) * 0.3, torch.randn(queries, depth)
        weights = torch.randn(queries, depth)
        scores[0, 0], pivots[-1, -1], weights[-1, -1] = -math.inf, math.inf, 0
        exact = scores.double()
        sums = kernels.torch_sums(exact, pivots.double(), step)
        ours = kernels.step_sums(scores, pivots, step)
        assert torch.equal(ours, triton_kernels.step_sums(scores, pivots, step))
        torch.testing.assert_close(ours.double(), sums, rtol=2e-6, atol=1e-5)
        totals = kernels.torch_slopes_(exact, pivots.double(), weights.double(), step)
        ours = kernels.step_slopes_(scores, pivots, weights, step)
        torch.testing.assert_close(ours.double(), totals, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(scores.double(), exact, rtol=1e-5, atol=1e-4)
x = torch.randn(24, 8)
y = torch.stack([torch.arange(24) // 4, torch.arange(24) // 8], 1)
for loss in (SmoothAP(), SupAP(), SupHAP()):
    one, two = x.clone().requires_grad_(), x.double().requires_grad_()
    loss(one, y).backward()
    loss(two, y).backward()
    torch.testing.assert_close(one.grad.double(), two.grad, rtol=1e-4, atol=1e-6)
# Counting for exact ranks: ties with the bounds, excluded items, rows that lie apart.
from lookalike.ops import exact_ranks_torch, triton_counts
for kind in (torch.float32, torch.float64):
    scores = torch.randn(3, 2100).mul(4).round().to(kind)[:, :2051]
    scores[:, ::7] = -math.inf
    low = scores[:, 1:6].clone()
    low[1, 3:] = math.inf
    high = low + 1
    above, reach = triton_counts.counts(scores, low, high)
    assert torch.equal(above, (scores[:, None] > high[..., None]).sum(dim=2))
    assert torch.equal(reach, (scores[:, None] >= low[..., None]).sum(dim=2))
    found = exact_ranks_torch._compare(scores, low, high)
    assert torch.equal(found[0], above) and torch.equal(found[1], reach)
import numpy as np
from lookalike.ops.exact_scores import exact_scores
for kind in (torch.float32, torch.float64):
    query, gallery = torch.randn(5, 33).to(kind), torch.randn(7, 33).to(kind)
    rows, items = torch.randint(5, (200,)), torch.randint(7, (200,))
    found = exact_ranks_torch.exact_dots(query, gallery, rows, items)
    exact = exact_scores(*(t.cpu().numpy() for t in (query, gallery, rows, items)))
    assert np.array_equal(found.cpu().numpy(), exact)
for side in (1, 64, 65, 200):
    square = torch.randn(side, side)
    assert torch.equal(triton_kernels.add_transpose_(square.clone()), square + square.T)
# Rows of unit length, one of them too short to be turned.
from lookalike.losses.inputs import unit_rows
x = torch.randn(5, 700) * 3
x[0] *= 1e-20
back = torch.randn(5, 700)
one, two = x.clone().requires_grad_(), x.double().requires_grad_()
for side in (one, two):
    unit_rows(side, 1e-12).backward(back.to(side.dtype))
torch.testing.assert_close(one.grad.double(), two.grad, rtol=1e-5, atol=1e-6)
torch.testing.assert_close(unit_rows(x, 1e-12).double(), unit_rows(x.double(), 1e-12))
# Histograms and counts, of which float64 takes plain torch.
from lookalike.ops.histograms import Bins, histogram, histogram_slopes_
from lookalike.ops.tie_counts import count_above, mix_above_
for number in (2, 11):
    bins, scores = Bins(number, -1.0, 1.0), torch.randn(3, 1100) * 0.6
    scores[0, :3] = torch.tensor([-math.inf, 1.0, 0.0])
    shares = histogram(scores, bins)
    wide = histogram(scores.double(), bins)
    torch.testing.assert_close(shares.double(), wide, rtol=1e-5, atol=1e-4)
    by_bin = torch.randn(3, number)
    wide = histogram_slopes_(scores.double(), bins, by_bin.double())
    near = (scores.double() * bins.density).frac().abs().sub(0.5).abs() < 0.499
    slopes = histogram_slopes_(scores.clone(), bins, by_bin)
    torch.testing.assert_close(slopes.double()[near], wide[near], rtol=1e-5, atol=1e-5)
for depth in (1, 9):
    scores, pivots = (torch.randn(2, n).mul(3).round() for n in (1100, depth))
    weights, wide = torch.randn(2, depth), scores.double()
    scores[0, 0] = wide[0, 0] = -math.inf
    above = count_above(scores, pivots).double()
    torch.testing.assert_close(above, count_above(wide, pivots.double()))
    mix_above_(wide, pivots.double(), weights.double())
    mix_above_(scores, pivots, weights)
    torch.testing.assert_close(scores.double(), wide, rtol=1e-5, atol=1e-5)
# Pairs, and sums over many positives, against plain torch in float64.
from lookalike.ops import line_sums, pair_sums, triton_lines, triton_pairs
from lookalike.ops.steps import Heaviside, LowerBound
soft, exact = SoftStep.upper_bound(0.1, 100.0, 0.05, 0.5, 1.44), Heaviside()
bound = LowerBound(25.0, 0.5, 10.0)
for depth in (1, 5, 70):
    pivots, weight, by = torch.randn(2, depth) * 0.2, torch.rand(2, depth), torch.randn(2, depth)
    pivots[:, ::3] = pivots[:, :1].clone()
    weight[0, -1] = 0
    for level in (None, torch.randint(1, 4, (2, depth)).float()):
        for of in ((soft, exact, exact), (exact, exact, bound), (SoftStep(0.1),) * 3):
            steps = pair_sums.PairSteps(*of)
            wide = [None if t is None else t.double() for t in (pivots, weight, level, by)]
            ours = triton_pairs.pair_sums(pivots, weight, level, steps)
            theirs = pair_sums.torch_pair_sums(*wide[:3], steps)
            torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)
            ours = triton_pairs.pair_slopes(pivots, weight, level, steps, by)
            theirs = pair_sums.torch_pair_slopes(*wide[:3], steps, wide[3])
            torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-4)
cold = SoftStep.upper_bound(0.01, 100.0, 0.05, 0.5, 1.44)

def plain(*arguments):
    # By plain torch, which decides ties of float32 numbers in float32 too.
    kept, paths.triton_suits = paths.triton_suits, lambda scores: False
    found = line_sums.line_sums(line_sums.Points.of(*arguments[:2]), *arguments[2:])
    paths.triton_suits = kept
    return found

for kind, step in ((100, cold), (1e4, SoftStep(0.01)), (100, bound), (100, exact)):
    x, targets = ((torch.randn(2, n) * 0.1 * kind).round() / kind for n in (40, 9))
    x[0, :9], targets[1, -2:] = -math.inf, math.inf
    for weight in (None, torch.rand(2, 40)):
        points = line_sums.Points.of(x, weight)
        for is_slope in (False, True):
            ours = triton_lines.line_sums(points.x, points.weight, targets, step, is_slope)
            theirs = plain(x, weight, targets, step, is_slope)
            torch.testing.assert_close(ours.double(), theirs, rtol=2e-6, atol=1e-5)
print("ok")
"""


@pytest.mark.slow
@pytest.mark.gpu  # there too
@needs_triton
def test_triton_agrees_with_torch():
    on = "cuda" if torch.cuda.is_available() else "cpu"
    how = {"ON": on} | ({} if on == "cuda" else {"TRITON_INTERPRET": "1"})
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | how,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip() == "ok"


def test_triton_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("LOOKALIKE_TRITON", "0")
    assert not paths.status()[1].active
    assert "LOOKALIKE_TRITON=0" in paths.status()[1].reason


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@needs_triton
def test_triton_agrees_with_torch_on_a_gpu(monkeypatch):
    from lookalike.losses import SupAP

    torch.manual_seed(0)
    x, y = torch.randn(512, 64, device="cuda"), torch.arange(512, device="cuda") // 4
    gradients = []
    for setting in ("1", "0"):
        monkeypatch.setenv("LOOKALIKE_TRITON", setting)
        leaf = x.clone().requires_grad_()
        SupAP(offset=1.44)(leaf, y).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("triton", ["0", "1"])
def test_evaluation_on_a_gpu_has_the_bits_of_the_cpu(triton, monkeypatch):
    from lookalike.metrics import evaluate

    monkeypatch.setenv("LOOKALIKE_TRITON", triton)
    torch.manual_seed(0)
    y = torch.stack([torch.arange(600) // 4, torch.arange(600) // 60], dim=1)
    x = torch.randn(600, 48)
    x[300:330] = x[:30]
    there, here = evaluate(x.cuda(), y), evaluate(x.cpu(), y.cpu())
    for name in here.values:
        assert there.per_query[name].tobytes() == here.per_query[name].tobytes(), name
