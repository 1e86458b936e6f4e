"""What exact evaluation costs, beside the matrix product it cannot do without.

    python benchmarks/evaluation.py                  about two minutes
    python benchmarks/evaluation.py --size 20000 60502    the size of Stanford Online Products too
    python benchmarks/evaluation.py --crossover      when a tile is better exact at once
    python benchmarks/evaluation.py --peers          other libraries too, at 5,000
    python benchmarks/evaluation.py --write          also store the tables in benchmarks/results/

One process, one thread, CPU time, medians; floor and candidates take turns. Vectors have 512
dimensions and 5.3 items a class; "separated" ones have a mAP of 1, "hard" ones of about 0.1. The
second level has 36 classes and the third 12: of 1,700 and 5,000 items at 60,502, the sizes that the
target for three levels is set for, and of 560 and 1,700 at 20,000.
Memory is the growth of the resident peak, each in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from lookalike.metrics import evaluate, retrieval
from lookalike.ops import paths

DIMENSIONS, PER_CLASS, FLOOR_ROWS = 512, 5.3, 1024
NOISE = {"separated": 1.0, "hard": 3.0}


def world(size, noise):
    """Unit vectors around random class centres, and labels of three levels."""
    random = torch.Generator().manual_seed(0)
    classes = int(size / PER_CLASS)
    fine = torch.arange(size) % classes
    centres = torch.randn(classes, DIMENSIONS, generator=random)
    centres /= centres.norm(dim=1, keepdim=True)
    spread = torch.randn(size, DIMENSIONS, generator=random) * (noise / DIMENSIONS**0.5)
    x = centres[fine] + spread
    x /= x.norm(dim=1, keepdim=True)
    return x, torch.stack([fine, fine % 36, fine % 12], dim=1)


def seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def floor(x, queries):
    """The float32 product of the queries with the gallery, tile by tile."""
    out = torch.empty(FLOOR_ROWS, len(x))
    for start in range(0, queries, FLOOR_ROWS):
        rows = x[start : min(queries, start + FLOOR_ROWS)]
        torch.mm(rows, x.T, out=out[: len(rows)])


def candidates(x, labels, queries):
    """Name → what to run."""

    def run(levels, native="1", **options):
        def go():
            os.environ["LOOKALIKE_NATIVE"] = native
            some = labels[:, :levels]
            evaluate(x[:queries], some[:queries], x, some, exclude_self=True, **options)
            os.environ.pop("LOOKALIKE_NATIVE")

        return go

    graded = ["mean_average_precision", "recall_at_1", "h_ap", "ndcg", "asi"]
    found = {"every binary metric, torch alone": run(1, "0")}
    if paths.native() is not None:
        found = {"every binary metric, native": run(1)} | found
        found["mAP, R@1, H-AP, NDCG, ASI of 3 levels, native"] = run(3, metrics=graded)
        found["every metric of 3 levels, native"] = run(3)
    return found


def speed(size, queries, repeat):
    rows = []
    for name, noise in NOISE.items():
        x, labels = world(size, noise)
        runs = candidates(x, labels, queries)
        times = {key: [] for key in ("floor", *runs)}
        floor(x, queries)
        for _ in range(repeat):
            for key, function in {"floor": lambda: floor(x, queries), **runs}.items():  # noqa: B023
                times[key].append(seconds(function))
        base = statistics.median(times["floor"])
        rate = 2 * size * queries * DIMENSIONS / base / 1e9
        for key in runs:
            took = statistics.median(times[key])
            rows.append(
                {
                    "data": name,
                    "what": key,
                    "seconds": round(took, 3),
                    "times the product": round(took / base, 2),
                    "product GFLOP/s": round(rate),
                }
            )
    return rows


def crossover(size, queries):
    """What decides `retrieval._OFTEN`: seconds with no tile exact, and with every one."""
    rows = []
    for classes in ((36, 12), (12, 4), (8, 2)):
        x, labels = world(size, NOISE["hard"])
        labels = torch.stack([labels[:, 0], *(labels[:, 0] % c for c in classes)], dim=1)
        row = {"coarse classes": f"{classes[0]}, {classes[1]}"}
        for name, often in (("never exact", 1.0), ("always exact", 0.0)):
            retrieval._OFTEN, shares = often, []
            times = [
                seconds(lambda: shares.append(taken_again(x, labels, queries)))  # noqa: B023
                for _ in range(3)
            ]
            row["share taken again"] = max(row.get("share taken again", 0), round(shares[0], 3))
            row[f"{name}, s"] = round(statistics.median(times), 2)
        rows.append(row)
    return rows


def taken_again(x, labels, queries):
    """Evaluate, and return the share of scores that float32 could not order."""
    taken, scored, counting = 0, 0, retrieval.exact_counts

    def watched(tile, *rest, **more):
        nonlocal taken, scored
        found = counting(tile, *rest, **more)
        taken, scored = taken + found.rescored, scored + tile.scores.numel()
        return found

    retrieval.exact_counts = watched
    try:
        evaluate(x[:queries], labels[:queries], x, labels, exclude_self=True)
    finally:
        retrieval.exact_counts = counting
    return taken / scored


def peer(which, x, labels):
    """Full mean average precision by another library."""
    if which == "lookalike, every metric":
        return evaluate(x, labels)["mean_average_precision"]
    if which == "pytorch-metric-learning, full mAP":
        from pytorch_metric_learning.distances import DotProductSimilarity
        from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
        from pytorch_metric_learning.utils.inference import CustomKNN

        calculator = AccuracyCalculator(
            include=("mean_average_precision",),
            k=None,
            device=torch.device("cpu"),
            knn_func=CustomKNN(DotProductSimilarity(normalize_embeddings=False)),
        )
        return calculator.get_accuracy(x, labels)["mean_average_precision"]
    from torchmetrics.retrieval import RetrievalMAP

    scores = x @ x.T + 2  # it counts no hit at or below 0
    others = ~torch.eye(len(x), dtype=torch.bool)
    metric = RetrievalMAP(empty_target_action="skip")
    rows = torch.arange(len(x))[:, None].expand(-1, len(x))
    target = labels[:, None] == labels
    return float(metric(scores[others], target[others], indexes=rows[others]))


PEERS = (
    "lookalike, every metric",
    "pytorch-metric-learning, full mAP",
    "torchmetrics, full mAP",
)


def resident_peak():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmHWM: memory is measured on Linux only")


def in_fresh_process(*arguments):
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def child(which, size, levels):
    """One evaluation in this process: its time and how far it raised the peak."""
    torch.set_num_threads(1)
    x, labels = world(size, NOISE["hard"])
    some = labels[:, :levels] if levels > 1 else labels[:, 0]
    peer(which, x[:64], labels[:64, 0])  # imports and first-call costs
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_peak()
    start = time.process_time()
    value = evaluate(x, some)["ndcg"] if levels > 1 else peer(which, x, some)
    took = time.process_time() - start
    print(json.dumps({"seconds": took, "MB": resident_peak() - before, "value": value}))


def memory(size):
    gallery = size * DIMENSIONS * 4 / 2**20
    rows = []
    for levels in (1, 3):
        found = in_fresh_process(PEERS[0], size, levels)
        rows.append(
            {
                "levels": levels,
                "peak MB over the vectors": round(found["MB"]),
                "gallery MB": round(gallery),
                "allowed MB": round(2 * gallery + 100),
                "seconds, all queries": round(found["seconds"], 1),
            }
        )
    return rows


def peers(size):
    rows = []
    for which in PEERS:
        found = in_fresh_process(which, size, 1)
        rows.append(
            {
                "what": which,
                "seconds": round(found["seconds"], 2),
                "peak MB": round(found["MB"], 1),
                "mAP": round(found["value"], 6),
            }
        )
    return rows


def amx():
    """Why there is no row of it."""
    flags = Path("/proc/cpuinfo")
    has = flags.is_file() and "amx_bf16" in flags.read_text()
    return "there is no path for it yet" if has else "skipped, this processor has none"


def table(rows):
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([str(row[h]) for h in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[20000])
    parser.add_argument("--queries", type=int, default=4096)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--crossover", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("WHAT", "SIZE", "LEVELS"))
    options = parser.parse_args()
    if options.child:
        which, size, levels = options.child
        child(which, int(size), int(levels))
        return
    torch.set_num_threads(1)
    if options.crossover:
        for size in options.size:
            queries = min(options.queries, size)
            print(f"{queries} queries against {size}\n\n{table(crossover(size, queries))}\n")
        return
    parts = {}
    for size in options.size:
        queries = min(options.queries, size)
        title = f"Speed: {queries} queries against {size}"
        parts[title] = speed(size, queries, options.repeat)
    size = options.size[0]
    parts[f"Memory: {size} against themselves"] = memory(size)
    if options.peers:
        parts["Peers: 5,000 against themselves"] = peers(5000)
    text = f"{paths.status()[0].reason}; torch {torch.__version__}, numpy {np.__version__}\n"
    text += f"AMX: {amx()}\n"
    for title, rows in parts.items():
        text += f"\n{title}\n\n{table(rows)}\n"
    print(text)
    if options.write:
        folder = Path(__file__).parent / "results"
        folder.mkdir(exist_ok=True)
        (folder / "evaluation.md").write_text(text)
        (folder / "evaluation.json").write_text(json.dumps(parts, indent=1) + "\n")


if __name__ == "__main__":
    main()
