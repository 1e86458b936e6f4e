"""Small queries, large gallery: what distillation is worth on the built-in pictures.

    python benchmarks/asymmetric.py runs/asymmetric            trains (about 15 CPU minutes), prints
    python benchmarks/asymmetric.py runs/asymmetric --write    also writes results/asymmetric.md

Pictures are drawn at 64 pixels. A teacher learns to tell species apart at 64; its students, of the
same network, see 32 or 16, at which the finer marks of a species are gone. All students start from
the teacher's weights and train for as many epochs. Species of the test split are in no training.

- asymmetric: the student's small queries search the gallery that the teacher embedded at 64;
- symmetric: the student searches its own gallery, embedded at its own size.

Runs that are there already are not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from lookalike.compose import compose
from lookalike.config import Config
from lookalike.data.table import Table
from lookalike.jobs import train
from lookalike.jobs.parts import building
from lookalike.jobs.parts.measuring import embedded, measure_vectors
from lookalike.jobs.parts.pairing import load_model
from lookalike.models.embedder import Embedder

RESULT = Path(__file__).parent / "results" / "asymmetric.md"
HIGH, LOW = 64, (32, 16)
METRICS = {"mean_average_precision_level0": "mAP", "recall_at_1_level0": "R@1"}
COMMON = [
    "dataset=toy", "dataset.families=8", "dataset.genera=2", "dataset.species=6",
    "dataset.pictures=20", f"dataset.size={HIGH}", "transform=figure", "model=conv4",
    "model.pool=gem", "model.options.width=[16,32,64,128]", "model.embedding_size=64",
    "batch_size=48", "optimizer.lr=3e-3", "optimizer.warmup_epochs=0.5", "workers=0",
    "evaluation.every=0", "evaluation.metrics=[recall_at_1,mean_average_precision]",
]  # fmt: skip
TEACHER = ["loss=smooth_ap", "sampler.m=4", "epochs=24"]
TAUGHT = ["loss=asymmetric_distillation", "sampler=random", "optimizer.lr=1e-3"]
VIEWS = ["distillation.mode=ts_aug", "distillation.views=3"]
STUDENTS = {
    "symmetric student": ["loss=smooth_ap", "sampler.m=4", "optimizer.lr=1e-3"],
    "ts_reg": [*TAUGHT, "distillation.mode=ts_reg", "loss.lam_1=0", "loss.lam_2=0"],
    "ts_aug": [*TAUGHT, *VIEWS],
    "ts_aug, beyond RAML": [
        *TAUGHT, *VIEWS, "distillation.mixup=0", "loss.lam_batch=5",
        "distillation.rank.name=smooth_ap", "distillation.rank.tau=0.05",
        "distillation.rank_weight=0.3",
    ],
}  # fmt: skip
USED = "teacher at this size"


def trained(folder: Path, words: list[str], seed: int) -> Path:
    """The run of these options, trained where it is not there yet."""
    if not (folder / "report.html").is_file():
        options = [*COMMON, f"seed={seed}", f"dataset.seed={seed}", *words, f"run={folder}"]
        train.run(options, overwrite=True, silent=True)
    return folder


class Bench:
    """One seed: its pictures, its teacher, and what they measure."""

    def __init__(self, base: Path, seed: int, epochs: int) -> None:
        self.base, self.seed, self.epochs = base / f"seed{seed}", seed, epochs
        self.teacher = trained(self.base / "teacher", [*TEACHER, f"transform.size={HIGH}"], seed)
        self.config: Config = compose([*COMMON, f"dataset.seed={seed}"])
        self.table: Table = building.build_table(self.config).split("test")
        self.gallery = self.embed(load_model(self.teacher, HIGH, ""))

    def embed(self, model: Embedder) -> np.ndarray:
        """The vectors of the test pictures."""
        vectors, _ = embedded(
            model, self.table, self.config.evaluation, workers=0, broken="refuse", precision=None
        )
        return vectors

    def student(self, name: str, size: int) -> Path:
        """A student's run."""
        words = [*STUDENTS[name], f"transform.size={size}", f"epochs={self.epochs}"]
        words += [f"model.weights={self.teacher}"]
        if STUDENTS[name][0] == TAUGHT[0]:
            words += [f"teacher={self.teacher}"]
        return trained(self.place(name, size), words, self.seed)

    def place(self, name: str, size: int) -> Path:
        """A student's folder."""
        return self.base / f"{name.replace(',', '').replace(' ', '_')}-{size}"

    def has(self, name: str, size: int) -> bool:
        """Whether a student is trained."""
        return (self.place(name, size) / "report.html").is_file()

    def measure(self, queries: np.ndarray, gallery: np.ndarray | None) -> dict[str, list[float]]:
        """Metric → value, low, high; 95 % bootstrap over classes."""
        c = self.config.evaluation
        found = measure_vectors("test", self.table, queries, c, gallery)
        bounds = found.report.intervals(over="classes", level=0)
        return {name: [found.report.values[name], *bounds[name]] for name in METRICS}

    def row(self, name: str, size: int) -> dict:
        """What queries of one size reach."""
        folder = self.teacher if name == USED else self.student(name, size)
        vectors = self.embed(load_model(folder, size, ""))
        return {
            "seed": self.seed, "size": size, "name": name,
            "asymmetric": self.measure(vectors, self.gallery),
            "symmetric": self.measure(vectors, None),
        }  # fmt: skip

    def high(self) -> dict:
        """What the teacher reaches at its own size."""
        measured = self.measure(self.gallery, None)
        return {
            "seed": self.seed, "size": HIGH, "name": "teacher",
            "asymmetric": measured, "symmetric": measured,
        }  # fmt: skip


