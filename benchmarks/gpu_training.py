"""Training on a GPU, by the engine as it is, beside bare loops; called by gpu.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from gpu_clock import DEVICE, ON_CARD, row, wait
from PIL import Image

from lookalike.compose import compose
from lookalike.console import Console
from lookalike.data.cache import build_cache
from lookalike.data.table import Table
from lookalike.losses.calling import call
from lookalike.models.precision import at_least_float32, autocast
from lookalike.runs import Run
from lookalike.training.checkpoints import Progress
from lookalike.training.given import Given
from lookalike.training.trainer import Training

WORKERS = max(1, len(os.sched_getaffinity(0)) - 2) if ON_CARD else 0


def images(folder: Path, count: int) -> Table:
    """JPEG files of 320×256 with some detail, in classes of 16."""

    def draw(number: int) -> None:
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (16, 20, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((320, 256), Image.Resampling.BICUBIC), np.int16)
        pixels = pixels + rng.integers(-24, 25, pixels.shape, dtype=np.int16)
        clipped = np.clip(pixels, 0, 255).astype(np.uint8)
        Image.fromarray(clipped).save(folder / f"{number}.jpg", quality=90)

    folder.mkdir()
    with ThreadPoolExecutor(max(2, WORKERS)) as pool:
        list(pool.map(draw, range(count)))
    frame = pd.DataFrame({"path": [f"{n}.jpg" for n in range(count)]})
    return Table.from_frame(frame.assign(label=np.arange(count) // 16), root=folder)


def training(table: Table, options: list[str], folder: Path) -> Training:
    """A run that is ready to begin."""
    shutil.rmtree(folder, ignore_errors=True)
    run = Run(folder)
    run.checkpoints.mkdir(parents=True)
    words = ["device=cuda" if ON_CARD else "device=cpu", f"workers={WORKERS}", f"run={folder}"]
    config = compose([*options, "model.pretrained=false", *words])
    made = Training(run, config, Console(silent=True), given=Given(table=table))
    made.epoch_done = lambda progress: None  # a checkpoint is no part of a step
    return made


def engine(made: Training, warm: int, steps: int) -> float:
    """Seconds a step of the run's own loop, from files to weights."""
    times: list[float] = []
    loop, done = made.loop(), made.step_done

    def step_done(progress: Progress) -> None:
        done(progress)
        if progress.step in (warm, warm + steps):
            wait()
            times.append(time.perf_counter())

    made.step_done = step_done
    whole = loop.batches
    loop.batches = lambda epoch, skip: islice(whole(epoch, skip), warm + steps)
    loop.evaluate = lambda progress: None
    loop.epochs = 1
    loop.run(Progress())
    made.journal.close()
    return (times[1] - times[0]) / steps


def bare(made: Training, batch: dict, warm: int, steps: int) -> float:
    """Seconds a step of the loop that everybody writes, on one batch that lies on the device."""
    pictures, labels = batch["pictures"].to(DEVICE), batch["labels"].to(DEVICE)
    optimizers = list(made.optimizers.members.values())
    made.model.train()
    began = 0.0
    for number in range(warm + steps):
        if number == warm:
            wait()
            began = time.perf_counter()
        with autocast(DEVICE, made.precision):
            embeddings = at_least_float32(made.model(pictures))
        call(made.loss, embeddings, labels).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    wait()
    return (time.perf_counter() - began) / steps


@contextmanager
def busy() -> Iterator[list[float]]:
    """Percent of the time in which the GPU had a kernel running, as nvidia-smi samples it."""
    found: list[float] = []
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    if not ON_CARD or shutil.which("nvidia-smi") is None:
        yield found
        return
    with subprocess.Popen([*command, "-lms", "100"], stdout=subprocess.PIPE, text=True) as watch:
        try:
            yield found
        finally:
            watch.terminate()
            found += [float(line) for line in watch.communicate()[0].split()]


