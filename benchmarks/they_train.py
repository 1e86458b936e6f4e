"""Does every loss train? Each gets the Omniglot recipe's network and 90 seconds of one core.

python benchmarks/they_train.py --data-root DATA                    all losses, about 50 minutes
python benchmarks/they_train.py --data-root DATA --only smooth_ap   one
python benchmarks/they_train.py --data-root DATA --write            also writes results/

Constant learning rate, the recipe's for the network and ten times that for proxies; the loss has
its defaults. Seconds are CPU time, so that a busy machine does not matter. Measured on the unseen
alphabets, beside the same network untrained.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from lookalike import losses
from lookalike.components import snake
from lookalike.compose import compose
from lookalike.jobs import measuring
from lookalike.jobs.console import Console
from lookalike.jobs.training import Training
from lookalike.runs import Run

RESULTS = Path(__file__).parent / "results"
METRICS = {"recall_at_1_level0": "R@1", "mean_average_precision_at_r_level0": "MAP@R"}
# What a loss cannot do without, as overrides.
NEEDS = {
    "WeightedSum": ["loss.losses=[{name:smooth_ap},{name:calibration}]", "loss.weights=balanced"],
    "CrossBatchMemory": ["loss.loss={name:smooth_ap}", "loss.memory_size=1024"],
}
# These compare two models' embeddings of one picture, and have nothing to say to labels.
LEFT_OUT = {"AsymmetricDistillation": "distils a teacher; it takes no labels"}


def train(loss: str | None, data_root: str, seconds: float, folder: Path) -> dict[str, float]:
    """Train for so many seconds of CPU time; the steps done, the loss at both ends, the metrics."""
    chosen = [f"loss={snake(loss)}", *NEEDS.get(loss, [])] if loss else []
    options = ["recipe=omniglot", f"data_root={data_root}", "workers=0", f"run={folder}"]
    rates = ["optimizer.schedule=constant", "optimizer.warmup_epochs=0", "optimizer.loss.lr=0.03"]
    training = Training(Run(folder), compose([*options, *rates, *chosen]), Console(silent=True))
    step = training.loop().step
    training.model.train()
    seen: list[float] = []
    epoch, start = 0, time.process_time()
    while loss and time.process_time() - start < seconds:
        training.loader.set_epoch(epoch)
        for batch in training.loader:
            seen.append(step.backward(batch))
            step.update(len(seen) - 1, epoch)
            if time.process_time() - start >= seconds:
                break
        epoch += 1
    config = training.config.evaluation
    found = measuring.measure(
        training.model, training.table, "test", config, workers=0, broken="refuse", precision=None
    )
    values = {short: found.report.values[name] for name, short in METRICS.items()}
    tenth = max(1, len(seen) // 10)
    ends = {"first": sum(seen[:tenth]) / tenth, "last": sum(seen[-tenth:]) / tenth} if seen else {}
    return {"steps": len(seen), **ends, **values}


def table(results: dict[str, dict[str, float]]) -> str:
    lines = ["| loss | steps | loss, first tenth → last | R@1 | MAP@R |", "|---|--:|--:|--:|--:|"]
    for name, row in sorted(results.items(), key=lambda item: -item[1]["R@1"]):
        ends = f"{row['first']:.3f} → {row['last']:.3f}" if row["steps"] else ""
        lines.append(
            f"| {name} | {row['steps']} | {ends} | {row['R@1']:.3f} | {row['MAP@R']:.3f} |"
        )
    lines += [f"\n{name} is left out: it {why}." for name, why in LEFT_OUT.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--only", nargs="+", help="losses, as the config spells them")
    parser.add_argument("--write", action="store_true", help="merge into results/they_train.*")
    chosen = parser.parse_args()
    kept = RESULTS / "they_train.json"
    results = json.loads(kept.read_text()) if chosen.write and kept.is_file() else {}
    names = [n for n in losses.__all__ if n not in LEFT_OUT]
    wanted = [n for n in names if chosen.only is None or snake(n) in chosen.only]
    runs = [("no training", None)] * (chosen.only is None) + [(name, name) for name in wanted]
    with tempfile.TemporaryDirectory() as folder:
        for title, loss in runs:
            row = train(loss, chosen.data_root, chosen.seconds, Path(folder) / title)
            print(f"{title:24s} {json.dumps(row)}", flush=True)
            if chosen.write and kept.is_file():
                results = json.loads(kept.read_text()) | results
            results[title] = row
            if chosen.write:
                RESULTS.mkdir(exist_ok=True)
                kept.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))
    if chosen.write:
        (RESULTS / "they_train.md").write_text(
            f"# Each loss, {chosen.seconds:.0f} seconds of one core, Omniglot\n\n{table(results)}"
        )


if __name__ == "__main__":
    main()
