"""Comparing losses with parameters to golden numbers."""

import torch
from golden_files import assert_close


def with_proxies(loss, proxies, **more):
    """A loss in float64 with given parameters."""
    loss = loss.double()
    with torch.no_grad():
        for name, value in {"proxies": proxies, **more}.items():
            getattr(loss, name).copy_(torch.tensor(value))
    return loss


def check(loss, x, y, expected, atol):
    """Value, gradient at the embeddings, gradients at the parameters."""
    x = torch.tensor(x, requires_grad=True)
    value = loss(x, torch.tensor(y))
    value.backward()
    wanted = dict(expected)
    assert_close(value.item(), wanted.pop("loss"), 0, atol=atol)
    gradient = wanted.pop("x", None)
    if gradient is not None:
        assert_close(x.grad.numpy(), gradient, 0, atol=atol)
    for name, slope in wanted.items():
        assert_close(getattr(loss, name).grad.numpy(), slope, 0, atol=atol)
