"""Sums of steps over points on a line in plain torch: the plans of :mod:`lookalike.ops.line_plans`.

For any dtype and device; arithmetic in float64. What compares scores does so in their own type, so
that a tie is one here too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor
from torch.nn.functional import pad

from lookalike.ops import native_kernels, paths
from lookalike.ops.line_plans import DOUBLE, SINGLE, Curve, Cut, plan
from lookalike.ops.sizes import sizes
from lookalike.ops.steps import Step

# From so many pivots on they pay, against the pairwise kernels of the same face; measured by
# `benchmarks/losses.py --crossing` for the CPU, estimated for CUDA.
MANY = {"native": 32, "cpu": 192, "cuda": 512, "triton": 256}
# Pairs that a GPU only compares are met one by one up to many more.
MANY_PAIRS = {"native": 96, "cpu": 384, "cuda": 512, "triton": 1024, "triton, compared": 4096}


def many(scores: Tensor) -> int:
    """From how many pivots on the sums of this room pay, against scores like these."""
    return MANY[_face(scores)]


def many_pairs(pivots: Tensor, has_slope: bool = True) -> int:
    """The same for pairs of pivots.

    Args:
        pivots: the pivots.
        has_slope: whether any of the steps has one; if not, pairs are only compared.
    """
    face = _face(pivots)
    return MANY_PAIRS[face if has_slope or face != "triton" else "triton, compared"]


def _face(like: Tensor) -> str:
    if native_kernels.suits(like):
        return "native"
    if paths.triton_suits(like):
        return "triton"
    return "cpu" if like.device.type == "cpu" else "cuda"  # other accelerators: as CUDA


@dataclass(frozen=True)
class Points:
    """Points of ``c`` rows in falling order.

    Attributes:
        x: ``(c, N)``, finite; for Triton ``-inf`` where a point does not count.
        weight: ``(c, N)`` float64; 0 for a point that does not count. For Triton float32, or None
            where all that count weigh 1.
    """

    x: Tensor
    weight: Tensor | None

    @classmethod
    def of(cls, x: Tensor, weight: Tensor | None = None) -> Points:
        """Points in any order; those at infinity do not count."""
        if paths.triton_suits(x):
            x, order = x.sort(dim=1, descending=True)
            return cls(x, None if weight is None else weight.float().gather(1, order))
        real = torch.isfinite(x)
        weight = real.double() if weight is None else weight.double() * real
        # Somewhere among the others: no range of cells grows by it.
        x = torch.where(real, x, _anywhere(x, real))
        x, order = x.sort(dim=1, descending=True)
        return cls(x, weight.gather(1, order))

    def rows(self, part: slice) -> tuple[Tensor, Tensor]:
        """Points and weights of a few rows, in plain torch."""
        x = self.x[part]
        real = torch.isfinite(x)
        weight = real.double() if self.weight is None else self.weight[part].double() * real
        # They stay where they were sorted to: at either end.
        least = -_anywhere(-x, real)
        return torch.where(real, x, torch.where(x == -math.inf, least, _anywhere(x, real))), weight


def line_sums(points: Points, targets: Tensor, step: Step, is_slope: bool = False) -> Tensor:
    """``sum_j weight_j * step(x_j - targets_i)``, or the sum of the step's slopes.

    Args:
        points: ``(c, N)``.
        targets: ``(c, P)`` in any order; the sum is 0 where one is infinite.
        step: any step.
        is_slope: sum the derivative.

    Returns:
        ``(c, P)`` float64; by Triton float32.

    >>> from lookalike.ops.steps import Heaviside
    >>> points = Points.of(torch.tensor([[0.9, 0.5, 0.7]]))
    >>> line_sums(points, torch.tensor([[0.6]]), Heaviside()).tolist()
    [[2.0]]
    """
    if paths.triton_suits(points.x) and points.x.shape[1] and targets.numel():
        found = import_module("lookalike.ops.triton_lines").line_sums(
            points.x, points.weight, targets, step, is_slope
        )
        if found is not None:
            return found
    real = torch.isfinite(targets)
    targets = torch.where(real, targets, _anywhere(targets, real))
    targets, order = targets.sort(dim=1, descending=True)
    sums = torch.zeros(targets.shape, dtype=torch.float64, device=targets.device)
    if points.x.shape[1] == 0 or targets.numel() == 0:
        return sums
    scheme = plan(step, is_slope, DOUBLE if targets.dtype == torch.float64 else SINGLE)
    for part in _groups(points.x, targets):
        (x, weight), at = points.rows(part), targets[part]
        weights, scores = _running(weight), _running(weight * x)
        passed = None
        for cut in scheme.cuts:
            passed = _passed(x, at, cut)
            before = weights.gather(1, passed)
            line = scores.gather(1, passed) - before * at
            sums[part] += cut.constant * before + cut.slope * line
        if scheme.curve is not None:
            sums[part] += _curve_sums((x, weight), at, weights, passed, scheme.curve)
    return torch.empty_like(sums).scatter_(1, order, sums) * real


def _anywhere(x: Tensor, real: Tensor) -> Tensor:
    """``(c, 1)``: a finite value of each row, or 0."""
    if x.shape[1] == 0:
        return x.new_zeros(len(x), 1)
    return x.masked_fill(~real, -math.inf).amax(dim=1, keepdim=True).nan_to_num(neginf=0.0)


def _groups(x: Tensor, targets: Tensor) -> Iterator[slice]:
    row = 8 * DOUBLE * (2 * x.shape[1] + 2 * targets.shape[1])
    step = max(1, sizes(x.device).group // row)
    for start in range(0, len(x), step):
        yield slice(start, start + step)


def _running(values: Tensor) -> Tensor:
    """``(c, N + 1)``: the sum of the first 0, 1, ... N of each row, in float64."""
    return pad(values.double().cumsum(dim=1), (1, 0))


def _passed(x: Tensor, targets: Tensor, cut: Cut) -> Tensor:
    """``(c, P)``: how many of the falling ``x`` are beyond the cut of each target, by bisection."""
    low = torch.zeros(targets.shape, dtype=torch.long, device=x.device)
    high = low + x.shape[1]
    for _ in range(x.shape[1].bit_length()):
        middle = (low + high) // 2
        y = x.gather(1, middle.clamp(max=x.shape[1] - 1)) - targets
        if cut.scale != 1.0 or cut.add != 0.0:
            y = cut.scale * y + cut.add
        is_beyond = (y > cut.at if cut.is_strict else y >= cut.at) & (low < high)
        low = torch.where(is_beyond, middle + 1, low)
        high = torch.where(is_beyond, high, middle)
    return low


@dataclass(frozen=True)
class Cells:
    """The cells of a width in which the points of each row lie, from the highest down.

    Attributes:
        number: ``(c, C)`` float64, falling; ``-inf`` where a row has fewer.
        first: ``(c, C + 1)`` the first point of each cell, N at the end.
    """

    number: Tensor
    first: Tensor

    @classmethod
    def of(cls, places: Tensor) -> Cells:
        """The cells of ``(c, N)`` falling numbers."""
        size = places.shape[1]
        rank = pad((places.diff(dim=1) != 0).long().cumsum(dim=1), (1, 0))
        count = 1 + int(rank[:, -1].max())
        edges = torch.arange(count + 1, device=places.device).expand(len(places), -1)
        first = torch.searchsorted(rank, edges.contiguous())
        number = places.gather(1, first[:, :-1].clamp(max=size - 1))
        return cls(number.masked_fill(first[:, :-1] == size, -math.inf), first)

    def find(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """The first cell not above each place, and whether it is the cell of that place."""
        at = torch.searchsorted(-self.number, -places)
        number = pad(self.number, (0, 1), value=-math.inf).gather(1, at)
        return at, (number == places) & torch.isfinite(places)


def _curve_sums(
    points: tuple[Tensor, Tensor],
    targets: Tensor,
    weights: Tensor,
    passed: Tensor | None,
    curve: Curve,
) -> Tensor:
    """What the curve adds to each of the falling targets; ``passed`` is of the cut that cuts it."""
    width, nodes = curve.width, curve.table.shape[1]
    x, at = points[0].double(), targets.double()
    place = torch.floor(x / width)
    cells = Cells.of(place)
    home = torch.floor((at + curve.shift) / width)
    if curve.is_cut and passed is not None:
        home = _mended(home, passed, cells)
    u = (x - (place + 0.5) * width) * (2 / width)
    running, power = [], points[1]
    for _ in range(nodes):
        running.append(_running(power))
        power = power * u
    table = torch.from_numpy(curve.table.copy()).to(x)
    parts = _collected(home, cells, running, table, curve)
    if curve.is_cut and passed is not None:
        cell, known = cells.find(home)
        last = torch.where(known, cells.first.gather(1, (cell + known)), passed)
        here = torch.stack([r.gather(1, last) - r.gather(1, passed) for r in running], dim=2)
        parts = parts + here @ table[0]
    v = (at - (home + 0.5) * width + curve.shift) * (2 / width)
    sums = parts[..., -1]
    for power in range(nodes - 2, -1, -1):
        sums = sums * v + parts[..., power]
    if curve.beyond:
        before = cells.first.gather(1, cells.find(home - curve.first)[0])
        sums = sums + curve.beyond * weights.gather(1, before)
    return sums


def _mended(home: Tensor, passed: Tensor, cells: Cells) -> Tensor:
    """Cells of targets; where rounding puts a cut beyond the edge of one, the cut is right."""
    cell, known = cells.find(home)
    high, low = cells.first.gather(1, cell), cells.first.gather(1, cell + known)
    number = pad(cells.number, (0, 1), value=-math.inf)
    home = torch.where(passed < high, number.gather(1, (cell - 1).clamp(min=0)), home)
    return torch.where(passed > low, number.gather(1, cell + known), home)


def _collected(
    home: Tensor, cells: Cells, running: list[Tensor], table: Tensor, curve: Curve
) -> Tensor:
    """``(c, P, nodes)``: the polynomial of each target's cell, from the points in reach."""
    homes = Cells.of(home)
    distances = torch.arange(
        curve.first + curve.is_cut, curve.first + len(table), device=home.device
    )
    wanted = (homes.number[:, :, None] - distances).flatten(1)
    cell, known = cells.find(wanted)
    first, last = cells.first.gather(1, cell), cells.first.gather(1, cell + known)
    moments = torch.stack([r.gather(1, last) - r.gather(1, first) for r in running], dim=2)
    # (c, cells, distances · nodes) by (distances · nodes, nodes)
    moments = moments.unflatten(1, (homes.number.shape[1], len(distances))).flatten(2)
    local = moments @ table[curve.is_cut :].flatten(0, 1)
    rank = pad((home.diff(dim=1) != 0).long().cumsum(dim=1), (1, 0))
    return local.gather(1, rank[:, :, None].expand(-1, -1, local.shape[2]))
