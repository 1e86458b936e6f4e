"""What LANDER learns by: densities by their squares, links by cross-entropy or focal loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lookalike.discover.lander import Prediction


def lander_loss(
    prediction: Prediction,
    density: Tensor,
    same_class: Tensor,
    counted: Tensor,
    *,
    focal: bool = False,
    gamma: float = 2.0,
) -> Tensor:
    r"""MSE of the densities plus the mean loss of the links, 1 : 1 (Xing et al., ICCV 2021).

    The links' loss is :math:`-\log p_y`, or with ``focal`` :math:`-(1 - p_y)^\gamma \log p_y` (Lin
    et al., ICCV 2017). Without a link to count there is only the MSE.

    Args:
        prediction: of a graph with E edges.
        density: ``(nodes,)``, true.
        same_class: bool ``(E,)``.
        counted: bool ``(E,)``, the edges that count: those that rise in density.
        focal: weigh down the easy links.
        gamma: how much.

    Returns:
        A scalar.
    """
    loss = F.mse_loss(prediction.density, density.to(prediction.density))
    if counted.any():
        loss = loss + link_loss(
            prediction.logits[counted], same_class[counted], focal=focal, gamma=gamma
        )
    return loss


def link_loss(
    logits: Tensor, same_class: Tensor, *, focal: bool = False, gamma: float = 2.0
) -> Tensor:
    """The links' part: mean cross-entropy or focal loss of ``(E, 2)`` logits."""
    losses = F.cross_entropy(logits, same_class.long(), reduction="none")
    if focal:
        losses = (1 - (-losses).exp()) ** gamma * losses
    return losses.mean()


def balanced(
    same_class: Tensor, counted: Tensor, generator: torch.Generator, *, one_kind: str = "keep"
) -> Tensor:
    """As many links as non-links among the counted edges: the rarer all, the others drawn.

    Where one kind is missing, all stay, or with ``one_kind="drop"`` none.

    >>> same = torch.tensor([True, False, False, False])
    >>> kept = balanced(same, torch.ones(4, dtype=torch.bool), torch.Generator().manual_seed(0))
    >>> int(kept.sum()), bool(kept[0])
    (2, True)
    """
    kinds = [torch.nonzero(counted & kind).flatten() for kind in (same_class, ~same_class)]
    size = min(len(kind) for kind in kinds)
    if size == 0 and one_kind == "keep":
        return counted
    kept = torch.zeros_like(counted)
    for kind in kinds:
        drawn = torch.randperm(len(kind), generator=generator)[:size]
        kept[kind[drawn.to(kind.device)]] = True
    return kept
