"""How much a match is worth, from how many label levels it shares with the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lookalike.errors import LookalikeError
from lookalike.losses.arguments import one_of

Relevance = Literal["pop", "map"]


def relevance(
    level: Tensor,
    kind: Relevance = "pop",
    alpha: float | Sequence[float] = 1.0,
    dtype: torch.dtype = torch.float32,
    levels: int | None = None,
) -> Tensor:
    """Relevance of every item for its query (HAPPIER, Ramzi et al., ECCV 2022, sec. 3.2).

    ::

        pop:  rel(l) = l^alpha / n_l                    n_l items share exactly l levels
        map:  rel(l) = sum over p = 1..l of alpha_p / N_p   N_p items share at least p levels

    The original scales ``pop`` by ``(L - 1)^-alpha``; a factor of a whole row changes no H-AP.

    Args:
        level: ``(c, P)`` integers, the levels shared; 0 is no match, and worth nothing.
        kind: ``"pop"`` or ``"map"``.
        alpha: the exponent of ``"pop"``, or the L weights of ``"map"``.
        dtype: of the result.
        levels: L, which no level exceeds; None asks for the largest.

    Returns:
        ``(c, P)``.

    >>> import torch
    >>> relevance(torch.tensor([[2, 1, 1, 0]]))
    tensor([[2.0000, 0.5000, 0.5000, 0.0000]])
    """
    if isinstance(alpha, Sequence):
        deepest = len(alpha)
    elif levels is not None:
        deepest = levels
    else:
        deepest = int(level.max()) if len(level) else 0
    of_level = torch.zeros(len(level), deepest + 1, dtype=dtype, device=level.device)
    for depth in range(1, deepest + 1):
        is_map = isinstance(alpha, Sequence)
        members = level >= depth if is_map else level == depth
        value = float(alpha[depth - 1]) if is_map else float(depth) ** alpha
        each = value / members.sum(dim=1, keepdim=True).clamp(min=1).to(dtype)
        of_level[:, depth:] += each if is_map else 0
        if not is_map:
            of_level[:, depth : depth + 1] = each
    return of_level.gather(1, level.clamp(max=deepest).long())


def check(
    loss: str, kind: str, alpha: float | Sequence[float]
) -> tuple[Relevance, float | tuple[float, ...]]:
    """The relevance settings of a loss, or what is wrong with them."""
    one_of(loss, "relevance", kind, ("pop", "map"))
    if kind == "pop":
        if isinstance(alpha, int | float):
            return "pop", float(alpha)
        raise LookalikeError(f'{loss}: relevance="pop" takes one exponent, not alpha={alpha}.')
    if isinstance(alpha, int | float):
        raise LookalikeError(
            f'{loss}: relevance="map" takes a list with one weight a level, not alpha={alpha}.'
        )
    return "map", tuple(float(a) for a in alpha)
