"""Numbers of rows, a few rows at a time: as if the whole matrix were there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lookalike.ops import row_terms as module
from lookalike.ops.row_terms import row_terms


def terms(scores, part, *sides):
    """Two numbers of each row, neither of which is linear in the scores."""
    if sides:
        scores = scores - sides[0][:, None] - sides[1]
    return torch.stack([scores.square().sum(dim=1), scores.exp().sum(dim=1).log()], dim=1)


def world(is_self, with_sides):
    random = torch.Generator().manual_seed(0)
    made = [torch.randn(n, 5, generator=random, dtype=torch.float64) for n in (13, 8)]
    sides = [torch.randn(n, generator=random, dtype=torch.float64) for n in (13, 8)]
    query, reference = (x.requires_grad_() for x in made)
    if is_self:
        reference, sides[1] = query, sides[0].clone()
    return query, reference, tuple(s.requires_grad_() for s in sides) if with_sides else ()


@pytest.mark.parametrize("chunk", [1, 5, 13, None])
@pytest.mark.parametrize("is_self", [True, False])
@pytest.mark.parametrize("with_sides", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_equals_the_whole_matrix(monkeypatch, chunk, is_self, with_sides, kept):
    if not kept:
        small = replace(module.sizes(torch.device("cpu")), resident=0)
        monkeypatch.setattr(module, "sizes", lambda device: small)
    query, reference, sides = world(is_self, with_sides)
    inputs = list({id(x): x for x in (query, reference, *sides)}.values())
    weights = torch.randn(13, 2, dtype=torch.float64)
    whole = terms(query @ reference.T, slice(None), *sides)
    found = row_terms(query, None if is_self else reference, terms, sides, chunk)
    torch.testing.assert_close(found, whole)
    want = torch.autograd.grad((whole.tanh() * weights).sum(), inputs)
    value = (found.tanh() * weights).sum()
    for _ in range(2):  # the second way back makes the scores anew
        got = torch.autograd.grad(value, inputs, retain_graph=True)
        torch.testing.assert_close(got, want)


def test_a_reference_without_gradient_costs_no_product(monkeypatch):
    query, reference, _ = world(False, False)
    bank = reference.detach()
    value = row_terms(query, bank, terms).sum()
    (gradient,) = torch.autograd.grad(value, query)
    (want,) = torch.autograd.grad(terms(query @ bank.T, slice(None)).sum(), query)
    torch.testing.assert_close(gradient, want)


def test_terms_that_do_not_depend_on_the_scores_have_no_gradient():
    query, _, _ = world(True, False)
    value = row_terms(query, None, lambda scores, part: scores.detach().sum(1, keepdim=True) * 0)
    total = value.sum() + query.sum()
    assert torch.equal(torch.autograd.grad(total, query)[0], torch.ones_like(query))
