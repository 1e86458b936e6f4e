"""How healthy embeddings and gradients are: pure functions of a batch, cheap enough for training.

All take embeddings of unit length, ``(n, D)``, compute in float64 and return a plain number. With
too few rows to say anything they return NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def effective_rank(x: Tensor) -> float:
    """How many directions the embeddings use: 1 when all are equal, at most ``min(n, D)``.

    ::

        exp(−Σ p_k log p_k),   p_k = σ_k / Σ σ,   σ the singular values of x

    Roy & Vetterli, *The effective rank*, EUSIPCO 2007; as a measure of learned representations
    RankMe (Garrido et al., ICML 2023). Embeddings are not centred.

    >>> round(effective_rank(torch.eye(4)), 6), round(effective_rank(torch.ones(4, 3)), 6)
    (4.0, 1.0)
    """
    x = x.double()
    gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    sizes = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    total = sizes.sum()
    if not total > 0:
        return math.nan
    shares = sizes / total
    return float(torch.special.entr(shares).sum().exp())


@torch.no_grad()
def uniformity(x: Tensor, t: float = 2.0) -> float:
    """How evenly the embeddings cover the sphere: 0 when all are equal, the lower the more even.

    ::

        log mean over i ≠ j of exp(−t ‖x_i − x_j‖²)

    Wang & Isola, *Understanding contrastive representation learning through alignment and
    uniformity on the hypersphere*, ICML 2020 (arXiv 2005.10242, equation 3).

    Args:
        x: ``(n, D)``.
        t: of the Gaussian; the paper's is 2.

    >>> uniformity(torch.ones(3, 1)), round(uniformity(torch.eye(3)), 6)
    (0.0, -4.0)
    """
    n = len(x)
    if n < 2:
        return math.nan
    closeness = torch.exp(-t * _squared_distances(x)).fill_diagonal_(0)
    return float((closeness.sum() / (n * (n - 1))).log())


@torch.no_grad()
def alignment(x: Tensor, labels: Tensor) -> float:
    """How far apart images of a class are: the mean of ‖x_i − x_j‖² over pairs of a class.

    Wang & Isola 2020, equation 2 with α = 2; there a pair is two views of an image, here two
    images of a class. 0 when every class is a point, 2 when classes are strewn at random.

    Args:
        x: ``(n, D)``.
        labels: ``(n,)``; −1 has no class.

    >>> alignment(torch.eye(4), torch.tensor([0, 0, 1, 1]))
    2.0
    """
    same = (labels[:, None] == labels[None, :]) & (labels >= 0)[:, None]
    same.fill_diagonal_(False)
    if not same.any():
        return math.nan
    return float(_squared_distances(x)[same].mean())


@torch.no_grad()
def hubness(x: Tensor, k: int = 10) -> float:
    """Skewness of how often an image is among the k nearest of the others.

    ::

        E[(N_k − μ)³] / σ³

    Radovanović et al., *Hubs in space*, JMLR 2010. Near 0 no image is everybody's neighbour;
    above 2 or so, a few hubs fill most result lists. With k others or fewer every image would
    occur equally often: NaN.

    Args:
        x: ``(n, D)``.
        k: neighbours; the paper's is 10.
    """
    n = len(x)
    if n < k + 2:
        return math.nan
    closeness = (-_squared_distances(x)).fill_diagonal_(-math.inf)
    found = closeness.topk(k, dim=1).indices
    counts = torch.bincount(found.flatten(), minlength=n).double()
    spread = counts - counts.mean()
    variance = spread.square().mean()
    return float(spread.pow(3).mean() / variance.pow(1.5)) if variance > 0 else 0.0


@torch.no_grad()
def active_share(gradient: Tensor, threshold: float = 1e-3) -> float:
    """Share of a batch's images that the loss still moves.

    An image none of whose terms is active (every triplet beyond its margin, every negative far
    enough) gets no gradient at its embedding. One counts as active with a gradient longer than
    ``threshold`` times the longest of the batch.

    Args:
        gradient: of the loss at the embeddings, ``(n, D)``, in any scale.
        threshold: fraction of the longest.

    >>> active_share(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    0.5
    """
    length = gradient.double().norm(dim=1)
    longest = length.max()
    if not longest > 0:
        return 0.0
    return float((length > threshold * longest).double().mean())


@torch.no_grad()
def gradient_norms(groups: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Euclidean norm of the gradients of each parameter group, those without decay included.

    Args:
        groups: of optimisers: ``{"name": "head" or "head_no_decay", "params": […]}``. A group
            without gradients, one that stands still, is left out.
    """
    return _norms(groups, lambda p: p.grad)


def weight_norms(groups: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Euclidean norm of the weights of each parameter group, as `gradient_norms`."""
    return _norms(groups, lambda p: p.detach())


def _norms(
    groups: Iterable[Mapping[str, Any]], of: Callable[[nn.Parameter], Tensor | None]
) -> dict[str, float]:
    squares: dict[str, Tensor] = {}
    for group in groups:
        found = [x for p in group["params"] if (x := of(p)) is not None]
        if not found:
            continue
        square = nn.utils.get_total_norm(found).double().square()
        name = str(group["name"]).removesuffix("_no_decay")
        squares[name] = squares[name] + square if name in squares else square
    return {name: float(square.sqrt()) for name, square in squares.items()}


def _squared_distances(x: Tensor) -> Tensor:
    """``(n, n)``; of vectors of unit length."""
    x = x.double()
    return (2 - 2 * (x @ x.T)).clamp_min_(0)
