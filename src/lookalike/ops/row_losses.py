"""Losses that are a sum over query rows: embeddings in, scores a few rows at a time, gradient out.

A *row function* takes rows of scores and gives one loss a row. Asked with weights, it also writes
``d(sum_b weights[b] * loss[b]) / d scores`` over the scores. Everything else, the products with the
embeddings and the memory they need, is here, once for all rank losses.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lookalike.ops import native_kernels, paths
from lookalike.ops.sizes import sizes


class RowFunction(Protocol):
    """What a row loss supplies."""

    def __call__(self, scores: Tensor, start: int, weights: Tensor | None) -> Tensor:
        """Losses ``(c,)`` of queries ``start .. start + c - 1`` from their scores ``(c, M)``.

        Args:
            scores: free to be overwritten; with ``weights`` it must end as the derivative.
            start: number of the first query.
            weights: ``(c,)``, or None when only the values are wanted.
        """
        ...


def row_losses(
    query: Tensor,
    reference: Tensor | None,
    rows: RowFunction,
    weights: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Apply a row function to the dot products of queries and references.

    Args:
        query: ``(B, D)``.
        reference: ``(M, D)``, or None for the queries themselves.
        rows: the row function.
        weights: ``(B,)``: the result is ``sum_b weights[b] * loss[b]`` and its gradient is computed
            along with the value. None: the result is the ``(B,)`` losses, and backward computes the
            scores a second time.
        chunk: queries at a time; None keeps the whole matrix if it is small, else picks a size.

    Returns:
        A scalar or ``(B,)``. Differentiable once.
    """
    if not torch.is_grad_enabled():
        # Inside a custom function it is too late to see that no gradient will be asked for.
        query = query.detach()
        reference = None if reference is None else reference.detach()
    other = query if reference is None else reference
    if weights is None:
        return _EachRow.apply(query, other, rows, reference is None, chunk)  # pyright: ignore
    return _WeighedRows.apply(query, other, rows, weights, reference is None, chunk)  # pyright: ignore


def row_losses_of_scores(scores: Tensor, rows: RowFunction, weights: Tensor) -> Tensor:
    """The same from a ready ``(B, M)`` score matrix, differentiable in the scores."""
    return _OfScores.apply(scores, rows, weights)  # pyright: ignore[reportReturnType]


class _WeighedRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        reference: Tensor,
        rows: RowFunction,
        weights: Tensor,
        is_self: bool,
        chunk: int | None,
    ) -> Tensor:
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1] and not is_self)
        losses, *grads = _sweep(query, None if is_self else reference, rows, weights, chunk, wanted)
        ctx.save_for_backward(*grads)
        return (losses * weights).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        scale = grad_output[0]
        grads = (None if g is None else g * scale for g in ctx.saved_tensors)
        return *grads, None, None, None, None


class _EachRow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        reference: Tensor,
        rows: RowFunction,
        is_self: bool,
        chunk: int | None,
    ) -> Tensor:
        ctx.save_for_backward(query, reference)
        ctx.rest = rows, is_self, chunk, paths.compiles()
        return _sweep(query, None if is_self else reference, rows, None, chunk, (False, False))[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, reference = ctx.saved_tensors
        rows, is_self, chunk, compiles = ctx.rest
        wanted = (ctx.needs_input_grad[0], ctx.needs_input_grad[1] and not is_self)
        with paths.compiling(compiles):
            _, *grads = _sweep(
                query, None if is_self else reference, rows, grad_output[0], chunk, wanted
            )
        return *grads, None, None, None


class _OfScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, rows: RowFunction, weights: Tensor) -> Tensor:
        grad = scores.clone()
        losses = rows(grad, 0, weights)
        ctx.save_for_backward(grad)
        return (losses * weights).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_output: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return ctx.saved_tensors[0] * grad_output[0], None, None


def _sweep(
    query: Tensor,
    reference: Tensor | None,
    rows: RowFunction,
    weights: Tensor | None,
    chunk: int | None,
    wanted: tuple[bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Losses of all rows and, if wanted, the gradients of query and reference."""
    with torch.no_grad(), torch.autocast(query.device.type, enabled=False):
        if not any(wanted):
            weights = None
        other = query if reference is None else reference
        size = len(query) * len(other) * query.element_size()
        fits = size <= sizes(query.device).resident
        if weights is not None and reference is None and chunk is None and fits:
            # One product fewer than where rows stream by.
            return *_resident(query, rows, weights), None
        return _streaming(query, other, reference is None, rows, weights, chunk, wanted)


def _chunk_of(width: int, like: Tensor) -> int:
    return max(16, sizes(like.device).chunk // max(1, width * like.element_size()))


def _resident(query: Tensor, rows: RowFunction, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Two products: the scores, overwritten by their derivative, and its symmetric part."""
    scores = query @ query.T
    losses = query.new_empty(len(query))
    step = _chunk_of(len(query), query)
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        losses[part] = rows(scores[part], start, weights[part])
    return losses, add_transpose_(scores) @ query


def _streaming(
    query: Tensor,
    reference: Tensor,
    is_self: bool,
    rows: RowFunction,
    weights: Tensor | None,
    chunk: int | None,
    wanted: tuple[bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Three products, and only ``chunk × M`` scores at a time."""
    losses = query.new_empty(len(query))
    by_query = torch.zeros_like(query) if weights is not None and wanted[0] else None
    by_reference = torch.zeros_like(reference) if weights is not None and wanted[1] else None
    if is_self:
        by_reference = by_query
    step = chunk or _chunk_of(len(reference), query)
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        scores = query[part] @ reference.T
        losses[part] = rows(scores, start, None if weights is None else weights[part])
        if by_query is not None:
            by_query[part].addmm_(scores, reference)
        if by_reference is not None:
            by_reference.addmm_(scores.T, query[part])
    return losses, by_query, None if is_self else by_reference


def add_transpose_(square: Tensor) -> Tensor:
    """``square += square.T``, in place, block by block."""
    if native_kernels.suits(square):
        return native_kernels.add_transpose_(square)
    if paths.triton_suits(square):
        return import_module("lookalike.ops.triton_kernels").add_transpose_(square)
    n, block = len(square), sizes(square.device).block
    for top in range(0, n, block):
        for left in range(top, n, block):
            upper = square[top : top + block, left : left + block]
            lower = square[left : left + block, top : top + block]
            total = upper + lower.T
            upper.copy_(total)
            lower.copy_(total.T)
    return square
