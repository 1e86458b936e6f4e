"""A loss under test, batches it can read, and what a failed comparison says."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_CLASSES = torch.tensor([4, 1, 0, 3, 1, 4, 2, 3, 1, 0, 3, 5])  # unsorted, of 1 to 3 images
_TIGHT = 1e-9  # relative, between two float64 computations of one thing


class DoesNotApply(Exception):  # noqa: N818 - it ends a check and is no error
    """A property that has no meaning for a loss."""


class Probe:
    """A loss under test: fresh copies of it, and batches it can read.

    Attributes:
        classes: how many classes its labels may have.
        distils: whether it reads a teacher's embeddings where others read labels.
    """

    def __init__(
        self,
        loss: nn.Module | Callable[[], nn.Module],
        num_classes: int | None = None,
        embedding_size: int | None = None,
        levels: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.factory = None if isinstance(loss, nn.Module) else loss
        self.loss = loss if isinstance(loss, nn.Module) else loss()
        parts = list(self.loss.modules())
        named = [num_classes] if num_classes else _attributes(parts, "num_classes")
        self.bounded = bool(named)
        self.classes = min([6, *named])
        self.width = embedding_size or min(_attributes(parts, "embedding_size"), default=8)
        tables = [part.hierarchy for part in parts if hasattr(part, "hierarchy")]
        self.hierarchy = torch.as_tensor(tables[0]) if tables else None
        depth = [getattr(part, "level", 0) for part in parts]
        self.levels = max(levels, *(3 if level is None else level + 1 for level in depth))
        arguments = inspect.signature(self.loss.forward).parameters
        self.distils = "teacher" in arguments
        self.refers = "ref_emb" in arguments

    def make(self) -> nn.Module:
        """A copy in float64 that nothing has touched."""
        return copy.deepcopy(self.loss).to(self.device, torch.float64)

    def make_other(self) -> nn.Module:
        """A loss made alike whose learned and remembered numbers are others."""
        if self.factory is not None:
            torch.manual_seed(1)
            return self.factory().to(self.device, torch.float64)
        other = self.make()
        with torch.no_grad():
            for tensor in other.state_dict().values():
                tensor.zero_()
        return other

    def batch(self, seed: int = 0, classes: Tensor = _CLASSES) -> tuple[Tensor, Tensor]:
        """Unit embeddings near their classes in float64, and labels (or a teacher's embeddings)."""
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
            return drawn.to(self.device)

        if self.distils:
            x, teacher = draw(2, len(classes), 3, self.width)
            return F.normalize(x, dim=2), F.normalize(teacher, dim=2)
        centers = draw(6, self.width)
        x = F.normalize(draw(len(classes), self.width) + centers[classes % 6], dim=1)
        return x, self.labels(classes)

    def labels(self, classes: Tensor) -> Tensor:
        """Labels of classes, in as many levels as the loss reads."""
        classes = classes.to(self.device) % self.classes
        if self.hierarchy is not None:
            return self.hierarchy.to(self.device)[classes]
        if self.levels == 1:
            return classes
        return torch.stack([classes // 2**level for level in range(self.levels)], dim=1)

    def run(
        self,
        x: Tensor,
        second: Tensor,
        loss: nn.Module | None = None,
        *,
        autocast: bool = False,
        **references: Tensor,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Value, gradient at the embeddings, gradients at the parameters."""
        loss = self.make() if loss is None else loss
        given = x.detach().clone(), second.clone()
        x = x.detach().clone().requires_grad_()
        torch.manual_seed(0)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=autocast):
            value = loss(x, second, **references)
        expect(value.dim() == 0, f"the loss has shape {tuple(value.shape)}; it must be a scalar")
        same = all(torch.equal(a, b) for a, b in zip((x, second), given, strict=True))
        expect(same or bool(given[0].isnan().any()), "the call changed what it was given")
        value.backward()
        slopes = {name: p.grad for name, p in loss.named_parameters() if p.grad is not None}
        gradient = torch.zeros_like(x) if x.grad is None else x.grad
        return value.detach(), gradient, slopes


def expect(condition: bool | Tensor, message: str) -> None:
    """Raise what a failed property says."""
    if not condition:
        raise AssertionError(message)


def expect_equal(
    got: tuple[Tensor, Tensor] | Tensor, want: Any, what: str, tolerance: float = _TIGHT
) -> None:
    """Two values, or two pairs of value and gradient, agree relative to the larger entry."""
    if isinstance(got, tuple):
        expect_equal(got[0], want[0], f"the loss {what}", tolerance)
        expect_equal(got[1], want[1], f"the gradient {what}", tolerance)
        return
    error = (got.double() - want.double()).abs().max().item() if got.numel() else 0.0
    scale = max(1e-3, want.double().abs().max().item() if want.numel() else 0.0)
    if not error <= tolerance * scale:
        a, b = (t.item() if t.numel() == 1 else t.norm().item() for t in (got, want))
        norm = "" if got.numel() == 1 else " (norms)"
        raise AssertionError(f"{what}: {a!r} against {b!r}{norm}, apart by {error:.3g}")


def expect_finite(result: tuple[Tensor, Tensor, dict[str, Tensor]], what: str) -> None:
    """Value and all gradients are finite."""
    value, gradient, slopes = result
    expect(torch.isfinite(value), f"the loss of {what} is {value.item()}")
    for name, slope in {"the embeddings": gradient, **slopes}.items():
        expect(torch.isfinite(slope).all(), f"the gradient at {name} of {what} is not finite")


def _attributes(parts: list[nn.Module], name: str) -> list[int]:
    """The sizes the parts of a loss name; some write 0 for one they have not."""
    values = (getattr(part, name, None) for part in parts)
    return [value for value in values if isinstance(value, int) and value > 0]
