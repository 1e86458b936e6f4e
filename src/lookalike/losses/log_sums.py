"""ln(1 + Σ exp) over a mask, the soft maximum of multi-similarity and proxy anchor."""

from __future__ import annotations

import torch
from torch import Tensor

# Below every exponent, and finite: exp of it is 0, and so is its slope where nothing else stands.
FLOOR = -1e9


def log_one_plus(exponents: Tensor, mask: Tensor, dim: int) -> Tensor:
    """ln(1 + Σ exp) along ``dim`` over a mask: 0, with no gradient, where the mask is empty.

    >>> log_one_plus(torch.zeros(2, 3), torch.tensor([[True] * 3, [False] * 3]), dim=1)
    tensor([1.3863, 0.0000])
    """
    return one_plus(exponents.masked_fill(~mask, FLOOR).logsumexp(dim))


def one_plus(log: Tensor) -> Tensor:
    """ln(1 + e^x), to the last bit also where ``softplus`` cuts to x."""
    return torch.logaddexp(log, torch.zeros_like(log))
