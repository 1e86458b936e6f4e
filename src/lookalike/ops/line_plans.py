r"""How the sum of a step over points on a line is found without meeting every pair.

``F(t) = sum_j w_j step(s_j - t)`` for ``N`` sources and ``P`` targets costs ``P·N`` steps one by
one. A step is lines between cuts and, up to its last cut, a sigmoid:

*Lines.* With the sources in falling order, those beyond a cut are the first few, and
``sum w (a + b (s - t))`` over them is ``a W + b (S - W t)`` with running sums ``W`` of the weights
and ``S`` of ``w s``. This is exact.

*The sigmoid.* The line is divided into cells as wide as ``tau``, to 16 binary digits. In one cell
``s`` is the cell's centre plus ``u`` half-widths, ``|u| <= 1``, and a target is ``v`` half-widths
off the centre of its own. For two cells ``e`` apart the sigmoid is then a function of ``u`` and
``v`` that a polynomial replaces::

    sigmoid((s - t) / tau)  =  sum over k, l < nodes of A[e, k, l] u^k v^l

``A`` interpolates at the Chebyshev points. So a source enters as ``w, w u, w u^2, ...``, summed up
within its cell; every cell of targets collects the sums of the cells within reach, one small
matrix product each; and every target evaluates one polynomial. Work is ``(P + N)·nodes``, and
``nodes^2`` a pair of cells. Cells out of reach add 0 or their whole weight; in between, beyond
``NEAR`` temperatures, the native library takes ``exp(x) - exp(2 x) + exp(3 x)`` for the sigmoid:
sums that a cell hands on to the next. A step that is cut at
``delta`` lays the targets' cells ``delta`` below the sources', so that a cell of targets is cut in
one cell of sources; of this one the sums run only over the sources below the cut.

*The error.* ``sigmoid'`` has the Fourier transform ``pi w / sinh(pi w)``, so the n-th derivative of
``sigmoid`` is at most ``∫ w^n / sinh(pi w) dw`` over ``w > 0``, which is
``2 n! (1 - 2^-(n+1)) zeta(n+1) / pi^(n+1)``. What interpolation at ``p`` Chebyshev points of a
segment of length ``tau`` leaves is the p-th derivative over ``p! 2^(p-1)``, times ``(tau/2)^p``::

    E = (4 / pi) (1 - 2^-(p+1)) zeta(p+1) / (4 pi)^p        E' = (p + 1) / pi · E for the slope

Interpolation in ``u`` and then in ``v`` leaves ``E + L E``, with the Lebesgue constant ``L`` of
the points. :func:`error_bound` is this, plus what lies out of reach: 7e-9 of each source for
float32 (8 points), 2e-15 for float64 (14 points). Far below 0 the sigmoid and all its derivatives
fall as ``exp(x / tau)``, and the error with them, so that small sums are as exact as large ones.

:mod:`lookalike.ops.line_sums` and the native library carry the plans out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lookalike.ops.steps import Heaviside, LowerBound, SoftStep, Step

# Points of interpolation, and temperatures beyond which a sigmoid is 0 or 1.
SINGLE, DOUBLE = 8, 14
REACH = {SINGLE: 25.0, DOUBLE: 37.0}
# Temperatures beyond which so many terms of its series make a sigmoid, to exp(-24).
NEAR, TERMS = 6.0, 3
# So few binary digits has the width of a cell that the centres of cells are exact.
WIDTH_BITS = 16


@dataclass(frozen=True)
class Cut:
    """Where ``scale * x + add`` passes ``at``, a step gains ``constant + slope * x``.

    ``is_strict`` tells ``>`` from ``>=``; ``at = -inf`` is passed by every source.
    """

    at: float
    is_strict: bool
    constant: float
    slope: float
    scale: float = 1.0
    add: float = 0.0


@dataclass(frozen=True)
class Curve:
    """The sigmoid's part of a step, or of its slope.

    Attributes:
        width: of a cell.
        shift: a target's cell is that of ``t + shift``.
        table: ``(cells, nodes, nodes)``, the ``A`` of each distance from ``first`` on, in cells by
            which a source's lies below a target's.
        first: the first distance of the table.
        is_cut: whether the step is cut within the cells at distance 0; then ``first`` is 0.
        beyond: what a source adds that lies above all cells of the table.
        tau: the temperature.
    """

    width: float
    shift: float
    table: np.ndarray
    first: int
    is_cut: bool
    beyond: float
    tau: float

    def near(self) -> tuple[int, np.ndarray]:
        """The first distance and the table of the cells nearer than ``NEAR``, or above the cut."""
        reach = math.ceil(NEAR) + 1
        first = self.first if self.is_cut else -reach
        last = max(0, reach + math.ceil(self.shift / self.tau))
        return first, self.table[first - self.first : last + 1 - self.first]

    def tails(self, is_slope: bool) -> np.ndarray:
        """``(TERMS, 1 + nodes)``: the factor of each ``exp(-k |x| / tau)``, its powers of u."""
        nodes = self.table.shape[1]
        order = np.arange(1, TERMS + 1)
        factor = (-1.0) ** (order + 1) * (order / self.tau if is_slope else 1.0)
        rise = np.exp(order[:, None] * _points(nodes) * (self.width / self.tau / 2))
        return np.column_stack([factor, rise @ _cosines(nodes).T @ _chebyshev(nodes)])


@dataclass(frozen=True)
class Plan:
    """A step, or its slope, as lines between cuts and a curve.

    Attributes:
        cuts: the last one cuts the curve, if it is cut.
        curve: None where there is no sigmoid.
    """

    cuts: tuple[Cut, ...]
    curve: Curve | None


@lru_cache(maxsize=64)
def plan(step: Step, is_slope: bool, nodes: int) -> Plan:
    """The plan of a step, or of its derivative.

    Args:
        step: any step.
        is_slope: whether the sums are of the derivative.
        nodes: ``SINGLE`` or ``DOUBLE``.

    >>> from lookalike.ops.steps import Heaviside
    >>> plan(Heaviside(), False, SINGLE).cuts
    (Cut(at=0.0, is_strict=False, constant=1.0, slope=0.0, scale=1.0, add=0.0),)
    """
    if isinstance(step, Heaviside):
        return Plan(() if is_slope else (Cut(0.0, False, 1.0, 0.0),), None)
    if isinstance(step, LowerBound):
        return Plan(_slopes(_bound_cuts(step)) if is_slope else _bound_cuts(step), None)
    curve = _curve(step, is_slope, nodes)
    cuts = _soft_cuts(step, curve)
    return Plan(_slopes(cuts) if is_slope else cuts, curve)


def error_bound(nodes: int, is_slope: bool = False) -> float:
    """The most by which a sigmoid of size 1 (or its slope, times tau) is missed; see above.

    >>> f"{error_bound(SINGLE):.0e} {error_bound(DOUBLE):.0e}"
    '7e-09 2e-15'
    """
    zeta = sum(float(k) ** -(nodes + 1) for k in range(1, 200))
    one = 4 / math.pi * (1 - 2.0 ** -(nodes + 1)) * zeta / (4 * math.pi) ** nodes
    if is_slope:
        zeta = sum(float(k) ** -(nodes + 2) for k in range(1, 200))
        one = 4 / math.pi * zeta / (4 * math.pi) ** nodes * (nodes + 1) / math.pi
    points = _points(nodes)
    at = np.linspace(-1, 1, 2001)
    basis = [
        np.prod([(at - q) / (p - q) for q in points if q != p], axis=0, initial=1.0) for p in points
    ]
    lebesgue = np.abs(basis).sum(axis=0).max()
    return float((1 + lebesgue) * one + math.exp(-REACH[nodes]))


def _soft_cuts(step: SoftStep, curve: Curve) -> tuple[Cut, ...]:
    cuts = []
    start = step.start if step.delta > 0 else 0.0
    if start:
        cuts.append(Cut(0.0, True, start, 0.0))
    if math.isfinite(step.delta):
        # The line replaces the start and, where the curve goes on at 1, that too.
        height = step.offset - step.rho * step.delta - start - (0.0 if curve.is_cut else 1.0)
        cuts.append(Cut(step.delta, True, height, step.rho))
    return tuple(cuts)


def _bound_cuts(step: LowerBound) -> tuple[Cut, ...]:
    """``leak x``; from 0 on ``beta x + gamma``, and 1 where this is more."""
    always = Cut(-math.inf, False, 0.0, step.leak)
    if step.gamma > 1:
        return always, Cut(0.0, True, 1.0, -step.leak)
    cuts = always, Cut(0.0, True, step.gamma, step.beta - step.leak)
    if step.beta <= 0:
        return cuts
    return *cuts, Cut(1.0, True, 1.0 - step.gamma, -step.beta, step.beta, step.gamma)


def _slopes(cuts: tuple[Cut, ...]) -> tuple[Cut, ...]:
    """The derivative between the cuts; a jump has none."""
    return tuple(
        Cut(cut.at, cut.is_strict, cut.slope, 0.0, cut.scale, cut.add)
        for cut in cuts
        if cut.slope or cut is cuts[-1]
    )


def _curve(step: SoftStep, is_slope: bool, nodes: int) -> Curve:
    """Cells ``tau`` wide; a step cut out of the sigmoid's reach is a sigmoid that goes on at 1."""
    fraction, exponent = math.frexp(step.tau)
    width = math.ldexp(round(fraction * 2**WIDTH_BITS), exponent - WIDTH_BITS)
    reach = math.ceil(REACH[nodes]) + 2
    is_cut = step.delta <= REACH[nodes] * step.tau
    shift = step.delta if is_cut else 0.0
    first = 0 if is_cut else -reach
    last = max(0, reach + math.ceil(shift / step.tau)) if is_cut else reach
    centres = (shift - np.arange(first, last + 1) * width) / step.tau
    table = _table(centres, width / step.tau, is_slope, nodes)
    if is_slope:
        table = table / step.tau
    table.setflags(write=False)
    return Curve(width, shift, table, first, is_cut, 0.0 if is_slope or is_cut else 1.0, step.tau)