def cell(rows: list[dict], way: str, metric: str) -> str:
    """Mean over seeds, and the mean of their intervals' ends."""
    value, low, high = (
        statistics.mean(row[way][metric][i] for row in rows) for i in range(3)
    )  # fmt: skip
    spread = [row[way][metric][0] for row in rows]
    return f"{value:.3f} ({low:.3f}–{high:.3f}; {min(spread):.3f} … {max(spread):.3f})"


def report(rows: list[dict], epochs: int, command: str) -> str:
    columns = [(way, metric) for way in ("asymmetric", "symmetric") for metric in METRICS]
    lines = [
        "# Small queries, large gallery",
        "",
        f"`{command}`, torch {torch.__version__}, one thread",
        "",
        "Species of the built-in pictures, 48 to train on and 48 never seen, 20 pictures each; "
        f"teacher at {HIGH} pixels, {epochs} epochs a student. Each cell: the mean over seeds (the "
        "mean ends of their 95 % intervals, bootstrap over species; the smallest … the largest of "
        "the seeds).",
        "",
        "| queries at | model of the queries | "
        + " | ".join(f"{way} {METRICS[metric]}" for way, metric in columns)
        + " | seeds |",
        "|--:|---|" + "--:|" * (len(columns) + 1),
    ]
    for size, name in dict.fromkeys((row["size"], row["name"]) for row in rows):
        found = [row for row in rows if (row["size"], row["name"]) == (size, name)]
        cells = [cell(found, way, metric) for way, metric in columns]
        lines.append(f"| {size} | {name} | {' | '.join(cells)} | {len(found)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the runs go")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(LOW))
    parser.add_argument("--students", nargs="+", default=list(STUDENTS))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--finished", action="store_true", help="train nothing more")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for seed in chosen.seeds:
        bench = Bench(chosen.folder, seed, chosen.epochs)
        rows.append(bench.high())
        print(json.dumps(rows[-1]), flush=True)
        for size in chosen.sizes:
            for name in (USED, *chosen.students):
                if chosen.finished and name != USED and not bench.has(name, size):
                    continue
                rows.append(bench.row(name, size))
                print(json.dumps(rows[-1]), flush=True)
    seeds = " ".join(map(str, chosen.seeds))
    command = f"python benchmarks/asymmetric.py runs/asymmetric --seeds {seeds} --write"
    text = report(rows, chosen.epochs, command)
    print(text)
    if chosen.write:
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
