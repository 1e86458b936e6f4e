"""The properties that any loss should have, in the order they are checked."""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
from torch import Tensor

from lookalike.errors import counted
from lookalike.losses.conformance.probe import (
    DoesNotApply,
    Probe,
    expect,
    expect_equal,
    expect_finite,
)


def _scalar(probe: Probe) -> None:
    x, y = probe.batch()
    x = x.float()
    loss = probe.make().float()
    result = probe.run(x, y if not probe.distils else y.float(), loss)
    expect(result[0].dtype == torch.float32, f"float32 embeddings give a {result[0].dtype}")
    expect_finite(result, "a plain batch")
    expect(result[1].abs().max() > 0, "no gradient reaches the embeddings of a plain batch")


def _dtype(probe: Probe) -> None:
    x, y = probe.batch()
    single = probe.make().float()
    value, gradient, slopes = probe.run(x, y, single)
    expect(value.dtype == torch.float64, f"float64 embeddings give a {value.dtype}")
    expect(gradient.dtype == torch.float64, f"their gradient is {gradient.dtype}")
    for name, slope in slopes.items():
        expect(slope.dtype == torch.float32, f"float32 {name} got a gradient of {slope.dtype}")
    half, single = x.to(torch.bfloat16), probe.make().float()
    value, _, _ = probe.run(half, y.to(half.dtype) if probe.distils else y, single)
    expect(value.dtype == torch.float32, f"bfloat16 embeddings give a {value.dtype}")


def _autocast(probe: Probe) -> None:
    x, y = probe.batch()
    x, y = x.float(), (y.float() if probe.distils else y)
    plain = probe.run(x, y, probe.make().float())
    cast = probe.run(x, y, probe.make().float(), autocast=True)
    expect(cast[0].dtype == torch.float32, f"under autocast the loss is {cast[0].dtype}")
    expect_equal(cast[:2], plain[:2], "under autocast and without", 1e-6)


def _gradient(probe: Probe) -> None:
    x, y = probe.batch()
    _, gradient, slopes = probe.run(x, y)
    generator = torch.Generator().manual_seed(1)
    spots = {"the embeddings": gradient, **slopes}
    for name, slope in spots.items():
        for _ in range(4):
            step = torch.randn(slope.shape, generator=generator, dtype=torch.float64).to(slope)
            step /= step.norm()
            ahead, behind = (_moved(probe, x, y, name, sign * 1e-6 * step) for sign in (1, -1))
            measured, told = (ahead - behind) / 2e-6, (slope * step).sum()
            error = (measured - told).abs().item()
            expect(
                error <= 1e-5 * slope.norm().item() + 1e-8,
                f"along one direction at {name} finite differences give {measured.item()!r}, "
                f"the gradient {told.item()!r}",
            )


def _moved(probe: Probe, x: Tensor, y: Tensor, name: str, step: Tensor) -> Tensor:
    """The loss after a step of the embeddings or of one parameter."""
    loss = probe.make()
    if name != "the embeddings":
        with torch.no_grad():
            dict(loss.named_parameters())[name].add_(step)
        step = torch.zeros_like(x)
    return probe.run(x + step, y, loss)[0]


def _permutation(probe: Probe) -> None:
    x, y = probe.batch()
    value, gradient, _ = probe.run(x, y)
    key = y if y.dim() == 1 else y.flatten(1)[:, 0]
    orders = {"in order of label": key.argsort(), "backwards": torch.arange(len(x)).flip(0)}
    for what, order in orders.items():
        got = probe.run(x[order], y[order])
        expect_equal(got[:2], (value, gradient[order]), f"of the batch {what} and as it came")


def _normalize(probe: Probe) -> None:
    settings = [part.normalize for part in probe.loss.modules() if hasattr(part, "normalize")]
    if not settings or False in settings:
        raise DoesNotApply("it does not say that it normalises")
    x, y = probe.batch()
    expect_equal(probe.run(3 * x, y)[0], probe.run(x, y)[0], "the loss of 3 x and of x")


def _labels(probe: Probe) -> None:
    if probe.distils or probe.bounded:
        raise DoesNotApply("it reads no labels" if probe.distils else "its classes are numbered")
    x, y = probe.batch()
    want = probe.run(x, y)[:2]
    expect_equal(probe.run(x, 10**12 - 7919 * y)[:2], want, "with classes renamed and as they were")


def _columns(probe: Probe) -> None:
    if probe.distils:
        raise DoesNotApply("it reads no labels")
    x, y = probe.batch()
    if y.dim() == 2:
        raise DoesNotApply(f"it reads {y.shape[1]} label columns as it is")
    want = probe.run(x, y)[:2]
    expect_equal(probe.run(x, y[:, None])[:2], want, "with labels (B, 1) and (B,)")


