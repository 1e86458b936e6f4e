"""The losses on a GPU, beside the two products they need; called by gpu.py."""

from __future__ import annotations

from functools import partial

import torch
from gpu_clock import DEVICE, ON_CARD, peak_gib, row, seconds

from lookalike import losses

DIMENSIONS = 512
SUP = {"offset": 1.44}
AIMS = (4096, 16384)  # at most twice the products
RANK = {
    "SmoothAP": losses.SmoothAP,
    "SupAP": partial(losses.SupAP, **SUP),
    "SupHAP": partial(losses.SupHAP, **SUP),
    "SmoothHAP": losses.SmoothHAP,
    "SupNDCG": partial(losses.SupNDCG, **SUP),
    "SupRecall": partial(losses.SupRecall, **SUP),
    "RecallAtK": losses.RecallAtK,
    "ROADMAP": losses.ROADMAP,
    "FastAP": losses.FastAP,
    "SoftBinAP": losses.SoftBinAP,
    "BlackboxAP": losses.BlackboxAP,
}
PAIRS = {
    "Contrastive": losses.Contrastive,
    "MultiSimilarity": losses.MultiSimilarity,
    "Triplet": losses.Triplet,
    "Calibration": losses.Calibration,
}
HALF = {
    "SupHAP": partial(losses.SupHAP, **SUP),
    "SmoothHAP": losses.SmoothHAP,
    "SupNDCG": partial(losses.SupNDCG, **SUP),
    "SupAP(level=1)": partial(losses.SupAP, **SUP, level=1),
}


def world(size: int, half: bool = False):
    """Unit vectors around centres; classes of 4 in groups of 40, or in two groups."""
    random = torch.Generator(DEVICE).manual_seed(0)
    item = torch.arange(size, device=DEVICE)
    fine, coarse = item // 4, item // (size // 2 if half else 40)
    centres = [torch.randn(size, DIMENSIONS, generator=random, device=DEVICE) for _ in range(3)]
    x = 0.7 * centres[0][coarse] + centres[1][fine] + 2.5 * centres[2]
    labels = torch.stack([fine, coarse], dim=1)
    return torch.nn.functional.normalize(x).requires_grad_(), labels


def two_products(x: torch.Tensor):
    """The scores of all pairs and a product of their size with the embeddings, in parts."""
    x = x.detach()
    part = min(len(x), 16384)
    scores, gradient = x.new_empty(part, len(x)), torch.empty_like(x)

    def go():
        for start in range(0, len(x), part):
            torch.mm(x[start : start + part], x.T, out=scores)
            torch.mm(scores, x, out=gradient[start : start + part])

    return go


def step(loss, x, labels):
    """One forward and backward."""

    def go():
        x.grad = None
        loss(x, labels).backward()

    return go


def rows(smoke: bool):
    """Each loss at each size."""
    torch.backends.cuda.matmul.allow_tf32 = False
    for size in (64, 128) if smoke else (1024, 4096, 16384):
        x, labels = world(size)
        floor = seconds(two_products(x))
        rate = 4 * size**2 * DIMENSIONS / floor / 1e12
        yield row(f"two products, B = {size:,}", floor * 1e3, "ms", more=f"{rate:.3g} TFLOP/s")
        for name, make in (RANK | PAIRS).items():
            if size > 4096 and name in PAIRS:
                continue
            aim = 2.0 if size in AIMS and name in RANK else None
            yield from _figures(name, make(), x, labels, floor, aim)
        if size <= 4096:
            yield from _peers(x, labels[:, 0], floor)
    for size in (64,) if smoke else (1024, 4096):
        x, labels = world(size, half=True)
        floor = seconds(two_products(x))
        for name, make in HALF.items():
            yield from _figures(f"{name}, half positive", make(), x, labels, floor)
    yield from _streaming(256 if smoke else 65536)


def _figures(name, loss, x, labels, floor, aim=None):
    size, go = len(x), step(loss, x, labels)
    took = seconds(go, rounds=5)
    squares = peak_gib(go) * 2**30 / (4 * size**2)
    more = f"{took * 1e3:.3g} ms; memory {squares:.2f} × B²"
    yield row(f"{name}, B = {size:,}", took / floor, "× the products", aim, more)
    if name == "SupAP" and size == 4096:
        yield row("SupAP, B = 4,096, in all", took * 1e3, "ms", 2.0)


def _peers(x, labels, floor):
    try:
        from pytorch_metric_learning import losses as peers
    except ModuleNotFoundError:
        return
    for name in ("FastAPLoss", "MultiSimilarityLoss", "ContrastiveLoss"):
        took = seconds(step(getattr(peers, name)(), x, labels), rounds=3)
        what = f"{name} of pytorch-metric-learning, B = {len(x):,}"
        yield row(what, took / floor, "× the products", more=f"{took * 1e3:.3g} ms")


def _streaming(size):
    x, labels = world(size)
    floor = seconds(two_products(x), rounds=3, warm=1)
    for name in ("SmoothAP", "SupAP"):
        go = step(RANK[name](), x, labels)
        took = seconds(go, rounds=3, warm=1)
        gib = peak_gib(go)
        more = f"{took:.3g} s; {gib:.3g} GiB of {4 * size**2 / 2**30:.3g} for all scores"
        yield row(f"{name}, B = {size:,}, streaming", took / floor, "× the products", more=more)
        if ON_CARD:
            yield row(f"{name}, B = {size:,}, memory", gib, "GiB", 20)
