"""What the rank losses cost, beside the two matrix products they cannot do without.

    python benchmarks/losses.py                 about eight minutes
    python benchmarks/losses.py --write         also store the tables in benchmarks/results/
    python benchmarks/losses.py --half          only batches half of which are positive
    python benchmarks/losses.py --every         only every loss, beside another library's
    python benchmarks/losses.py --only SupAP    the speed of some, to look at

One process, one thread, CPU time, medians; floor and candidates take turns. Forward and backward of
a batch against itself, 512 dimensions, 4 pictures a class, 40 a coarse class. The floor is the
product that makes the scores and the one that makes the gradient. The growth is the exponent of the
time between the smallest and the largest batch. Memory is the growth of the resident peak, each in
a fresh process. Batches half of which are positive are in half_positive.py. On a machine with CUDA
the GPU is timed as well.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import every_loss
import half_positive
import torch
from timing import medians, step, table, two_products

from lookalike import losses
from lookalike.ops import paths

DIMENSIONS, PER_CLASS, PER_COARSE = 512, 4, 40
RESULTS = Path(__file__).parent / "results"
SUP = {"offset": 1.44}
MADE = "made on"
EVERY = "Every loss: forward and backward, classes of 4, in its floor; and the peer's in ours"
OURS = {
    "SmoothAP": lambda: losses.SmoothAP(),
    "SupAP": lambda: losses.SupAP(**SUP),
    "SupAP, 256 queries at a time": lambda: losses.SupAP(**SUP, chunk_size=256),
    "SupHAP, 40 coarse positives": lambda: losses.SupHAP(**SUP),
    "SupNDCG, 40 coarse positives": lambda: losses.SupNDCG(**SUP),
    "SupRecall": lambda: losses.SupRecall(**SUP),
    "RecallAtK": lambda: losses.RecallAtK(),
    "FastAP": lambda: losses.FastAP(),
    "SoftBinAP": lambda: losses.SoftBinAP(),
    "BlackboxAP": lambda: losses.BlackboxAP(),
}
COMPILED_TOO = ("SmoothAP", "SupAP")
TORCH_TOO = ("SmoothAP", "SupAP", "SupHAP, 40 coarse positives", "FastAP", "SoftBinAP")
HAS_NATIVE = paths.native() is not None
GRADED = ("SupHAP, 40 coarse positives", "SupNDCG, 40 coarse positives")


def world(size, device="cpu"):
    """Unit vectors around class centres, themselves around coarse ones, and their labels."""
    random = torch.Generator().manual_seed(0)

    def centres(each):
        count = math.ceil(size / each)
        return torch.randn(count, DIMENSIONS, generator=random).repeat_interleave(each, 0)[:size]

    noise = torch.randn(size, DIMENSIONS, generator=random)
    x = torch.nn.functional.normalize(0.7 * centres(PER_COARSE) + centres(PER_CLASS) + 2.5 * noise)
    item = torch.arange(size)
    labels = torch.stack([item // PER_CLASS, item // (PER_COARSE // 2), item // PER_COARSE], dim=1)
    return x.to(device).requires_grad_(), labels.to(device)


def candidates(x, labels):
    """Name and path → what to run."""
    found = {}
    if HAS_NATIVE:
        for name, make in OURS.items():
            found[name, "native"] = step(make(), x, labels)
    for path, names in (("torch", TORCH_TOO), ("compiled", COMPILED_TOO)):
        for name in names:
            found[name, path] = step(OURS[name](), x, labels, path)
    return found


def peers(x, labels):
    """Pytorch-metric-learning's FastAP, and the blackbox rank by sorting."""
    found = {"BlackboxAP by sorting": sorted_blackbox(x, labels[:, 0])}
    try:
        from pytorch_metric_learning.losses import FastAPLoss
    except ImportError:
        return found
    return found | {"FastAP of pytorch-metric-learning": step(FastAPLoss(), x, labels[:, 0])}


def sorted_blackbox(x, labels):
    """The textbook form: ranks by two sorts, once more for the moved scores."""

    def rank(scores):
        return scores.argsort(dim=1, descending=True).argsort(dim=1) + 1.0

    def go():
        scores = x.detach() @ x.detach().T
        matches = (labels[:, None] == labels).float()
        scores -= 0.02 * torch.randn_like(scores).abs() * (matches - 0.5)
        size = len(x)
        ranks, among = rank(scores) / size, rank(-(rank(scores) / size) + 2 * matches) / size
        by_rank = matches * among / ranks**2 / (matches.sum(1, keepdim=True) + 1e-5) / size
        by_score = -(ranks - rank(scores + 4 * by_rank) / size) / 4
        return by_score @ x.detach() + by_score.T @ x.detach()

    return go


