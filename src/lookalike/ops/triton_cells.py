"""The cells of points on a line in Triton, and the polynomials that their moments make.

The first half of :mod:`lookalike.ops.triton_lines`, which alone imports it. A bisection finds where
the points of a cell begin; a warp a cell adds up the powers of its points; and a program that takes
some cells of targets collects the moments of all cells in reach. No atomics.
"""

# ruff: noqa: ANN001, ANN202 (arguments of a kernel are pointers and numbers of Triton's own)
# pyright: reportGeneralTypeIssues=false, reportArgumentType=false
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from lookalike.ops.line_plans import SINGLE, Curve, plan
from lookalike.ops.steps import Step

# More cells a row than any cosines fill: then the points lie so far apart that few meet.
MOST_CELLS = 1 << 14
_EDGES: dict[str, Any] = {"block": 128}
_MOMENTS: dict[str, Any] = {"lanes": 32, "num_warps": 1, "nodes": SINGLE}
_CELLS: dict[str, Any] = {"block": 32, "num_warps": 1, "nodes": SINGLE}


@dataclass(frozen=True)
class Line:
    """Points of some rows, found by cell.

    Attributes:
        x: ``(c, N)`` float32, falling; ``-inf`` at the end for what does not count.
        weight: ``(c, N)`` float32, or None: 1 each.
        count: ``(c,)`` int32, how many are finite.
    """

    x: Tensor
    weight: Tensor | None
    count: Tensor

    @classmethod
    def of(cls, x: Tensor, weight: Tensor | None) -> Line:
        """Points in falling order, with weights in the same order."""
        count = torch.isfinite(x).sum(dim=1, dtype=torch.int32)
        return cls(x.contiguous(), None if weight is None else weight.float().contiguous(), count)


@dataclass(frozen=True)
class Grid:
    """The cells of a curve's width in which the points of each row lie, from the highest down.

    Attributes:
        top: ``(c,)`` float64, the number of each row's highest cell.
        edges: ``(c, cells + 1)`` int32, the first point of each cell.
        polynomials: ``(c, nodes, homes)`` of the cells of targets, from the highest in reach down.
        cells: how many.
        homes: how many cells of targets.
    """

    top: Tensor
    edges: Tensor
    polynomials: Tensor
    cells: int
    homes: int

    @classmethod
    def of(cls, line: Line, curve: Curve, constants: Constants) -> Grid | None:
        """None for too many cells."""
        (rows, width), device = line.x.shape, line.x.device
        numbers = constants.numbers
        top = torch.floor(line.x[:, 0].double() / curve.width)
        last = line.x.gather(1, (line.count[:, None] - 1).clamp(min=0).long())[:, 0]
        spread = (top - torch.floor(last.double() / curve.width)).nan_to_num(0.0, 0.0, 0.0)
        cells = int(spread.max()) + 1
        if cells > MOST_CELLS:
            return None
        edges = torch.empty(rows, cells + 1, dtype=torch.int32, device=device)
        blocks = triton.cdiv(cells + 1, _EDGES["block"])
        _find_edges[(rows * blocks,)](
            line.x, line.count, top, edges, numbers, width, cells, blocks, width.bit_length(),
            **_EDGES,
        )  # fmt: skip
        moments = torch.empty(rows, SINGLE, cells, device=device)
        has_weights: dict[str, Any] = {"has_weights": line.weight is not None}
        weight = line.x if line.weight is None else line.weight
        _add_moments[(rows * cells,)](
            line.x, weight, top, edges, moments, numbers, width, cells, **has_weights, **_MOMENTS
        )
        homes = cells + len(curve.table) - 1
        polynomials = torch.empty(rows, SINGLE, homes, device=device)
        blocks = triton.cdiv(homes, _CELLS["block"])
        _collect[(rows * blocks,)](
            moments, constants.table, polynomials, cells, homes, blocks, len(curve.table),
            int(curve.is_cut), **_CELLS,
        )  # fmt: skip
        return cls(top, edges, polynomials, cells, homes)


