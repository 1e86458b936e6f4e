"""The steps that soften a rank: how much an item that is ``x`` ahead adds to another's rank."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lookalike.errors import LookalikeError


@dataclass(frozen=True)
class SoftStep:
    """A differentiable stand-in for the Heaviside step, in three pieces.

    ::

        x <= 0           sigmoid(x / tau)
        0 < x <= delta   start + sigmoid(x / tau)
        x > delta        rho * (x - delta) + offset

    ``delta = inf`` makes it the plain sigmoid of Smooth-AP (Brown et al., ECCV 2020); the other
    values are the upper bound of ROADMAP (Ramzi et al., NeurIPS 2021).
    """

    tau: float
    start: float = 0.0
    delta: float = math.inf
    rho: float = 0.0
    offset: float = 0.0

    @classmethod
    def upper_bound(
        cls, tau: float, rho: float, delta: float | None, start: float, offset: float | None
    ) -> SoftStep:
        """ROADMAP's step; ``offset=None`` joins the pieces at ``delta``; ``rho=-1`` is a sigmoid.

        ``delta=None`` starts the line at 0, and then an ``offset`` must be given.
        """
        if rho == -1:
            return cls(tau)
        if delta is None:
            if offset is None:
                raise LookalikeError("delta=None leaves offset undefined: give a number.")
            return cls(tau, start, 0.0, rho, offset)
        if offset is None:
            offset = start + 1.0 / (1.0 + math.exp(-min(delta / tau, 50.0)))
        return cls(tau, start, delta, rho, offset)

    @property
    def is_sigmoid(self) -> bool:
        """Whether the third piece is never reached and the second does not jump."""
        return math.isinf(self.delta) and self.start == 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """The step of finite differences."""
        near = torch.sigmoid(x / self.tau)
        if self.is_sigmoid:
            return near
        # Masks are numbers: on a CPU a multiplication is ten times as fast as `where`.
        far = (x > self.delta).to(x.dtype)
        near = near + self.start * (x > 0).to(x.dtype)
        return near + far * (self.offset - near) + self.rho * (x - self.delta).relu()

    def slope(self, x: Tensor) -> Tensor:
        """The derivative of the step."""
        near = torch.sigmoid(x / self.tau)
        near = near * (1 - near) / self.tau
        if self.is_sigmoid:
            return near
        return near + (x > self.delta).to(x.dtype) * (self.rho - near)


@dataclass(frozen=True)
class Heaviside:
    """1 where ``x >= 0``, else 0: a tie counts against the item."""

    def __call__(self, x: Tensor) -> Tensor:
        """The step."""
        return (x >= 0).to(x.dtype)

    def slope(self, x: Tensor) -> Tensor:
        """0, by convention also at the jump."""
        return torch.zeros_like(x)


@dataclass(frozen=True)
class LowerBound:
    """The lower bound of the Heaviside step that HAPPIER uses for H-ranks.

    ``leak * x`` where ``x <= 0``, then ``min(beta * x + gamma, 1)``; with ``gamma > 1`` it is 1.
    """

    beta: float
    gamma: float
    leak: float

    def __call__(self, x: Tensor) -> Tensor:
        """The bound."""
        above = (self.beta * x + self.gamma).clamp(max=1.0)
        if self.gamma > 1:
            above = torch.ones_like(x)
        return torch.where(x > 0, above, self.leak * x)

    def slope(self, x: Tensor) -> Tensor:
        """The derivative of the bound."""
        rises = (self.beta * x + self.gamma <= 1) & (self.gamma <= 1)
        return torch.where(x > 0, rises.to(x.dtype) * self.beta, self.leak)


Step = SoftStep | Heaviside | LowerBound
