"""Exact evaluation on a GPU; called by gpu.py."""

from __future__ import annotations

import time

import numpy as np
import torch
from gpu_clock import DEVICE, row, seconds, wait

from lookalike.metrics import evaluate

PER_CLASS = 5.3


def world(size: int, width: int):
    """Unit vectors around random class centres (a mAP of about 0.1), labels of three levels."""
    random = torch.Generator(DEVICE).manual_seed(0)
    classes = int(size / PER_CLASS)
    fine = torch.arange(size, device=DEVICE) % classes
    centres = torch.randn(classes, width, generator=random, device=DEVICE)
    centres = torch.nn.functional.normalize(centres)
    spread = torch.randn(size, width, generator=random, device=DEVICE) * (3.0 / width**0.5)
    x = torch.nn.functional.normalize(centres[fine] + spread)
    return x, torch.stack([fine, fine % 36, fine % 12], dim=1).cpu()


def product(x: torch.Tensor, queries: int):
    """All scores of the queries, tile by tile."""
    height = min(4096, queries)
    out = x.new_empty(height, len(x))

    def go():
        for start in range(0, queries, height):
            part = x[start : min(queries, start + height)]
            torch.mm(part, x.T, out=out[: len(part)])

    return go


def rows(smoke: bool):
    """Stanford Online Products' size, then a million."""
    torch.backends.cuda.matmul.allow_tf32 = False
    yield _bits(300 if smoke else 3000)
    size, width = (600, 32) if smoke else (60_502, 512)
    x, labels = world(size, width)
    floor = seconds(product(x, size), rounds=3)
    yield row(f"product of {size:,} × {width} with itself", floor, "s")
    yield _whole(x, labels[:, :1], floor, 0.3)
    yield from _million(*(2000, 64) if smoke else (1_000_000, 8192))
    yield _whole(x, labels, floor, 0.6)


def _whole(x, labels, floor, aim):
    size, width = x.shape
    levels = labels.shape[1]
    took = seconds(lambda: evaluate(x, labels), rounds=3, warm=1)
    what = f"every metric, {levels} level{'s' if levels > 1 else ''}, {size:,} × {width}"
    return row(what, took, "s", aim, f"{took / floor:.3g} × the product")


def _bits(size: int):
    x, labels = world(size, 64)
    on_card = evaluate(x, labels).values
    on_cpu = evaluate(x.cpu(), labels).values
    unequal = [name for name, value in on_cpu.items() if value != on_card[name]]
    return {
        "what": f"{len(on_cpu)} metrics of {size:,}, bits of the CPU",
        "found": f"{len(unequal)} differ",
        "aim": "0",
        "met": not unequal,
        "more": ", ".join(unequal),
    }


def _million(size: int, queries: int):
    x, labels = world(size, 128)
    labels = labels[:, 0]
    own = np.arange(queries)
    floor = seconds(product(x, queries), rounds=3, warm=1)
    times = []
    for _ in range(2):
        wait()
        began = time.perf_counter()
        evaluate(x[:queries], labels[:queries], x, labels, exclude_self=own)
        wait()
        times.append(time.perf_counter() - began)
    whole = times[-1] * size / queries
    more = f"{queries:,} queries in {times[-1]:.3g} s, {times[-1] / floor:.3g} × the product"
    yield row(f"every metric, {size:,} × 128 against itself, from a sample", whole, "s", more=more)
