"""The sweep over rows: products, chunks, memory, reductions."""

from dataclasses import replace

import pytest
import torch

from lookalike.ops import row_losses as module
from lookalike.ops.row_losses import row_losses, row_losses_of_scores
from lookalike.ops.sizes import CPU


def softplus_rows(scores, start, weights):
    """A row function of autograd: sum over j of softplus(score + start of the row)."""
    shift = torch.arange(start, start + len(scores)).to(scores)[:, None] / 10
    losses = torch.nn.functional.softplus(scores + shift).sum(1)
    if weights is not None:
        scores.copy_(weights[:, None] * torch.sigmoid(scores + shift))
    return losses


def direct(query, reference, weights=None):
    shift = torch.arange(len(query), dtype=query.dtype)[:, None] / 10
    losses = torch.nn.functional.softplus(query @ reference.T + shift).sum(1)
    return losses if weights is None else (losses * weights).sum()


@pytest.fixture
def data():
    torch.manual_seed(0)
    query = torch.randn(23, 5, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(11, 5, dtype=torch.float64, requires_grad=True)
    return query, reference, torch.rand(23, dtype=torch.float64)


@pytest.mark.parametrize("chunk", [None, 1, 7, 100])
@pytest.mark.parametrize("is_self", [True, False])
@pytest.mark.parametrize("is_weighed", [True, False])
def test_value_and_gradient_are_those_of_autograd(data, chunk, is_self, is_weighed):
    query, reference, weights = data
    other = query if is_self else reference
    inputs = (query,) if is_self else (query, reference)
    expected = direct(query, other, weights)
    ours = row_losses(
        query, None if is_self else other, softplus_rows, weights if is_weighed else None, chunk
    )
    if not is_weighed:
        torch.testing.assert_close(ours, direct(query, other))
        ours = (ours * weights).sum()
    torch.testing.assert_close(ours, expected)
    for a, b in zip(
        torch.autograd.grad(3 * ours, inputs),
        torch.autograd.grad(3 * expected, inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_a_constant_reference_gets_no_gradient(data):
    query, reference, weights = data
    value = row_losses(query, reference.detach(), softplus_rows, weights)
    (gradient,) = torch.autograd.grad(value, query)
    expected = torch.autograd.grad(direct(query, reference.detach(), weights), query)
    torch.testing.assert_close(gradient, *expected)


def test_only_the_reference_may_want_a_gradient(data):
    query, reference, weights = data
    value = row_losses(query.detach(), reference, softplus_rows, weights)
    (gradient,) = torch.autograd.grad(value, reference)
    expected = torch.autograd.grad(direct(query.detach(), reference, weights), reference)
    torch.testing.assert_close(gradient, *expected)


def test_without_a_gradient_the_rows_are_asked_for_values_only(data):
    query, _, weights = data
    asked = []

    def rows(scores, start, weights):
        asked.append(weights)
        return softplus_rows(scores, start, weights)

    with torch.no_grad():
        row_losses(query, None, rows, weights)
    assert asked
    assert all(weights is None for weights in asked)


def test_a_matrix_too_large_streams(data, monkeypatch):
    query, _, weights = data
    monkeypatch.setattr(module, "sizes", lambda device: replace(CPU, resident=100))
    expected = torch.autograd.grad(direct(query, query, weights), query)
    monkeypatch.setattr(module, "_resident", None)  # calling it would fail
    ours = torch.autograd.grad(row_losses(query, None, softplus_rows, weights), query)
    torch.testing.assert_close(ours, expected)


def test_autocast_does_not_reach_the_scores(data):
    query, _, weights = (t.detach().float() for t in data)
    query.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = row_losses(query, None, softplus_rows, weights)
    torch.testing.assert_close(ours, direct(query, query, weights))


def test_scores_can_be_given(data):
    query, reference, weights = data
    scores = (query @ reference.T).detach().requires_grad_()
    ours = row_losses_of_scores(scores, softplus_rows, weights)
    shift = torch.arange(23, dtype=torch.float64)[:, None] / 10
    expected = (torch.nn.functional.softplus(scores + shift).sum(1) * weights).sum()
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(
        torch.autograd.grad(ours, scores), torch.autograd.grad(expected, scores)
    )
