"""Does every loss train? Each gets the Omniglot recipe's network and 90 seconds of one core.

python benchmarks/they_train.py --data-root DATA                    all losses, about an hour
python benchmarks/they_train.py --data-root DATA --only SmoothAP    one
python benchmarks/they_train.py --data-root DATA --write            also writes results/, line by
    line; those already there are kept, so that an hour can be had in pieces (name a line by --only
    to have it again)

Constant learning rate, the recipe's for the network and ten times that for proxies; the loss has
its defaults. Seconds are CPU time, so that a busy machine does not matter. Measured on the unseen
alphabets, beside the same network untrained.

AsymmetricDistillation reads a teacher's embeddings and no labels: its teacher is the same network,
trained beforehand by SmoothAP for as long, and the four pictures a batch holds of a class stand
for the views it relates to each other.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from lookalike import losses
from lookalike.components import snake
from lookalike.compose import compose
from lookalike.console import Console
from lookalike.evaluation import evaluator
from lookalike.losses import AsymmetricDistillation
from lookalike.models.embedder import Embedder
from lookalike.runs import Run
from lookalike.training.trainer import Training

Backward = Callable[[dict[str, Any]], float]

RESULTS = Path(__file__).parent / "results"
UNTRAINED = "no training"
METRICS = {"recall_at_1_level0": "R@1", "mean_average_precision_at_r_level0": "MAP@R"}
# What a loss cannot do without, as overrides.
NEEDS = {
    "BlackboxRecall": ["loss.lambda_=4.0", "loss.margin=0.02"],
    "WeightedSum": ["loss.losses=[{name:smooth_ap},{name:calibration}]", "loss.weights=balanced"],
    "CrossBatchMemory": [
        "loss.loss={name:pair_contrastive}",
        "loss.memory_size=1024",
        "loss.start_step=30",  # XBM too trains without its memory at first.
        # A stale bank alone is fled by the batch as one body; the batch's own pairs hold it apart.
        "loss.batch_weight=1.0",
        "loss.memory_weight=0.1",
    ],
}
# Settings with a mathematics of their own: title → loss and overrides.
VARIANTS = {
    "Triplet, semi-hard": ("Triplet", ["loss.mining=semihard"]),
    "Triplet, distance-weighted": ("Triplet", ["loss.mining=distance"]),
    "RecallAtK with SimMix": ("RecallAtK", ["loss.simmix=true"]),
    "SmoothAP with positive mix-up": ("SmoothAP", ["loss.pos_mixup=true"]),
    "SupAP with positive mix-up": ("SupAP", ["loss.pos_mixup=true"]),
    "NormSoftmax, 3 centres": ("NormSoftmax", ["loss.centers=3"]),
    "CrossBatchMemory of SmoothAP": (
        "CrossBatchMemory",
        ["loss.loss={name:smooth_ap}", "loss.memory_size=1024", "loss.start_step=30"],
    ),
}
TEACHER = "SmoothAP"
# What a line needs to be read rightly.
REMARKS = {
    "PositiveProxy": "nothing pushes: all pictures on one point is its optimum",
    "CrossBatchMemory": "of PairContrastive, with memory_weight=0.1 beside the batch's own loss. "
    "Alone (memory_weight=1, batch_weight=0) it does not learn at this rate: within 15 steps "
    "different classes of a batch come from cosine 0.02 to 0.52, while those of the bank go to "
    "-0.07; the batch flees the stale bank as one body",
    "AsymmetricDistillation": "never sees a label; to be compared with its teacher, SmoothAP",
}


def cases() -> dict[str, tuple[str, list[str]]]:
    """Title → loss and overrides, of every public loss and its variants."""
    plain = {name: (name, NEEDS.get(name, [])) for name in losses.__all__}
    return plain | VARIANTS


def prepare(loss: str, overrides: list[str], data_root: str, folder: Path) -> Training:
    """The run of the recipe with this loss, not begun."""
    options = ["recipe=omniglot", f"data_root={data_root}", "workers=0", f"run={folder}"]
    rates = ["optimizer.schedule=constant", "optimizer.warmup_epochs=0", "optimizer.loss.lr=0.03"]
    chosen = [f"loss={snake(loss)}", *overrides]
    return Training(Run(folder), compose([*options, *rates, *chosen]), Console(silent=True))


def train(training: Training, seconds: float, backward: Backward | None = None) -> list[float]:
    """Train for so many seconds of CPU time; the loss of every step."""
    backward = backward or training.step.backward
    training.model.train()
    seen: list[float] = []
    epoch, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        training.loader.set_epoch(epoch)
        for batch in training.loader:
            seen.append(backward(batch))
            training.step.update(len(seen) - 1, epoch)
            if time.process_time() - start >= seconds:
                break
        epoch += 1
    return seen


def distil(training: Training, teacher: Embedder, seconds: float) -> list[float]:
    """As :func:`train`, of a student that is shown what its teacher makes of the same pictures."""
    teacher.eval()
    views = 4  # a batch holds four pictures of a class, one after the other

    def backward(batch: dict[str, Any]) -> float:
        classes = batch["labels"][:, 0].reshape(-1, views)
        if not torch.equal(classes, classes[:, :1].expand_as(classes)):
            raise SystemExit("a batch is not in rows of four pictures of a class")
        with torch.no_grad():
            wanted = teacher(batch["pictures"])

        def loss_of(embeddings: Tensor) -> Tensor:
            width = embeddings.shape[1]
            student, target = (x.reshape(-1, views, width) for x in (embeddings, wanted))
            return AsymmetricDistillation()(student, target) / len(student)

        return training.step.descend(batch["pictures"], loss_of)

    return train(training, seconds, backward)


def measure(training: Training) -> dict[str, float]:
    """The metrics of the network as it is, on the unseen alphabets."""
    config = training.config.evaluation
    found = evaluator.measure(
        training.model, training.table, "test", config, workers=0, broken="refuse", precision=None
    )
    return {short: found.report.values[name] for name, short in METRICS.items()}


def row(seen: list[float], training: Training) -> dict[str, float]:
    """Steps, the loss at both ends, and the metrics."""
    tenth = max(1, len(seen) // 10)
    ends = {"first": sum(seen[:tenth]) / tenth, "last": sum(seen[-tenth:]) / tenth} if seen else {}
    return {"steps": len(seen), **ends, **measure(training)}


def run(title: str, data_root: str, seconds: float, folder: Path) -> dict[str, float]:
    """One line of the table."""
    if title == UNTRAINED:
        return row([], prepare(TEACHER, [], data_root, folder))
    loss, overrides = cases()[title]
    if loss != "AsymmetricDistillation":
        training = prepare(loss, overrides, data_root, folder)
        return row(train(training, seconds), training)
    taught = prepare(TEACHER, [], data_root, folder)
    train(taught, seconds)
    # The student's own loss has labels to read and is never called.
    student = prepare(TEACHER, ["seed=1"], data_root, folder)
    return row(distil(student, taught.model, seconds), student)


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as Markdown, best first."""
    lines = ["| loss | steps | loss, first tenth → last | R@1 | MAP@R |", "|---|--:|--:|--:|--:|"]
    for name, found in sorted(results.items(), key=lambda item: -item[1]["R@1"]):
        ends = f"{found['first']:.3f} → {found['last']:.3f}" if found["steps"] else ""
        lines.append(
            f"| {name} | {found['steps']} | {ends} | {found['R@1']:.3f} | {found['MAP@R']:.3f} |"
        )
    lines.append("")
    lines += [f"- {name}: {why}." for name, why in REMARKS.items() if name in results]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument(
        "--only", nargs="+", help="lines of the table", choices=[UNTRAINED, *cases()]
    )
    parser.add_argument("--write", action="store_true", help="merge into results/they_train.*")
    chosen = parser.parse_args()
    kept = RESULTS / "they_train.json"
    results = json.loads(kept.read_text()) if chosen.write and kept.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        for title in chosen.only or [t for t in (UNTRAINED, *cases()) if t not in results]:
            results[title] = run(title, chosen.data_root, chosen.seconds, Path(folder) / "run")
            print(f"{title:30s} {json.dumps(results[title])}", flush=True)
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
