"""Batches beyond memory: the loss sees all of it, the network a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def two_pass(
    embed: Callable[[Tensor], Tensor],
    loss_of: Callable[[Tensor], Tensor],
    back: Callable[..., None],
    parts: Sequence[Tensor],
    model: nn.Module,
    sync: Callable[[bool], AbstractContextManager[None]] = nullcontext,
) -> Tensor:
    """The gradient of a loss of a whole batch, with the activations of one part of it in memory.

    ::

        1.  E_i = f(x_i) without gradient, for every part i
        2.  L = loss(E_1, …, E_n);   G_i = ∂L/∂E_i
        3.  for every part:  E_i = f(x_i) again, back-propagate G_i

    Revaud et al., *Learning with average precision* (ICCV 2019, figure 2); Gao et al. (arXiv
    2101.06983) name it gradient caching. A sum over parts of (∂L/∂E_i)·(∂E_i/∂θ) is ∂L/∂θ for
    every loss. Both passes see the same images and draw the same random numbers, so dropout
    is the same in both.

    Batch norm in training mode normalises each part by the part's own statistics (ghost batch
    norm), and its running statistics move once a part, in the first pass only: the result is that
    of one pass in which the parts go through the network one after the other and the graph of all
    is kept. With batch norm frozen (``model.freeze_batch_norm``), or a network without it, it is
    also that of the batch in one piece.

    Args:
        embed: part → embeddings.
        loss_of: all embeddings → loss; called once, so a memory bank enqueues once.
        back: back-propagates a loss, or embeddings and their gradient.
        parts: the images, cut.
        model: whose buffers the second pass must leave as they are.
        sync: around each part's second pass; told whether it is the last, with which processes
            average their gradients.

    Returns:
        The loss, detached.
    """
    states, found = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state(part))
            found.append(embed(part))
    buffers = Buffers(model)
    embeddings = torch.cat(found).requires_grad_()
    loss = loss_of(embeddings)
    back(loss)
    gradients = embeddings.grad
    if gradients is None:  # a loss that asks nothing of the embeddings
        gradients = torch.zeros_like(embeddings)
    after = _random_state(parts[0])
    sizes = [len(part) for part in parts]
    for number, (part, state, gradient) in enumerate(
        zip(parts, states, gradients.split(sizes), strict=True), start=1
    ):
        _set_random_state(part, state)
        with sync(number == len(parts)):
            back(embed(part), gradient)
    _set_random_state(parts[0], after)
    buffers.put_back()
    return loss.detach()


class Buffers:
    """A model's buffers (batch norm's running statistics, …) as they are now."""

    def __init__(self, model: nn.Module) -> None:
        self.kept = [(buffer, buffer.clone()) for buffer in model.buffers()]

    @torch.no_grad()
    def put_back(self) -> None:
        """Make them so again."""
        for buffer, value in self.kept:
            buffer.copy_(value)


def _random_state(like: Tensor) -> tuple[Tensor, Tensor | None]:
    cuda = torch.cuda.get_rng_state(like.device) if like.device.type == "cuda" else None
    return torch.get_rng_state(), cuda


def _set_random_state(like: Tensor, state: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], like.device)