def speed(sizes, repeat, only=None):
    rows, seen = {}, {}
    for size in sizes:
        x, labels = world(size)
        runs = {("floor", ""): two_products(x), **candidates(x, labels)}
        if size <= 2048:
            runs |= {(name, "peer"): run for name, run in peers(x, labels).items()}
        if only:
            runs = {key: run for key, run in runs.items() if key[0] in ("floor", *only)}
        took = medians(runs, repeat if size < 4096 else min(repeat, 3))
        base = took.pop(("floor", ""))
        rate = round(4 * size**2 * DIMENSIONS / base / 1e9)
        floor = rows.setdefault(("two products", ""), {"loss": "two products", "path": ""})
        floor[f"{size}"] = f"{base * 1e3:.1f} ms, {rate} GFLOP/s"
        for (name, path), value in took.items():
            row = rows.setdefault((name, path), {"loss": name, "path": path})
            row[f"{size}"] = f"{value / base:.2f} × ({value * 1e3:.0f} ms)"
            seen.setdefault((name, path), {})[size] = value
    heads = ["loss", "path", *(f"{size}" for size in sizes), "growth"]
    first, last = min(sizes), max(sizes)
    for key, values in seen.items():
        if first < last and {first, last} <= values.keys():
            growth = math.log(values[last] / values[first]) / math.log(last / first)
            rows[key]["growth"] = f"{growth:.2f}"
    return [{head: row.get(head, "") for head in heads} for row in rows.values()]


def on_gpu(sizes):
    """Milliseconds by CUDA events, and the peak of allocated memory."""
    rows = []
    for size in sizes:
        x, labels = world(size, "cuda")
        for name in ("SmoothAP", "SupAP", "SupHAP, 40 coarse positives"):
            go = step(OURS[name](), x, labels)
            times = []
            torch.cuda.reset_peak_memory_stats()
            for turn in range(12):
                start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                go()
                stop.record()
                torch.cuda.synchronize()
                if turn > 1:
                    times.append(start.elapsed_time(stop))
            peak = torch.cuda.max_memory_allocated() / 2**30
            rows.append(
                {
                    "loss": name,
                    "size": size,
                    "ms": round(statistics.median(times), 2),
                    "peak GiB": round(peak, 2),
                }
            )
    return rows


def resident_peak():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmHWM: memory is measured on Linux only")


def child(name, size, path):
    """One step in this process: how far it raised the peak."""
    torch.set_num_threads(1)
    is_half = name in half_positive.LOSSES and name not in OURS
    draw, makes = (half_positive.world, half_positive.LOSSES) if is_half else (world, OURS)
    x, labels = draw(size)
    small, few = draw(64)
    step(makes[name](), small, few, path)()
    x.grad = torch.zeros_like(x)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_peak()
    step(makes[name](), x, labels, path)()
    print(json.dumps(resident_peak() - before))


MEASURED = ("SmoothAP", "SupAP", "SupAP, 256 queries at a time", *GRADED[:1], "SoftBinAP")


def memory(size, names=MEASURED):
    rows = []
    for path in ("native", "torch") if HAS_NATIVE else ("torch",):
        for name in names:
            command = [sys.executable, __file__, "--child", name, str(size), path]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            extra = round(json.loads(done.stdout.splitlines()[-1]))
            rows.append({"loss": name, "path": path, "peak MB over the embeddings": extra})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="LOSS", choices=list(OURS))
    parser.add_argument("--half", action="store_true", help="only batches half positive")
    parser.add_argument("--every", action="store_true", help="only the table of all losses")
    parser.add_argument("--child", nargs=3, metavar=("LOSS", "SIZE", "PATH"))
    options = parser.parse_args()
    if options.child:
        name, size, path = options.child
        child(name, int(size), path)
        return
    torch.set_num_threads(1)
    if options.every:
        report(every(options), "losses", options.write, beside=True)
        return
    if not options.only:
        half(options.sizes, options.write)
    if options.half:
        return
    if options.only:
        print(table(speed(options.sizes, options.repeat, options.only)))
        return
    parts = {
        "Forward and backward, in two products of the embeddings": speed(
            options.sizes, options.repeat
        )
    }
    largest = max(options.sizes)
    parts[f"Memory of one step, {largest} × {DIMENSIONS}"] = memory(largest)
    parts |= every(options)
    if torch.cuda.is_available():
        parts["On the GPU"] = on_gpu([*options.sizes, 16384])
    report(parts, "losses", options.write)


def half(sizes, write):
    parts = half_positive.parts(sizes)
    largest = max(sizes)
    names = ("SupHAP", "SmoothHAP")
    parts[f"Memory of one step, {largest} × {DIMENSIONS}"] = memory(largest, names)
    report(parts, "losses_half_positive", write)
    if write:
        half_positive.draw(parts, RESULTS / "losses_half_positive.svg")


def every(options):
    sizes = [size for size in options.sizes if size != 2048]
    return {EVERY: every_loss.rows(sizes, options.repeat)}


def report(parts, name, write, beside=False):
    """Print the tables, and store them; ``beside`` those stored already, perhaps elsewhere made."""
    file = RESULTS / f"{name}.json"
    machine = f"native: {paths.status()[0].reason}; torch {torch.__version__}"
    made = dict.fromkeys(parts, machine)
    if beside and file.is_file():
        stored = json.loads(file.read_text())
        made = stored.pop(MADE) | made
        parts = stored | parts
    shown = (f"{title}\n\n{made[title]}\n\n{table(rows)}\n" for title, rows in parts.items())
    text = "\n".join(shown)
    print(text)
    if write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(text)
        file.write_text(json.dumps({MADE: made, **parts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
