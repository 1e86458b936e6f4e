"""Sums of steps over many points on a line, native and torch, against every pair."""

import math

import numpy as np
import pytest
import torch

from lookalike.ops import line_pairs, line_sums, native_kernels, paths
from lookalike.ops.line_plans import DOUBLE, SINGLE, error_bound, plan
from lookalike.ops.line_sums import Points
from lookalike.ops.pair_sums import PairSteps, pair_sums, torch_pair_slopes, torch_pair_sums
from lookalike.ops.step_sums import step_slopes_, step_sums
from lookalike.ops.steps import Heaviside, LowerBound, SoftStep
from on_device import device

FACES = ["0", *(paths._instruction_sets() if device().type == "cpu" else ())]
STEPS = {
    "sigmoid": SoftStep(0.01),
    "published": SoftStep.upper_bound(0.01, 100.0, 0.05, 0.5, 1.44),
    "iNaturalist": SoftStep.upper_bound(0.01, 100.0, 0.05, 0.0, 1.0),
    "joined": SoftStep.upper_bound(0.1, 100.0, 0.05, 0.5, None),
    "line from 0": SoftStep.upper_bound(0.05, 10.0, None, 0.5, 0.9),
    "no line": SoftStep.upper_bound(0.1, 100.0, math.inf, 0.5, None),
    "cold": SoftStep.upper_bound(0.001, 100.0, 0.05, 0.5, 1.44),
    "warm": SoftStep.upper_bound(1.0, 100.0, 0.05, 0.5, None),
    "a fall": SoftStep(0.01, start=0.5, delta=0.02, rho=-3.0, offset=0.0),
    "a line below 0": SoftStep(0.01, start=0.5, delta=-0.02, rho=3.0, offset=0.4),
}
SCORES = ["spread", "tied", "on the edges", "equal", "far apart", "one", "huge"]


@pytest.fixture(params=FACES)
def face(request, monkeypatch):
    """Every face, by the line from the first pivot on."""
    monkeypatch.setenv("LOOKALIKE_NATIVE", request.param)
    by_line(monkeypatch)
    return request.param


def by_line(monkeypatch, many=1):
    for table in (line_sums.MANY, line_sums.MANY_PAIRS):
        for key in table:
            monkeypatch.setitem(table, key, many)


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scores_of(kind, size, seed=0):
    """Three rows; "on the edges" has differences of exactly delta, and cells that begin there."""
    x = rows(3, size, seed=seed) * 0.15
    return {
        "spread": x,
        "tied": (x * 64).round() / 64,
        "on the edges": (x * 100).round() / 100,
        "equal": torch.full_like(x, 0.3),
        "far apart": x * 3000,
        "one": x[:, :1],
        "huge": x * 1e12,
    }[kind]


def every_pair(step, scores, pivots):
    """``(c, P, M)`` values and slopes; nothing where a score is absent or a pivot is padding."""
    real = torch.isfinite(scores)[:, None, :] & torch.isfinite(pivots)[:, :, None]
    x = (scores[:, None, :] - pivots[:, :, None]).where(real, 0)
    # In the type of the scores, as a step is defined: so are its comparisons.
    return (f(x).double() * real for f in (step, step.slope))


