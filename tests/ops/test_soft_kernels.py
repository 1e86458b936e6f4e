"""The kernels of the soft ranks, native and torch, against plain loops."""

import math

import pytest
import torch

from lookalike.ops import native_kernels, paths
from lookalike.ops.histograms import Bins, histogram, histogram_slopes_
from lookalike.ops.pair_sums import PairSteps, pair_sums
from lookalike.ops.row_losses import add_transpose_
from lookalike.ops.step_sums import step_slopes_, step_sums, torch_slopes_, torch_sums
from lookalike.ops.steps import Heaviside, LowerBound, SoftStep
from lookalike.ops.tie_counts import count_above, mix_above_
from on_device import device

FACES = ["0", *(paths._instruction_sets() if device().type == "cpu" else ())]
STEPS = {
    "sigmoid": SoftStep(0.1),
    "joined": SoftStep.upper_bound(0.1, 100.0, 0.05, 0.5, None),
    "published": SoftStep.upper_bound(0.1, 100.0, 0.05, 0.5, 1.44),
    "line from 0": SoftStep.upper_bound(0.05, 10.0, None, 0.5, 0.9),
    "no line": SoftStep.upper_bound(0.1, 100.0, math.inf, 0.5, None),
}
LOWER = LowerBound(25.0, 0.5, 10.0)
PAIRS = {
    "smooth": PairSteps(STEPS["sigmoid"], STEPS["sigmoid"], STEPS["sigmoid"]),
    "sup": PairSteps(STEPS["published"], Heaviside(), Heaviside()),
    "h-rank": PairSteps(Heaviside(), Heaviside(), LOWER),
    "exact": PairSteps(Heaviside(), Heaviside(), Heaviside()),
}


