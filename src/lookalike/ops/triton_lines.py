"""The plans of :mod:`lookalike.ops.line_plans` in Triton, for float32 on CUDA.

Points are sorted (by torch), targets are not. :mod:`lookalike.ops.triton_cells` makes a polynomial
of each cell of targets; torch cumulates the scores, in float64; and each target evaluates the
polynomial of its cell, bisects its cuts, and meets one by one the few points between its last cut
and the edge of a cell.

Imported only when a tensor asks for it: importing Triton takes seconds, and it may be missing.
"""

# ruff: noqa: ANN001, ANN202 (arguments of a kernel are pointers and numbers of Triton's own)
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lookalike.ops.line_plans import SINGLE, plan
from lookalike.ops.steps import Step
from lookalike.ops.triton_cells import Constants, Grid, Line

# A difference is scaled and moved in two roundings, as torch does it: a tie must stay one.
_TARGETS: dict[str, Any] = {"block": 128, "enable_fp_fusion": False}


def line_sums(
    x: Tensor, weight: Tensor | None, targets: Tensor, step: Step, is_slope: bool
) -> Tensor | None:
    """As :func:`lookalike.ops.line_sums.line_sums`, ``(c, P)`` float32, targets in any order.

    None where the points spread over more than `MOST_CELLS` cells.

    Args:
        x: ``(c, N)`` falling, ``-inf`` at the end for points that do not count.
        weight: ``(c, N)`` float32 in the same order; None: 1 each.
        targets: ``(c, P)``.
        step: any step.
        is_slope: sum the derivative.
    """
    line = Line.of(x, weight)
    (rows, width), depth = x.shape, targets.shape[1]
    targets = targets.detach().contiguous()
    found = torch.empty_like(targets)
    scheme = plan(step, is_slope, SINGLE)
    curve = scheme.curve
    constants = Constants.of(step, is_slope, targets.device)
    grid = None if curve is None else Grid.of(line, curve, constants)
    if curve is not None and grid is None:
        return None
    # Pointers that a kernel does not read must be some tensor all the same.
    unused = line.x
    weights = unused if line.weight is None else line.weight.cumsum(dim=1, dtype=torch.float64)
    scores = unused
    if any(cut.slope for cut in scheme.cuts):
        weighed = line.x if line.weight is None else line.x * line.weight
        scores = weighed.cumsum(dim=1, dtype=torch.float64)
    blocks = triton.cdiv(depth, _TARGETS["block"])
    kind: dict[str, Any] = {
        "has_weights": line.weight is not None,
        "has_scores": scores is not unused,
        "cut_count": len(scheme.cuts),
        "has_curve": curve is not None,
        "is_cut": curve is not None and curve.is_cut,
        "is_slope": is_slope,
        "nodes": SINGLE,
        "halvings": width.bit_length(),
    }
    _values[(rows * blocks,)](
        line.x,
        unused if line.weight is None else line.weight,
        weights,
        scores,
        line.count,
        targets,
        found,
        constants.numbers,
        constants.cuts,
        unused if grid is None else grid.top,
        unused if grid is None else grid.edges,
        unused if grid is None else grid.polynomials,
        width,
        depth,
        blocks,
        1 if grid is None else grid.cells,
        1 if grid is None else grid.homes,
        0 if curve is None else curve.first,
        0 if curve is None else curve.first + len(curve.table) - 1,
        **kind,
        **_TARGETS,
    )
    return found


@triton.jit
def _passed(line, target, cut, count, halvings: tl.constexpr, block: tl.constexpr):
    """How many points are beyond the cut of each target."""
    at = tl.load(cut).to(tl.float32)
    scale = tl.load(cut + 3).to(tl.float32)
    add = tl.load(cut + 4).to(tl.float32)
    is_strict = tl.load(cut + 5) > 0
    low = tl.zeros([block], dtype=tl.int32)
    high = low + count
    for _ in range(halvings):
        middle = (low + high) // 2
        is_open = low < high
        y = scale * (tl.load(line + middle, mask=is_open, other=0.0) - target) + add
        is_beyond = (y > at) | ((y == at) & (is_strict == 0))
        low = tl.where(is_open & is_beyond, middle + 1, low)
        high = tl.where(is_open & (is_beyond == 0), middle, high)
    return low