def _singletons(probe: Probe) -> None:
    if probe.distils:
        raise DoesNotApply("it reads no labels")
    x, y = probe.batch(classes=torch.arange(probe.classes))
    expect_finite(probe.run(x, y), "a batch with one image a class")


def _one_class(probe: Probe) -> None:
    if probe.distils:
        raise DoesNotApply("it reads no labels")
    x, y = probe.batch(classes=torch.ones(5, dtype=torch.int64))
    expect_finite(probe.run(x, y), "a batch of one class")


def _single(probe: Probe) -> None:
    x, y = probe.batch(classes=torch.ones(1, dtype=torch.int64))
    expect_finite(probe.run(x, y), "a batch of one image")


def _ties(probe: Probe) -> None:
    if probe.distils:
        raise DoesNotApply("it compares no images")
    # Products of such rows are exact in any order of summation, so that ties are ties everywhere.
    rows = torch.eye(max(4, probe.width), device=probe.device).double()[:4, : probe.width]
    x, y = rows[[0, 0, 1, 1, 2, 0, 3, 1]], probe.labels(torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]))
    result = probe.run(x, y)
    expect_finite(result, "a batch with equal images")
    order = torch.arange(len(x)).flip(0)
    expect_equal(
        probe.run(x[order], y[order])[0], result[0], "the loss of equal images, turned around"
    )


def _no_positives(probe: Probe) -> None:
    _needs_references(probe)
    x, y = probe.batch(classes=torch.tensor([0, 1, 0, 1, 1]))
    ref, ref_y = probe.batch(1, torch.tensor([2, 3, 3]))
    result = probe.run(x, y, ref_emb=ref, ref_labels=ref_y)
    expect_finite(result, "queries whose references are all of other classes")


def _reference(probe: Probe) -> None:
    _needs_references(probe)
    x, y = probe.batch()
    own = probe.make()
    x = x.requires_grad_()
    torch.manual_seed(0)
    value = own(x, y, ref_emb=x, ref_labels=y)
    (gradient,) = torch.autograd.grad(value, x)
    expect_equal(
        (value.detach(), gradient),
        probe.run(x, y)[:2],
        "with the batch handed over as its reference and without",
    )
    for size in (5, 30):
        ref, ref_y = probe.batch(2, torch.arange(size) * 7 % 6)
        want = probe.run(x, y, ref_emb=ref, ref_labels=ref_y)
        expect_finite(want, f"{counted(size, 'reference')}")
        turned = probe.run(x, y, ref_emb=ref.flip(0), ref_labels=ref_y.flip(0))
        expect_equal(
            turned[:2], want[:2], f"with {counted(size, 'reference')} backwards and as they came"
        )


def _needs_references(probe: Probe) -> None:
    if not probe.refers:
        raise DoesNotApply("it takes no reference set")


def _nan(probe: Probe) -> None:
    for wrong in (torch.nan, torch.inf):
        x, y = probe.batch()
        x[3].view(-1)[0] = wrong
        try:
            value = probe.run(x, y)[0]
        except Exception as error:
            said = str(error).lower()
            expect("nan" in said or "inf" in said, f"{wrong} is refused by {error!r}: say why")
            continue
        raise AssertionError(f"{wrong} among the embeddings goes through and gives {value.item()}")


def _chunk(probe: Probe) -> None:
    if not any(hasattr(part, "chunk_size") for part in probe.loss.modules()):
        raise DoesNotApply("it has no chunk_size")
    x, y = probe.batch()
    want = probe.run(x, y)[:2]
    for size in (1, 5, 1000):
        loss = probe.make()
        for part in loss.modules():
            if hasattr(part, "chunk_size"):
                part.chunk_size = size  # pyright: ignore[reportArgumentType]
        expect_equal(probe.run(x, y, loss)[:2], want, f"with chunk_size={size} and as made")


def _state(probe: Probe) -> None:
    x, y = probe.batch()
    want = probe.run(x, y)[:2]
    file = io.BytesIO()
    torch.save(probe.make().state_dict(), file)
    file.seek(0)
    other = probe.make_other()
    other.load_state_dict(torch.load(file, weights_only=True))
    expect_equal(probe.run(x, y, other)[:2], want, "after saving and loading and before")


PROPERTIES: dict[str, Callable[[Probe], None]] = {
    "scalar": _scalar,
    "dtype": _dtype,
    "autocast": _autocast,
    "gradient": _gradient,
    "permutation": _permutation,
    "normalize": _normalize,
    "labels": _labels,
    "columns": _columns,
    "singletons": _singletons,
    "one_class": _one_class,
    "single": _single,
    "ties": _ties,
    "no_positives": _no_positives,
    "reference": _reference,
    "nan": _nan,
    "chunk": _chunk,
    "state": _state,
}
