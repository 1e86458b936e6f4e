"""Embedding files, searching a million vectors and clustering them on a GPU; called by gpu.py."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from gpu_clock import DEVICE, row, seconds, wait
from gpu_training import WORKERS, images

from lookalike.discover.hierarchy import hilander
from lookalike.discover.lander_training import TrainingOptions, train_lander
from lookalike.models import create_model
from lookalike.models.embedding import embed_table
from lookalike.models.precision import autocast
from lookalike.ops.nearest import nearest


def rows(smoke: bool):
    """Files to vectors, vectors to neighbours, neighbours to clusters."""
    torch.backends.cuda.matmul.allow_tf32 = False
    yield from _embedding(*("conv4", 48, 32, 16) if smoke else ("resnet50", 4096, 224, 256))
    yield from _searching(*(3000, 64) if smoke else (1_000_000, 65_536))
    yield from _clustering(*(600, 20) if smoke else (1_000_000, 500))


def _embedding(backbone, count, size, batch):
    model = create_model(backbone, pretrained=False, embedding_size=128, size=size)
    model = model.to(DEVICE).eval()
    precision = torch.bfloat16 if DEVICE.type == "cuda" else None
    held = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, device=DEVICE)

    @torch.inference_mode()
    def forward():
        with autocast(DEVICE, precision):
            model(held)

    floor = batch / seconds(forward)
    with tempfile.TemporaryDirectory() as name:
        table = images(Path(name) / "files", count)
        wait()
        began = time.perf_counter()
        embed_table(model, table, batch_size=batch, workers=WORKERS, precision=precision)
        rate = count / (time.perf_counter() - began)
    more = f"decoded on {WORKERS} cores, their start included; bare forward passes {floor:.4g}"
    yield row(f"embed, {backbone} at {size}, from JPEG files", rate, "images/s", more=more)


def _searching(items, queries):
    x = _clustered(items, max(1, items // 50), 128)[0]
    gallery = torch.from_numpy(x).to(DEVICE)
    some = gallery[:queries]

    def product():
        for part in some.split(4096):
            torch.mm(part, gallery.T)

    floor = seconds(product, rounds=3, warm=1)
    for k in (10, 100):
        took = seconds(lambda: nearest(some, gallery, k), rounds=3, warm=1)  # noqa: B023
        what = f"exact search, {k} of {items:,} × 128, {queries:,} queries at once"
        more = f"{took / floor:.3g} × the product"
        yield row(what, queries / took, "queries/s", more=more)
        if k == 10:
            yield row(f"kNN graph of {items:,}, from that", took * items / queries, "s")
    one = seconds(lambda: nearest(some[:1], gallery, 10))
    yield row(f"exact search, one query of {items:,} × 128", one * 1e3, "ms")


def _clustering(items, classes):
    few, labels = _clustered(classes * 10, classes, 128)
    options = TrainingOptions(k=[10], levels=[2], epochs=2, hidden=128)
    network = train_lander(few, labels, options, device=DEVICE)
    x, truth = _clustered(items, max(2, items // 50), 128)
    wait()
    began = time.perf_counter()
    found = hilander(network, x, k=10)
    took = time.perf_counter() - began
    levels = [level["nodes"] for level in found.facts["levels"]]
    more = f"{found.clusters:,} clusters of {len(np.unique(truth)):,} classes; nodes by level: "
    yield row(f"Hi-LANDER on {items:,} × 128", took, "s", more=f"{more}{levels}")


def _clustered(items: int, classes: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around class centres, and the classes."""
    random = torch.Generator(DEVICE).manual_seed(1)
    labels = torch.arange(items, device=DEVICE) % classes
    centres = torch.randn(classes, width, generator=random, device=DEVICE)
    x = centres[labels] + 0.5 * torch.randn(items, width, generator=random, device=DEVICE)
    return torch.nn.functional.normalize(x).cpu().numpy(), labels.cpu().numpy()