@pytest.mark.parametrize("is_slope", [False, True])
@pytest.mark.parametrize("nodes", [SINGLE, DOUBLE])
def test_interpolation_misses_no_more_than_is_proved_and_not_much_less(nodes, is_slope):
    u = np.linspace(-1, 1, 41)
    powers = np.vander(u, nodes, increasing=True)
    worst = 0.0
    for step in (SoftStep(1.0), SoftStep(1.0, delta=3.3)):
        curve = plan(step, is_slope, nodes).curve
        assert curve is not None
        centres = curve.shift - np.arange(curve.first, curve.first + len(curve.table))
        x = torch.tensor(centres[:, None, None] + (u[:, None] - u) / 2)
        exact = (SoftStep(1.0).slope if is_slope else SoftStep(1.0))(x).numpy()
        found = np.einsum("uk,ekl,vl->euv", powers, curve.table, powers)
        missed = np.abs(found - exact)
        worst = max(worst, missed.max())
        # What is small is missed by little.
        small = (x.numpy() > -15) & (x.numpy() < 0)
        assert (missed[small] / exact[small]).max() < 8 * error_bound(nodes, is_slope) + 1e-13
    assert worst < error_bound(nodes, is_slope) + 1e-14
    if nodes == SINGLE:
        assert worst > error_bound(nodes, is_slope) / 4


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("name", STEPS)
def test_double_is_every_pair_to_twelve_digits(name, kind, monkeypatch):
    by_line(monkeypatch)
    step = STEPS[name]
    scores, pivots, weights = scores_of(kind, 300), scores_of(kind, 90, 1), rows(3, 90, seed=2)
    weights = weights[:, : pivots.shape[1]]
    scores[0, 0], pivots[1, -1], weights[1, -1] = -math.inf, math.inf, 0
    values, slopes = every_pair(step, scores, pivots)
    scale = 1 + values.abs().sum(2)
    assert ((step_sums(scores, pivots, step) - values.sum(2)).abs() / scale).max() < 1e-12
    mixed = scores.clone()
    totals = step_slopes_(mixed, pivots, weights, step)
    most = slopes.abs().sum(2).max() + 1e-300
    assert (totals - slopes.sum(2)).abs().max() / most < 1e-12
    expected = (slopes * weights[:, :, None]).sum(1)
    most = (slopes * weights[:, :, None]).abs().sum(1).max() + 1e-300
    assert (mixed - expected).abs().max() / most < 1e-12


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("name", STEPS)
def test_single_is_every_pair_in_double_as_closely_as_pair_by_pair(face, name, kind, monkeypatch):
    step = STEPS[name]
    scores, pivots = scores_of(kind, 700).float(), scores_of(kind, 170, 1).float()
    weights = rows(3, 170, seed=2).float()[:, : pivots.shape[1]]
    scores[0, 0], pivots[1, -1], weights[1, -1] = -math.inf, math.inf, 0
    values, slopes = every_pair(step, scores, pivots)
    # Sums of 700 floats, each exact to 1e-7 of its largest part; Triton adds them up in float32.
    near = 1e-6 if device().type == "cpu" else 4e-6
    scale = 1 + values.abs().sum(2)
    assert ((step_sums(scores, pivots, step) - values.sum(2)).abs() / scale).max() < near
    mixed = scores.clone()
    totals = step_slopes_(mixed, pivots, weights, step)
    assert (totals - slopes.sum(2)).abs().max() <= near * slopes.abs().sum(2).max() + 1e-10
    parts = slopes * weights[:, :, None]
    assert (mixed - parts.sum(1)).abs().max() <= near * parts.abs().sum(1).max() + 1e-10


def test_points_that_do_not_count_stay_at_the_ends_of_their_line():
    x = torch.tensor([[math.inf, 3.0, 1.0, -math.inf], [-math.inf] * 4, [2.0, 1.0, 0.0, -1.0]])
    found, weight = line_sums.Points(x, None).rows(slice(None))
    assert found.tolist() == [[3.0, 3.0, 1.0, 1.0], [0.0] * 4, [2.0, 1.0, 0.0, -1.0]]
    assert weight.tolist() == [[0.0, 1.0, 1.0, 0.0], [0.0] * 4, [1.0] * 4]


PAIRS = {
    "smooth": PairSteps(STEPS["sigmoid"], STEPS["sigmoid"], STEPS["sigmoid"]),
    "sup": PairSteps(STEPS["published"], Heaviside(), Heaviside()),
    "H-rank": PairSteps(Heaviside(), Heaviside(), LowerBound(25.0, 0.5, 10.0)),
    "H-rank of 1": PairSteps(STEPS["sigmoid"], STEPS["sigmoid"], LowerBound(25.0, 1.5, 10.0)),
    "falling bound": PairSteps(Heaviside(), Heaviside(), LowerBound(-2.0, 0.5, 1.0)),
}


