"""A few numbers of each row of scores, differentiable, with a few rows in memory at a time.

A pair loss needs some sums of each query's scores and then joins those of all queries. Written on
the whole matrix, every sum, mask and exponential is a matrix of its own, kept for the way back.
Here a few rows pass at a time, which stay in a processor's cache; the way back makes them anew
with the gradient of what the sums were joined to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lookalike.ops.row_losses import add_transpose_
from lookalike.ops.sizes import sizes

# ``(B,)`` and ``(M,)``, and perhaps again; or nothing.
Sides = tuple[Tensor, ...]


class RowTerms(Protocol):
    """What a loss makes of some rows of scores, written with torch's differentiable functions."""

    def __call__(self, scores: Tensor, part: slice, *sides: Tensor) -> Tensor:
        """``(c, K)`` numbers of queries ``part`` from their scores ``(c, M)``.

        Args:
            scores: dot products, to be left as they are.
            part: which queries.
            sides: in turns ``(c,)`` of these queries and ``(M,)`` of the references.
        """
        ...


def row_terms(
    query: Tensor,
    reference: Tensor | None,
    terms: RowTerms,
    sides: Sides = (),
    chunk: int | None = None,
) -> Tensor:
    """``terms`` of all rows of the dot products of queries and references.

    Args:
        query: ``(B, D)``.
        reference: ``(M, D)``, or None for the queries themselves.
        terms: see `RowTerms`.
        sides: in turns ``(B,)`` and ``(M,)`` that the terms take beside the scores, such as squared
            lengths.
        chunk: queries at a time; None picks a size.

    Returns:
        ``(B, K)``. Differentiable once in query, reference and sides. Two products, or three where
        queries and references differ; a fourth where the scores are too large to be kept.

    >>> x = torch.eye(2).requires_grad_()
    >>> row_terms(x, None, lambda scores, part: scores.sum(dim=1, keepdim=True)).flatten().tolist()
    [1.0, 1.0]
    """
    other = query if reference is None else reference
    return _RowTerms.apply(query, other, terms, reference is None, chunk, *sides)  # pyright: ignore[reportReturnType]


class _RowTerms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        reference: Tensor,
        terms: RowTerms,
        is_self: bool,
        chunk: int | None,
        *sides: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(query, reference, *sides)
        rows = chunk or _chunk_of(len(reference), query)
        fits = len(query) * len(reference) * query.element_size() <= sizes(query.device).resident
        # The first way back overwrites the scores; another one makes them anew.
        ctx.scores = query @ reference.T if fits and any(ctx.needs_input_grad) else None
        ctx.rest = terms, is_self, rows
        found = [
            terms(_scores(ctx.scores, query, reference, part), part, *_of(sides, part))
            for part in _parts(len(query), rows)
        ]
        return torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, reference, *sides = ctx.saved_tensors
        (terms, is_self, rows), whole = ctx.rest, ctx.scores
        ctx.scores = None
        with torch.autocast(query.device.type, enabled=False):
            wants = ctx.needs_input_grad[1] or is_self
            gradient = _Gradient(query, reference, is_self, whole, wants=wants)
            by_side = [torch.zeros_like(side) for side in sides]
            for part in _parts(len(query), rows):
                inputs = [_scores(whole, query, reference, part), *_of(sides, part)]
                inputs = [tensor.detach().requires_grad_() for tensor in inputs]
                with torch.enable_grad():
                    found = terms(inputs[0], part, *inputs[1:])
                slopes = _slopes(found, inputs, grad_output[0][part])
                for total, slope in zip(_of(by_side, part), slopes[1:], strict=True):
                    if slope is not None:
                        total += slope
                gradient.add(part, slopes[0])
            by_query, by_reference = gradient.both()
        return by_query, by_reference, None, None, None, *by_side


class _Gradient:
    """Of query and reference, from the slopes of some rows of scores after the other.

    Args:
        query: ``(B, D)``.
        reference: ``(M, D)``.
        is_self: whether they are one.
        whole: ``(B, M)``, where the slopes are kept for one product at the end; None: none.
        wants: whether the reference's gradient is asked for.
    """

    def __init__(
        self,
        query: Tensor,
        reference: Tensor,
        is_self: bool,
        whole: Tensor | None,
        *,
        wants: bool,
    ) -> None:
        self.query, self.reference, self.is_self, self.whole = query, reference, is_self, whole
        self.wants = wants
        if whole is None:
            self.by_query = torch.zeros_like(query)
            self.by_reference = self.by_query if is_self else torch.zeros_like(reference)

    def add(self, part: slice, slopes: Tensor | None) -> None:
        """Take the slopes of some rows; None: all are 0."""
        if self.whole is not None:
            self.whole[part] = 0.0 if slopes is None else slopes
        elif slopes is not None:
            self.by_query[part].addmm_(slopes, self.reference)
            if self.wants:
                self.by_reference.addmm_(slopes.T, self.query[part])

    def both(self) -> tuple[Tensor, Tensor | None]:
        """The gradients; the second is None where it is in the first, or not asked for."""
        has_second = self.wants and not self.is_self
        if self.whole is None:
            return self.by_query, self.by_reference if has_second else None
        if self.is_self:
            return add_transpose_(self.whole) @ self.query, None
        second = self.whole.T @ self.query if has_second else None
        return self.whole @ self.reference, second


def _slopes(found: Tensor, inputs: list[Tensor], weights: Tensor) -> tuple[Tensor | None, ...]:
    """The derivative in each input; None: it is 0."""
    if not found.requires_grad:
        return (None,) * len(inputs)
    return torch.autograd.grad(found, inputs, weights, allow_unused=True)


def _scores(whole: Tensor | None, query: Tensor, reference: Tensor, part: slice) -> Tensor:
    return query[part] @ reference.T if whole is None else whole[part]


def _of(sides: Sequence[Tensor], part: slice) -> list[Tensor]:
    """What of the sides belongs to some rows: theirs, and all of the references'."""
    return [side if number % 2 else side[part] for number, side in enumerate(sides)]


def _parts(count: int, rows: int) -> list[slice]:
    return [slice(start, min(start + rows, count)) for start in range(0, max(1, count), rows)]


def _chunk_of(width: int, like: Tensor) -> int:
    return max(4, sizes(like.device).tile // max(1, width * like.element_size()))