def rows(smoke: bool):
    """Throughput first, what takes long last."""
    # Fifty steps: with their share of the looks at the run's health, one every fifty.
    count, size, batch, steps = (32, 32, 8, 2) if smoke else (4096, 224, 384, 50)
    backbone = "conv4" if smoke else "resnet50"
    precision = "fp32" if smoke else "bf16"
    shape = [f"model={backbone}", f"transform.size={size}", f"precision={precision}"]
    shape += ["loss=smooth_ap", "model.embedding_size=128"]
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        files = images(base / "files", count)
        table = build_cache(files, base / "cache", workers=max(2, WORKERS))
        yield from _throughput(table, shape, batch, steps, base / "run")
        yield from _two_passes(table, shape, (4 * batch if smoke else 4096, batch), base / "run")
        yield from _recipe(table, base / "run", smoke)
        if not smoke:
            yield from _compiled(table, shape, batch, steps, base / "run")


def _batch(made: Training) -> dict:
    made.loader.set_epoch(0)
    return next(iter(made.loader))


def _throughput(table, shape, batch, steps, folder):
    options = [*shape, f"batch_size={batch}", f"sampler.batches={steps + 20}"]
    made = training(table, options, folder)
    held = _batch(made)
    floor = bare(made, held, 10, steps)
    what = f"{shape[0].removeprefix('model=')}, {shape[1].removeprefix('transform.size=')} px"
    what += f", {made.config.precision}, batch {batch}"
    yield row(f"{what}: bare loop", batch / floor, "images/s", more=f"{floor * 1e3:.4g} ms a step")
    with busy() as percent:
        took = engine(made, 10, steps)
    clock = made.watch._clock
    waited = clock.waited / (clock.waited + clock.worked)
    more = f"{WORKERS} workers, {waited:.1%} of the time waiting for images"
    yield row(f"{what}: from the cache", batch / took, "images/s", more=more)
    yield row("of the bare loop", floor / took, "", 0.95, at_least=True)
    if percent:
        middle = sorted(percent)[len(percent) // 2]
        yield row("GPU busy, median sample", middle, "%", 90, at_least=True)


def _two_passes(table, shape, sizes, folder):
    many, part = sizes
    made = training(table, [*shape, f"batch_size={part}"], folder)
    made._let_move(0)
    made.model.train()
    side = made.config.transform.size
    whole = {
        "pictures": torch.randint(0, 256, (many, 3, side, side), dtype=torch.uint8, device=DEVICE),
        "labels": torch.arange(many, device=DEVICE) // 4,
        "index": torch.arange(many, device=DEVICE),
    }
    few = {key: value[:part] for key, value in whole.items()}

    def per_image(batch: dict, times: int, micro: int | None) -> float:
        made.step.micro_batch = micro
        spent = []
        for _ in range(3):
            wait()
            began = time.perf_counter()
            for _ in range(times):
                made.step.backward(batch)
                made.step.update(0, 0)
            wait()
            spent.append((time.perf_counter() - began) / (times * len(batch["labels"])))
        return sorted(spent)[1]

    one = per_image(few, max(1, many // part), None)
    two = per_image(whole, 1, part)
    made.journal.close()
    more = f"{1 / two:.4g} images/s; one pass of {part}: {1 / one:.4g}"
    yield row(
        f"two passes, batch {many:,} by {part}", two / one, "× an image of one pass", 1.45, more
    )


def _recipe(table, folder, smoke):
    options = ["recipe=roadmap/cub"]
    if smoke:
        options += ["model.backbone=resnet18", "batch_size=8", "transform.size=32"]
    made = training(table, options, folder)
    took = engine(made, 2 if smoke else 5, 1 if smoke else 10)
    batch = made.config.batch_size
    more = f"{batch / took:.4g} images/s, {made.config.model.backbone}, batch {batch}"
    yield row("a step of recipe=roadmap/cub", took * 1e3, "ms", more=more)


def _compiled(table, shape, batch, steps, folder):
    options = [*shape, f"batch_size={batch}", f"sampler.batches={steps + 20}", "compile=true"]
    began = time.perf_counter()
    made = training(table, options, folder)
    took = engine(made, 15, steps)
    whole = time.perf_counter() - began
    more = f"{whole:.3g} s in all, the compiler's time among them"
    yield row("the same with compile=true", batch / took, "images/s", more=more)
