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


def check_single(loss, x, y, case):
    """Value and gradient of a float32 run of the original, to 1e-4 of the largest entry."""
    x = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    y = torch.tensor(y)
    value = loss.float()(x, y.float() if y.is_floating_point() else y)
    value.backward()
    assert value.dtype == torch.float32
    assert_close(value.item(), case["loss_f32"], 1e-4)
    assert_close(x.grad.numpy(), case["grad_f32"], 1e-4)


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