def _points(nodes: int) -> np.ndarray:
    return np.cos((2 * np.arange(nodes) + 1) * (np.pi / (2 * nodes)))


def _table(centres: np.ndarray, width: float, is_slope: bool, nodes: int) -> np.ndarray:
    """``(cells, nodes, nodes)``: the powers of u and v at each distance of the centres."""
    points = _points(nodes)
    half = points * (width / 2)
    x = centres[:, None, None] + half[:, None] - half
    near = np.exp(-np.abs(x))
    values = near / (1 + near) ** 2 if is_slope else np.where(x < 0, near, 1.0) / (1 + near)
    # One after the other: their product has large entries, which drown the small coefficients.
    cosines, powers = _cosines(nodes), _chebyshev(nodes)
    return powers.T @ (cosines @ values @ cosines.T) @ powers


def _cosines(nodes: int) -> np.ndarray:
    """From values at the points to the coefficients of Chebyshev polynomials."""
    cosines = np.cos(np.arange(nodes)[:, None] * np.arccos(_points(nodes))) * (2 / nodes)
    cosines[0] /= 2
    return cosines


def _chebyshev(nodes: int) -> np.ndarray:
    """The powers of each Chebyshev polynomial, a row each."""
    rows = [np.polynomial.chebyshev.cheb2poly(np.eye(nodes)[degree]) for degree in range(nodes)]
    return np.array([np.pad(row, (0, nodes - len(row))) for row in rows])
