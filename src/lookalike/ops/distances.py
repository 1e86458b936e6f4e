"""How two vectors are compared: by cosine, Euclidean distance, dot product, or a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lookalike.errors import ConfigError, suggest

NAMES = ("cosine", "euclidean", "dot")
# A name, or a function of ``(B, D)`` and ``(M, D)`` that gives ``(B, M)``: distances, or, where it
# says ``is_inverted = True`` as pytorch-metric-learning's do, similarities.
Distance: TypeAlias = str | Callable[[Tensor, Tensor], Tensor]
_LEAST = 1e-12  # squared distances whose root has a slope
_PARTS = 3  # float32 numbers that hold a float64 one


def check(where: str, distance: Any, known: Iterable[str] = NAMES) -> None:
    """Refuse what is neither a known name nor a function.

    Raises:
        ConfigError: names the nearest.

    >>> check("evaluate", "cosin")
    Traceback (most recent call last):
    lookalike.errors.ConfigError: evaluate: distance='cosin'. Did you mean 'cosine'?
    """
    known = tuple(known)
    if not (callable(distance) or distance in known):
        raise ConfigError(f"{where}: distance={distance!r}. {suggest(str(distance), known)}")


def similarities(distance: Distance, query: Tensor, reference: Tensor) -> Tensor:
    """``(B, M)``, larger for nearer: products, or distances less than zero.

    Args:
        distance: ``"cosine"`` and ``"dot"`` are the product of the vectors as they are handed over;
            ``"euclidean"`` is -‖q - r‖, ``"squared"`` its square with the sign kept; or a function.
        query: ``(B, D)``.
        reference: ``(M, D)``.

    >>> similarities("euclidean", torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[-5.]])
    """
    if isinstance(distance, str):
        sides = lengths(distance, query, reference)
        return of_products(distance, query @ reference.T, *sides)
    matrix = distance(query, reference)
    if not isinstance(matrix, Tensor) or matrix.shape != (len(query), len(reference)):
        shape = tuple(matrix.shape) if isinstance(matrix, Tensor) else type(matrix).__name__
        raise ConfigError(
            f"distance gave {shape} in place of ({len(query)}, {len(reference)}): it must give"
            " one number for each pair of vectors, as a matrix."
        )
    return matrix if getattr(distance, "is_inverted", False) else -matrix


def lengths(distance: str, query: Tensor, reference: Tensor) -> tuple[Tensor, Tensor] | tuple[()]:
    """The squared lengths ``(B,)`` and ``(M,)``, where a distance needs them beside products."""
    if distance in ("cosine", "dot"):
        return ()
    return query.square().sum(dim=1), reference.square().sum(dim=1)


def of_products(distance: str, products: Tensor, *squares: Tensor) -> Tensor:
    """Similarities ``(B, M)`` from dot products and what `lengths` gave."""
    if not squares:
        return products
    squared = 2 * products - (squares[0][:, None] + squares[1][None, :])
    return squared if distance == "squared" else -(-squared).clamp_min(_LEAST).sqrt()


def as_products(distance: str, query: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors whose dot products order as a distance does.

    ::

        cosine      x / ‖x‖, divided in float64 and kept in the type of x
        euclidean   (q, 1, -‖q‖²/2) · (g, -‖g‖²/2, 1) = -‖q - g‖² / 2

    In float32 half the squared length, a float64 number, stands as the sum of three.

    Args:
        distance: one of `NAMES`.
        query: ``(B, D)`` float32 or float64.
        gallery: ``(M, D)`` of the same type.
    """
    if distance == "dot":
        return query, gallery
    if distance == "cosine":
        first = _unit(query)
        return first, first if gallery is query else _unit(gallery)
    of_query, of_gallery = _half_squares(query), _half_squares(gallery)
    ones = [torch.ones_like(part) for part in (of_query, of_gallery)]
    return (
        torch.cat([query, ones[0], of_query], dim=1),
        torch.cat([gallery, of_gallery, ones[1]], dim=1),
    )


def added(kind: torch.dtype) -> int:
    """Numbers that `as_products` adds to a vector for the Euclidean distance."""
    return 2 if kind == torch.float64 else 2 * _PARTS


def _unit(x: Tensor) -> Tensor:
    wide = x.double()
    length = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    return (wide / length.clamp_min(torch.finfo(torch.float64).tiny)).to(x.dtype)


def _half_squares(x: Tensor) -> Tensor:
    """-‖x‖²/2 as one number a row, or in float32 as three that add up to it."""
    rest = -0.5 * x.double().square().sum(dim=1, keepdim=True)
    if x.dtype == torch.float64:
        return rest
    parts = []
    for _ in range(_PARTS):
        parts.append(rest.to(x.dtype))
        rest = rest - parts[-1].double()
    return torch.cat(parts, dim=1)
