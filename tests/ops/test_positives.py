"""Positive lists against a mask of equal labels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.ops.positives import Positives, RowPositives
from lookalike.ops.sizes import CPU
from on_device import device


def labels(draw, rows, levels):
    column = st.lists(st.integers(0, 3), min_size=rows, max_size=rows)
    return torch.tensor([draw(column) for _ in range(levels)]).T.reshape(rows, levels)


def check_the_same_when_taken(rows, plain, width):
    """Native and torch find the same positives, and take the same scores in the same order."""
    assert torch.equal(rows.mask, plain.mask)
    assert torch.equal(rows.level, plain.level)
    assert torch.equal(rows.index[rows.mask], plain.index[plain.mask])
    if rows.index.shape[1] == 0:
        return
    scores = torch.rand(len(rows.index), width, generator=torch.Generator().manual_seed(width))
    one, other = scores.clone(), scores.clone()
    own, sorted_rows = rows.take_falling_(one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKALIKE_NATIVE", "0")
        plain_own, plain_rows = plain.take_falling_(other)
    for row in range(len(own)):
        real, also = sorted_rows.mask[row], plain_rows.mask[row]
        assert own[row][real].tolist() == plain_own[row][also].tolist()
        assert own[row][real].tolist() == sorted(own[row][real].tolist(), reverse=True)
        assert sorted_rows.index[row][real].tolist() == plain_rows.index[row][also].tolist()
        assert sorted_rows.level[row][real].tolist() == plain_rows.level[row][also].tolist()
        assert own[row].isfinite().all()
        if real.any():
            assert torch.equal(one[row], other[row])
            taken = scores[row].clone()
            taken[sorted_rows.index[row][real]] = -torch.inf
            assert torch.equal(one[row], taken)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_positives_are_the_equal_labels(data):
    levels = data.draw(st.sampled_from([1, 1, 3]))
    query = labels(data.draw, data.draw(st.integers(1, 9)), levels)
    role = data.draw(st.sampled_from(["positive", "competitor", "absent"]))
    other, own, candidates = query, None, None
    form = data.draw(st.sampled_from(["itself", "another", "copies", "candidates"]))
    if form != "itself":
        other = labels(data.draw, data.draw(st.integers(1, 9)), levels)
    if form == "copies":
        # Some queries have a copy somewhere among the references, and some have none.
        copied = torch.tensor(data.draw(st.lists(st.booleans(), min_size=9, max_size=9)))
        copied = copied[: len(query)]
        other = torch.cat([other, query[copied]])
        order = torch.tensor(data.draw(st.permutations(range(len(other)))))
        other = other[order]
        own = torch.full((len(query),), -1)
        own[copied] = order.argsort()[len(other) - int(copied.sum()) :]
    elif form != "itself":
        role = "positive"
    shared = (query[:, None] == other[None]).sum(2)
    absent = torch.zeros(shared.shape, dtype=torch.bool)
    if form == "candidates":
        draws = st.lists(st.booleans(), min_size=absent.numel(), max_size=absent.numel())
        candidates = torch.tensor(data.draw(draws)).reshape(absent.shape)
        absent = ~candidates
        shared[absent] = 0
    if role != "positive":
        columns = torch.arange(len(query)) if own is None else own
        for row, column in enumerate(columns.tolist()):
            if column >= 0:
                shared[row, column] = 0
                absent[row, column] = role == "absent"
    positives = Positives(query, other, role, own, candidates)
    scores = torch.zeros(shared.shape)
    positives.leave_out_(scores, 0)
    left = positives.left(scores, 0)
    assert torch.equal(scores == -torch.inf, absent)
    assert torch.equal(left[:, 0], (~absent).sum(1).float())
    assert positives.exists.tolist() == (shared > 0).any(1).tolist()
    assert (positives.largest > 0) == bool(positives.exists.any())
    start = data.draw(st.integers(0, len(query) - 1))
    stop = data.draw(st.integers(start + 1, len(query)))
    rows = positives.rows(start, stop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOOKALIKE_NATIVE", "0")
        plain = Positives(query, other, role, own, candidates).rows(start, stop)
    check_the_same_when_taken(rows, plain, shared.shape[1])
    rows = positives.rows(start, stop)
    for row, expected in enumerate(shared[start:stop]):
        columns = rows.index[row][rows.mask[row]].tolist()
        assert sorted(columns) == expected.nonzero().flatten().tolist()
        assert columns == sorted(columns)
        assert rows.level[row][rows.mask[row]].tolist() == expected[columns].tolist()
        assert rows.level[row][~rows.mask[row]].abs().sum() == 0
        padding = rows.index[row][~rows.mask[row]].tolist()
        assert not columns or set(padding) <= {columns[0]}


@pytest.mark.parametrize(
    "values",
    [
        torch.full((5000,), 0.25),
        torch.randint(0, 3, (5000,)).float(),
        # All but a few in one bucket of the range, so that they are put in order another way.
        torch.cat([torch.rand(3000) * 1e-6, torch.tensor([1e6, -1e6])]),
        torch.tensor([3e38, -3e38, 0.0, 1.0, -1.0, 3e38]),
        torch.tensor([1e-45, 0.0, 3e-45, -1e-45, 1e-45]),
        torch.tensor([0.0, -0.0, 0.0, -0.0]),
        torch.linspace(-1, 1, 4096),
        torch.linspace(1, -1, 4096),
    ],
    ids=["equal", "tied", "crowded", "wide", "narrow", "zeros", "rising", "falling"],
)
def test_any_scores_come_in_falling_order(values):
    """As torch's stable sort has it, in value and in column."""
    count = len(values)
    rows = RowPositives(
        torch.arange(count)[None],
        torch.ones(1, count, dtype=torch.bool),
        torch.ones(1, count, dtype=torch.uint8),
        torch.tensor([count]),
        np.array([count]),
    )
    expected, order = values.sort(descending=True, stable=True)
    own, taken = rows.take_falling_(values[None].clone())
    assert torch.equal(own[0], expected)
    if device().type == "cpu":  # elsewhere equal ones come in any order
        assert torch.equal(taken.index[0], order)
    assert torch.equal(values[taken.index[0]], expected)


def test_groups_hold_every_row_once_with_little_padding():
    y = torch.tensor([0] * 100 + [1] * 30 + [2] * 4 + [3] * 4 + [4])[:, None]
    positives = Positives(y, y, "absent")
    rows = positives.rows(0, len(y))
    seen = []
    for part, group in rows.groups():
        seen += part.tolist()
        count = group.count
        assert torch.equal(count, rows.count[part])
        assert count.numel() * group.index.shape[1] ** 2 <= CPU.table
        if group.index.shape[1]:
            assert count.min() > 0
            assert count.max() <= max(2 * count.min(), count.min() + 8)
        else:
            assert count.max() == 0
    assert sorted(seen) == list(range(len(y)))


def test_equal_classes_are_one_group():
    y = torch.arange(12)[:, None] // 3
    rows = Positives(y, y).rows(0, 12)
    ((part, group),) = rows.groups()
    assert part is None
    assert group is rows


@pytest.mark.parametrize("role", ["positive", "absent"])
def test_positives_cost_a_sort_not_a_mask(role):
    y = torch.randint(0, 25_000, (100_000, 1))
    positives = Positives(y, y, role)
    rows = positives.rows(500, 600)
    assert torch.equal(
        y[rows.index][rows.mask], y[500:600].expand(-1, rows.index.shape[1])[rows.mask][:, None]
    )