@pytest.mark.parametrize("weigh", ["by level", "equal", "none of a level"])
@pytest.mark.parametrize("kind", ["spread", "tied", "on the edges", "equal"])
@pytest.mark.parametrize("name", PAIRS)
def test_pairs_by_level_are_every_pair(face, name, kind, weigh, monkeypatch):
    steps = PAIRS[name]
    pivots = scores_of(kind, 60)
    level = torch.randint(1, 4, (3, 60), generator=torch.Generator().manual_seed(1))
    worth = {"by level": [0, 0.5, 2.0, 0.7], "equal": [0, 1, 1, 1], "none of a level": [0, 0, 1, 2]}
    weight = torch.tensor(worth[weigh], dtype=torch.float64)[level]
    weight[1, 50:] = 0
    by_sum = rows(3, 60, seed=3)
    for dtype, close in ((torch.float32, 3e-6), (torch.float64, 1e-12)):
        given = pivots.to(dtype), weight.to(dtype), level.to(dtype)
        exact = (given[0].double(), given[1].double(), given[2].double(), steps)
        leaf = given[0].clone().requires_grad_()
        sums = pair_sums(leaf, given[1], given[2], steps)
        expected = torch_pair_sums(*exact)
        # A tie of float32 numbers is one of the same numbers in float64.
        if kind != "on the edges" or dtype == torch.float64:
            assert (sums * (weight > 0) - expected * (weight > 0)).abs().max() < close * 300
        if sums.requires_grad and kind != "on the edges":
            (sums * by_sum.to(dtype)).sum().backward()
            expected = torch_pair_slopes(*exact, by_sum.to(dtype).double())
            assert leaf.grad is not None
            assert (leaf.grad - expected).abs().max() < close * expected.abs().max()


@pytest.mark.cpu("native kernels")
@pytest.mark.parametrize("face", FACES)
def test_weights_that_levels_do_not_tell_are_left_to_every_pair(face, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_NATIVE", face)
    pivots, weight = rows(2, 40).float(), rows(2, 40, seed=1).float().abs()
    level = torch.ones(2, 40)
    kernels = line_pairs if face == "0" else native_kernels
    assert kernels.line_pair_sums(pivots, weight, level, PAIRS["sup"]) is None
    assert kernels.line_pair_slopes(pivots, weight, level, PAIRS["sup"], weight) is None
    by_line(monkeypatch)
    expected = torch_pair_sums(pivots.double(), weight.double(), level.double(), PAIRS["sup"])
    torch.testing.assert_close(
        pair_sums(pivots, weight, level, PAIRS["sup"]).double(), expected, rtol=1e-5, atol=1e-5
    )


def test_points_at_infinity_do_not_count_and_rows_may_be_empty():
    nothing = Points.of(torch.full((1, 3), -math.inf))
    assert line_sums.line_sums(nothing, torch.tensor([[0.1, math.inf]]), Heaviside()).tolist() == [
        [0.0, 0.0]
    ]
    assert (
        line_sums.line_sums(Points.of(torch.ones(1, 0)), torch.ones(1, 2), Heaviside()).sum() == 0
    )


@pytest.mark.cpu("native kernels")
@pytest.mark.skipif(len(FACES) == 1, reason="the native library is not built")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_that_is_no_number_gives_none(value):
    scores, pivots = rows(2, 30).float(), rows(2, 20).float()
    scores[1, 7] = value
    sums = native_kernels.line_sums(scores, pivots, STEPS["published"])
    assert torch.isfinite(sums[0]).all()
    assert torch.isnan(sums[1]).all()


@pytest.mark.cpu("native kernels")
@pytest.mark.skipif(len(FACES) == 1, reason="the native library is not built")
def test_threads_change_no_bit_of_a_line():
    scores, pivots = rows(64, 4096).float() * 0.3, rows(64, 200).float() * 0.3
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(native_kernels.line_sums(scores, pivots, STEPS["published"]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)