@dataclass(frozen=True)
class Constants:
    """A plan on a device.

    Attributes:
        numbers: ``(3,)`` float64: width of a cell, shift, temperature.
        cuts: ``(cuts, 6)`` float64.
        table: ``(distances, nodes, nodes)`` float32.
    """

    numbers: Tensor
    cuts: Tensor
    table: Tensor

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, step: Step, is_slope: bool, device: torch.device) -> Constants:
        """Copied to the device once."""
        found = plan(step, is_slope, SINGLE)
        curve = found.curve
        wide: dict[str, Any] = {"dtype": torch.float64, "device": device}
        numbers = (1.0, 0.0, 1.0) if curve is None else (curve.width, curve.shift, curve.tau)
        cuts = [(c.at, c.constant, c.slope, c.scale, c.add, float(c.is_strict)) for c in found.cuts]
        table = [0.0] if curve is None else curve.table.tolist()
        return cls(
            torch.tensor(numbers, **wide),
            torch.tensor(cuts or [0.0], **wide),
            torch.tensor(table, dtype=torch.float32, device=device),
        )


@triton.jit
def _find_edges(
    points, count, top, edges, numbers, width, cells, blocks, halvings, block: tl.constexpr
):
    """One program: some cells of a row, a bisection each."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    cell = tl.program_id(0) % blocks * block + tl.arange(0, block)
    size = tl.load(numbers)
    least = tl.load(top + row) - cell.to(tl.float64)
    low = tl.zeros([block], dtype=tl.int32)
    high = low + tl.load(count + row)
    for _ in range(halvings):
        middle = (low + high) // 2
        is_open = low < high
        x = tl.load(points + row * width + middle, mask=is_open, other=0.0).to(tl.float64)
        is_above = tl.floor(x / size) > least
        low = tl.where(is_open & is_above, middle + 1, low)
        high = tl.where(is_open & (is_above == 0), middle, high)
    tl.store(edges + row * (cells + 1) + cell, low, mask=cell <= cells)


@triton.jit
def _add_moments(
    points,
    weights,
    top,
    edges,
    moments,
    numbers,
    width,
    cells,
    has_weights: tl.constexpr,
    lanes: tl.constexpr,
    nodes: tl.constexpr,
):
    """One program: a cell, the powers of whose points it adds up."""
    row = (tl.program_id(0) // cells).to(tl.int64)
    cell = tl.program_id(0) % cells
    size = tl.load(numbers)
    centre = (tl.load(top + row) - cell.to(tl.float64) + 0.5) * size
    begin = tl.load(edges + row * (cells + 1) + cell)
    end = tl.load(edges + row * (cells + 1) + cell + 1)
    order = tl.arange(0, nodes)
    total = tl.zeros([nodes, lanes], dtype=tl.float32)
    for first in range(begin, end, lanes):
        at = first + tl.arange(0, lanes)
        real = at < end
        x = tl.load(points + row * width + at, mask=real, other=0.0).to(tl.float64)
        u = ((x - centre) * (2.0 / size)).to(tl.float32)
        power = tl.where(real, 1.0, 0.0)
        if has_weights:
            power = tl.load(weights + row * width + at, mask=real, other=0.0)
        for exponent in tl.static_range(nodes):
            total += tl.where(order[:, None] == exponent, power[None, :], 0.0)
            power = power * u
    tl.store(moments + (row * nodes + order) * cells + cell, tl.sum(total, axis=1))


@triton.jit
def _collect(
    moments,
    table,
    polynomials,
    cells,
    homes,
    blocks,
    distances,
    skipped,
    block: tl.constexpr,
    nodes: tl.constexpr,
):
    """One program: the polynomials of some cells of targets, from the moments in reach."""
    row = (tl.program_id(0) // blocks).to(tl.int64)
    home = tl.program_id(0) % blocks * block + tl.arange(0, block)
    order = tl.arange(0, nodes)
    total = tl.zeros([nodes, block], dtype=tl.float32)
    for distance in range(skipped, distances):
        cell = home + distance - (distances - 1)
        real = (cell >= 0) & (cell < cells)
        for exponent in tl.static_range(nodes):
            moment = tl.load(
                moments + (row * nodes + exponent) * cells + cell, mask=real, other=0.0
            )
            share = tl.load(table + (distance * nodes + exponent) * nodes + order)
            total += share[:, None] * moment[None, :]
    place = polynomials + (row * nodes + order[:, None]) * homes + home[None, :]
    tl.store(place, total, mask=(order[:, None] >= 0) & (home < homes)[None, :])
