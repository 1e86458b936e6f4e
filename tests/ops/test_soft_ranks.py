"""Properties that soft ranks have whatever the scores."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.losses import SmoothAP, SupAP
from lookalike.ops.ranks import Ranked, Steps
from lookalike.ops.step_sums import step_sums

PUBLISHED = (0.01, 100.0, 0.05, 0.5, 1.44)


@st.composite
def one_row(draw):
    """Scores on a grid, so that ties are common, and which of them match."""
    scores = draw(st.lists(st.integers(-20, 20), min_size=2, max_size=25))
    matches = draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    matches[draw(st.integers(0, len(scores) - 1))] = True
    return torch.tensor(scores).double() / 20, torch.tensor(matches)


def ranked(scores, matches, steps):
    pivots = scores[matches][None]
    others = scores.masked_fill(matches, -torch.inf)[None]
    below = step_sums(others, pivots, steps.lower)
    return Ranked(pivots, below, torch.ones_like(pivots).bool(), None, steps)


def exact_ranks(scores, matches):
    """Heaviside ranks, where a tie counts against the item."""
    ahead = scores[None, :] >= scores[matches][:, None]
    return ahead.sum(1).double()


@given(one_row())
@settings(max_examples=80, deadline=None)
def test_ranks_lie_between_1_and_the_number_of_items(row):
    rank = ranked(*row, Steps.smooth(0.05)).rank()
    assert (rank >= 1).all()
    assert (rank <= len(row[0])).all()


@given(one_row())
@settings(max_examples=80, deadline=None)
def test_a_rank_among_positives_is_no_more_than_the_rank(row):
    for steps in (Steps.smooth(0.05), Steps.sup(*PUBLISHED)):
        items = ranked(*row, steps)
        among = items.h_rank(items.mask.double())
        assert (among <= items.rank() + 1e-12).all()


@given(one_row())
@settings(max_examples=80, deadline=None)
def test_the_upper_bound_is_one(row):
    scores, matches = row
    # At a tie the sigmoid counts one half where the exact step counts 1.
    scores = scores + torch.linspace(0, 0.01, len(scores)).double()
    rank = ranked(scores, matches, Steps.sup(*PUBLISHED)).rank()
    assert (rank >= exact_ranks(scores, matches) - 1e-9).all()


@given(one_row())
@settings(max_examples=80, deadline=None)
def test_a_cold_sigmoid_is_the_exact_rank_with_ties_shared(row):
    scores, matches = row
    rank = ranked(scores, matches, Steps.smooth(1e-4)).rank()[0]
    pivots = scores[matches]
    above = (scores[None] > pivots[:, None]).sum(1)
    equal = (scores[None] == pivots[:, None]).sum(1) - 1
    torch.testing.assert_close(rank, (1 + above + equal / 2).double())


@given(one_row(), st.floats(-3, 3))
@settings(max_examples=50, deadline=None)
def test_adding_a_number_to_all_scores_changes_no_rank(row, shift):
    scores, matches = row
    steps = Steps.smooth(0.05)
    torch.testing.assert_close(
        ranked(scores + shift, matches, steps).rank(), ranked(scores, matches, steps).rank()
    )


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_sup_loss_is_above_the_exact_one_and_both_in_range(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(16, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 5, (16,), generator=generator)
    unit = torch.nn.functional.normalize(x)
    exact = []
    for b in range(16):
        matches = y == y[b]
        scores = unit @ unit[b]
        ranks, _ = exact_ranks(scores, matches).sort()
        exact.append((torch.arange(1, len(ranks) + 1) / ranks).mean())
    exact = 1 - torch.stack(exact).mean()
    sup = SupAP(offset=1.44)(x, y)
    assert exact - 1e-9 <= sup < 1
    assert 0 <= SmoothAP()(x, y) < 1