@triton.jit
def _before(cumulated, passed, has_weights: tl.constexpr):
    """The weight of the first so many points of a row."""
    if has_weights:
        return tl.load(cumulated + passed - 1, mask=passed > 0, other=0.0)
    return passed.to(tl.float64)


@triton.jit
def _one_by_one(
    line,
    weights,
    target,
    begin,
    end,
    inverse_tau,
    has_weights: tl.constexpr,
    is_slope: tl.constexpr,
    block: tl.constexpr,
):
    """What the points ``begin .. end - 1`` of each target add by the sigmoid."""
    part = tl.zeros([block], dtype=tl.float32)
    for offset in range(tl.max(end - begin, axis=0)):
        item = begin + offset
        x = tl.load(line + item, mask=item < end, other=float("-inf"))
        near = tl.sigmoid((x - target) * inverse_tau)
        if is_slope:
            near = near * (1 - near) * inverse_tau
        if has_weights:
            near *= tl.load(weights + item, mask=item < end, other=0.0)
        part += near
    return part.to(tl.float64)


@triton.jit
def _values(
    points,
    weights,
    cumulated,
    scores,
    count,
    targets,
    found,
    numbers,
    cuts,
    top,
    edges,
    polynomials,
    width,
    depth,
    blocks,
    cells,
    homes,
    first,
    last,
    has_weights: tl.constexpr,
    has_scores: tl.constexpr,
    cut_count: tl.constexpr,
    has_curve: tl.constexpr,
    is_cut: tl.constexpr,
    is_slope: tl.constexpr,
    nodes: tl.constexpr,
    halvings: tl.constexpr,
    block: tl.constexpr,
):
    """One program: some targets of a row."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    which = tl.program_id(0) % blocks * block + tl.arange(0, block)
    target = tl.load(targets + row * depth + which, mask=which < depth, other=float("inf"))
    real = tl.abs(target) < float("inf")
    target = tl.where(real, target, 0.0)
    wide = target.to(tl.float64)
    own = row * width
    total = tl.zeros([block], dtype=tl.float64)
    passed = tl.zeros([block], dtype=tl.int32)
    for number in tl.static_range(cut_count):
        cut = cuts + number * 6
        passed = _passed(points + own, target, cut, tl.load(count + row), halvings, block)
        weight = _before(cumulated + own, passed, has_weights)
        total += tl.load(cut + 1) * weight
        if has_scores:
            score = tl.load(scores + own + passed - 1, mask=passed > 0, other=0.0)
            total += tl.load(cut + 2) * (score - weight * wide)
    if has_curve:
        size = tl.load(numbers)
        shifted = wide + tl.load(numbers + 1)
        home = tl.floor(shifted / size)
        v = ((shifted - (home + 0.5) * size) * (2.0 / size)).to(tl.float32)
        # Cells of targets are numbered from the highest that any point reaches.
        place = tl.load(top + row) - home + last
        place = tl.minimum(tl.maximum(place, -1.0), homes * 1.0).to(tl.int32)
        inside = (place >= 0) & (place < homes)
        value = tl.zeros([block], dtype=tl.float32)
        for order in tl.static_range(nodes):
            power = polynomials + (row * nodes + nodes - 1 - order) * homes + place
            value = value * v + tl.load(power, mask=inside, other=0.0)
        total += value.to(tl.float64)
        nearest = place - last + (1 if is_cut else first)
        edge = edges + row * (cells + 1) + tl.minimum(tl.maximum(nearest, 0), cells)
        border = tl.load(edge)
        if is_cut:
            # The points between the cut and the next cell below; those that the cut passed in that
            # cell, by a rounding, are taken back.
            inverse_tau = (1.0 / tl.load(numbers + 2)).to(tl.float32)
            part = _one_by_one(
                points + own, weights + own, target, tl.minimum(passed, border),
                tl.maximum(passed, border), inverse_tau, has_weights, is_slope, block,
            )  # fmt: skip
            total += tl.where(passed < border, part, -part)
        elif not is_slope:
            # What lies above all cells in reach adds its whole weight.
            total += _before(cumulated + own, border, has_weights)
    total = tl.where(real, total, 0.0)
    tl.store(found + row * depth + which, total.to(tl.float32), mask=which < depth)