@pytest.fixture(params=FACES)
def face(request, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_NATIVE", request.param)
    return request.param


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain_step(step, x):
    near = 1 / (1 + math.exp(-max(min(x / step.tau, 700), -700)))
    if x > step.delta:
        return step.rho * (x - step.delta) + step.offset
    return near + (step.start if x > 0 else 0)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_its_three_pieces_and_the_slope_its_derivative(name):
    step = STEPS[name]
    x = torch.tensor(
        [-9.0, -0.3, -1e-9, 0.0, 1e-9, 0.02, 0.05, 0.051, 0.4, 9.0], dtype=torch.float64
    )
    expected = torch.tensor([plain_step(step, v) for v in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(step(x), expected, rtol=1e-12, atol=1e-12)
    h = 1e-7
    inside = x[(x.abs() > 2 * h) & ((x - step.delta).abs() > 2 * h)]
    difference = (step(inside + h) - step(inside - h)) / (2 * h)
    torch.testing.assert_close(step.slope(inside), difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("shape", [(3, 1, 1), (5, 17, 3), (4, 1100, 2), (2, 513, 20)])
def test_sums_and_slopes_are_those_of_plain_torch_in_double(face, name, shape):
    queries, width, depth = shape
    step = STEPS[name]
    scores, pivots, weights = rows(queries, width) * 0.3, rows(queries, depth), rows(queries, depth)
    scores[0, 0] = -math.inf
    pivots[-1, -1] = math.inf
    weights[-1, -1] = 0
    exact = scores.double()
    sums = torch_sums(exact, pivots.double(), step)
    torch.testing.assert_close(step_sums(scores, pivots, step).double(), sums, rtol=2e-6, atol=1e-5)
    totals = torch_slopes_(exact, pivots.double(), weights.double(), step)
    ours = step_slopes_(scores, pivots, weights, step)
    torch.testing.assert_close(ours.double(), totals, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(scores.double(), exact, rtol=1e-5, atol=1e-4)
    assert ours[-1, -1] < 1e-30


@pytest.mark.parametrize("name", STEPS)
def test_torch_sums_are_plain_loops(name):
    step = STEPS[name]
    scores, pivots = rows(3, 8).double() * 0.2, rows(3, 2, seed=1).double() * 0.2
    sums = torch_sums(scores, pivots, step)
    for b in range(3):
        for p in range(2):
            terms = (plain_step(step, float(s - pivots[b, p])) for s in scores[b])
            assert sums[b, p].item() == pytest.approx(sum(terms), rel=1e-12)


def test_far_scores_give_nothing_and_no_more(face):
    scores = torch.full((1, 2000), -1.0)
    scores[0, 1999] = 0.995
    sums = step_sums(scores, torch.ones(1, 1), SoftStep(0.01))
    assert sums.item() == pytest.approx(1 / (1 + math.exp(0.5)), rel=1e-4)


@pytest.mark.parametrize("graded", [True, False])
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("depth", [1, 3, 16, 37])
def test_pair_sums_are_plain_loops(face, name, graded, depth):
    steps = PAIRS[name]
    # A grid with ties, none of whose steps ends where a piece of a step does.
    pivots = (rows(2, depth) * 5).round() * 0.03
    weight = rows(2, depth, seed=1).abs()
    weight[1, -1] = 0
    level = torch.randint(1, 4, (2, depth), generator=torch.Generator().manual_seed(2)).float()
    level = level if graded else None
    leaf = pivots.clone().requires_grad_()
    sums = pair_sums(leaf, weight, level, steps)
    for b in range(2):
        for i in range(depth):
            total = 0.0
            for j in range(depth):
                if i == j:
                    continue
                step = steps.peer
                if graded and level[b, j] != level[b, i]:
                    step = steps.lower if level[b, j] < level[b, i] else steps.better
                push = step((pivots[b, j] - pivots[b, i]).double())
                total += float(push) * float(min(weight[b, i], weight[b, j]))
            assert sums[b, i].item() == pytest.approx(total, rel=1e-5, abs=1e-5)
    if steps.has_slope(graded):
        by_sum = rows(2, depth, seed=3)
        (slopes,) = torch.autograd.grad(sums, leaf, by_sum)
        exact = pivots.double().requires_grad_()
        level = None if level is None else level.double()
        (expected,) = torch.autograd.grad(
            pair_sums(exact, weight.double(), level, steps), exact, by_sum.double()
        )
        torch.testing.assert_close(slopes.double(), expected, rtol=1e-5, atol=1e-4)
    else:
        assert not sums.requires_grad


@pytest.mark.parametrize("name", ["smooth", "sup", "h-rank"])
def test_pair_slopes_are_derivatives(name):
    pivots = rows(2, 6).double() * 0.2
    level = torch.tensor([[1, 1, 2, 2, 3, 1], [3, 2, 1, 1, 1, 1]]).double()
    weight = rows(2, 6, seed=1).double().abs()

    def sums(pivots):
        return pair_sums(pivots, weight, level, PAIRS[name])

    assert torch.autograd.gradcheck(sums, pivots.requires_grad_())


def test_a_histogram_shares_each_score_between_two_bins(face):
    bins = Bins(5, -1.0, 1.0)
    scores = torch.tensor([[1.0, 0.75, 0.0, -0.25, -1.0], [2.0, -3.0, -math.inf, 0.5, 0.6]])
    expected = torch.tensor([[1.5, 0.5, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0, 2.0]])
    expected[0, 2:4] += torch.tensor([0.5, 0.5])
    expected[1, 0:2] += torch.tensor([0.2, 0.8])
    torch.testing.assert_close(histogram(scores, bins), expected)
    keep = torch.tensor([[True, False, True, False, True], [True, True, False, False, False]])
    kept = torch.tensor([[1.0, 0, 1, 0, 1], [1, 0, 0, 0, 1]])
    torch.testing.assert_close(histogram(scores, bins, keep), kept)


@pytest.mark.parametrize("number", [2, 11, 100, 300])
def test_histograms_and_their_slopes_are_those_of_torch_in_double(face, number, monkeypatch):
    bins = Bins(number, -1.0, 1.0)
    scores, by_bin = rows(3, 3000) * 0.5, rows(3, number, seed=1)
    exact = scores.double()
    torch.testing.assert_close(
        histogram(scores, bins).double(), histogram(exact, bins), rtol=1e-5, atol=1e-3
    )
    histogram_slopes_(exact, bins, by_bin.double())
    ours = histogram_slopes_(scores, bins, by_bin)
    # A score within rounding of a centre may take the slope of either side.
    wrong = (ours.double() - exact).abs() > 1e-3 * exact.abs().max()
    assert wrong.float().mean() < 1e-3


def test_histogram_slopes_are_derivatives():
    bins = Bins(7, -1.0, 1.0)
    scores, by_bin = rows(2, 30).double() * 0.6, rows(2, 7, seed=1).double()
    slopes = histogram_slopes_(scores.clone(), bins, by_bin)
    h = 1e-7
    for b, j in [(0, 0), (0, 7), (1, 3), (1, 29)]:
        ends = []
        for sign in (1, -1):
            moved = scores.clone()
            moved[b, j] += sign * h
            ends.append((histogram(moved, bins) * by_bin).sum())
        assert slopes[b, j].item() == pytest.approx(float(ends[0] - ends[1]) / (2 * h), abs=1e-5)


@pytest.mark.parametrize("size", [1, 63, 64, 200, 1030])
def test_a_square_gains_its_transpose(face, size):
    square = rows(size, size)
    expected = square + square.T
    assert torch.equal(add_transpose_(square.clone()), expected)


def test_counts_above_a_pivot_share_ties():
    scores = torch.tensor([[3.0, 2.0, 2.0, 1.0, -math.inf]])
    pivots = torch.tensor([[2.0, 0.0, 5.0, math.inf]])
    assert count_above(scores, pivots).tolist() == [[2.0, 4.0, 0.0, 0.0]]
    keep = torch.tensor([[False, True, True, True, True]])
    assert count_above(scores, pivots, keep).tolist() == [[1.0, 3.0, 0.0, 0.0]]
    mixed = mix_above_(scores, pivots[:, :2], torch.tensor([[10.0, 1.0]]))
    assert mixed.tolist() == [[11.0, 6.0, 6.0, 1.0, 0.0]]


@pytest.mark.skipif(len(FACES) == 1, reason="the native library is not built")
@pytest.mark.cpu("native kernels")
def test_threads_change_no_bit():
    scores, pivots = rows(64, 4096) * 0.3, rows(64, 4)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(native_kernels.step_sums(scores, pivots, STEPS["published"]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)
