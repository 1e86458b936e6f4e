"""ln(1 + Σ exp) over a mask, the soft maximum of multi-similarity and proxy anchor."""

from __future__ import annotations

import torch
from torch import Tensor


def log_one_plus(exponents: Tensor, mask: Tensor, dim: int) -> Tensor:
    """ln(1 + Σ exp) along ``dim`` over a mask: 0, with no gradient, where the mask is empty.

    >>> log_one_plus(torch.zeros(2, 3), torch.tensor([[True] * 3, [False] * 3]), dim=1)
    tensor([1.3863, 0.0000])
    """
    kept = exponents.masked_fill(~mask, -torch.inf)
    return torch.logsumexp(torch.cat([torch.zeros_like(kept.narrow(dim, 0, 1)), kept], dim), dim)
