r"""Small queries, large gallery: what distillation is worth on species never seen.

    python benchmarks/asymmetric.py runs/asymmetric            trains (about 15 CPU minutes), prints
    python benchmarks/asymmetric.py runs/asymmetric --write    also writes results/asymmetric.md
    lookalike train recipe=cub_small epochs=6 data_root=DATA run=runs/cub
    python benchmarks/asymmetric.py runs/asymmetric_cub --data cub --data-root DATA \
        --teacher runs/cub --seeds 0 --epochs 2               birds (about 7 CPU minutes more)

A teacher learns to tell species apart on large pictures; its students, of the same network, see
small ones, at which the finer marks of a species are gone. All students start from the teacher's
weights. Species of the test split are in no training.

- toy: pictures are drawn at 64 pixels, students see 32 or 16, and train for as many epochs each;
- cub: birds at 80 pixels, students see 40, from a copy of the photographs cut down to 128 pixels
  once. A student of one view a picture trains as much longer as the others have more views.

- asymmetric: the student's small queries search the gallery that the teacher embedded large;
- symmetric: the student searches its own gallery, embedded at its own size.

Runs that are there already are not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from lookalike.compose import compose
from lookalike.config import Config
from lookalike.data.build import build_table
from lookalike.data.cache import build_cache
from lookalike.data.table import Table
from lookalike.evaluation.asymmetric import load_model
from lookalike.evaluation.evaluator import embedded, measure_vectors
from lookalike.jobs import train
from lookalike.models.embedder import Embedder
from lookalike.runs import Run

RESULT = Path(__file__).parent / "results" / "asymmetric.md"
METRICS = {"mean_average_precision_level0": "mAP", "recall_at_1_level0": "R@1"}
COMMON = [
    "workers=0", "evaluation.every=0",
    "evaluation.metrics=[recall_at_1,mean_average_precision]",
]  # fmt: skip


@dataclass(frozen=True)
class Pictures:
    """A data set, its sizes, and what its runs have of their own.

    Attributes:
        title: of its section.
        species: what the section says of them.
        high: side of the teacher's pictures.
        low: sides of the students'.
        common: options of every run.
        teacher: those of the teacher's.
        longer: how much longer a student of one view a picture trains than the others.
    """

    title: str
    species: str
    high: int
    low: tuple[int, ...]
    common: tuple[str, ...]
    teacher: tuple[str, ...]
    longer: int = 1


TOY = Pictures(
    title="The built-in pictures",
    species="Species of the built-in pictures, 48 to train on and 48 never seen, 20 pictures each",
    high=64,
    low=(32, 16),
    common=(
        "dataset=toy", "dataset.families=8", "dataset.genera=2", "dataset.species=6",
        "dataset.pictures=20", "dataset.size=64", "transform=figure",
        "model=conv4", "model.pool=gem", "model.options.width=[16,32,64,128]",
        "model.embedding_size=64", "batch_size=48",
        "optimizer.lr=3e-3", "optimizer.warmup_epochs=0.5",
    ),
    teacher=("loss=smooth_ap", "sampler.m=4", "epochs=24"),
)  # fmt: skip
CUB = Pictures(
    title="Birds",
    species="CUB-200-2011's teaching subset, 58 species to train on (3,428 photographs) and 42 "
    "never seen (2,474)",
    high=80,
    low=(40,),
    common=("recipe=cub_small", "evaluation.baselines=false", "optimizer.warmup_epochs=0.5"),
    teacher=("sampler.m=4", "epochs=12"),
    longer=3,
)
DATA = {"toy": TOY, "cub": CUB}
CACHED = 128  # shorter side of the birds' copy
TAUGHT = ["loss=asymmetric_distillation", "sampler=random"]
VIEWS = ["distillation.mode=ts_aug", "distillation.views=3"]
STUDENTS = {
    "symmetric student": ["loss=smooth_ap", "sampler.m=4"],
    "ts_reg": [*TAUGHT, "distillation.mode=ts_reg", "loss.lam_1=0", "loss.lam_2=0"],
    "ts_aug": [*TAUGHT, *VIEWS],
    "ts_aug, beyond RAML": [
        *TAUGHT, *VIEWS, "distillation.mixup=0", "loss.lam_batch=5",
        "distillation.rank.name=smooth_ap", "distillation.rank.tau=0.05",
        "distillation.rank_weight=0.3",
    ],
}  # fmt: skip
USED = "teacher at this size"


def trained(folder: Path, words: list[str]) -> Path:
    """The run of these options, trained where it is not there yet."""
    if not (folder / "report.html").is_file():
        train.run([*words, f"run={folder}"], overwrite=True, silent=True)
    return folder


def birds(base: Path, data_root: Path) -> str:
    """The option that names the copy of the photographs, made where it is not there yet."""
    folder = base / f"cub-{CACHED}"
    if not folder.is_dir():
        originals = build_table(compose(["dataset=cub", f"data_root={data_root}"]))
        build_cache(originals, folder, shorter=CACHED)
    return f"dataset={folder}"


class Bench:
    """One seed: its pictures, its teacher, and what they measure."""

    def __init__(
        self,
        base: Path,
        data: Pictures,
        own: list[str],
        seed: int,
        epochs: int,
        teacher: Path | None = None,
    ) -> None:
        self.base, self.data, self.seed, self.epochs = base / f"seed{seed}", data, seed, epochs
        self.words = [*COMMON, *data.common, *own, f"seed={seed}"]
        if data is TOY:
            self.words.append(f"dataset.seed={seed}")
        words = [*self.words, *data.teacher, f"transform.size={data.high}"]
        self.teacher = teacher or trained(self.base / "teacher", words)
        self.config: Config = compose(self.words)
        self.table: Table = build_table(self.config).split("test")
        self.gallery = self.embed(load_model(self.teacher, data.high, ""))

    def embed(self, model: Embedder) -> np.ndarray:
        """The vectors of the test pictures."""
        vectors, _ = embedded(
            model, self.table, self.config.evaluation, workers=0, broken="refuse", precision=None
        )
        return vectors

    def student(self, name: str, size: int) -> Path:
        """A student's run."""
        epochs = self.epochs * (1 if VIEWS[0] in STUDENTS[name] else self.data.longer)
        words = [*self.words, "optimizer.lr=1e-3", *STUDENTS[name]]
        words += [f"transform.size={size}", f"epochs={epochs}", f"model.weights={self.teacher}"]
        if STUDENTS[name][0] == TAUGHT[0]:
            words += [f"teacher={self.teacher}"]
        return trained(self.place(name, size), words)

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
            "seed": self.seed, "size": self.data.high, "name": "teacher",
            "asymmetric": measured, "symmetric": measured,
            "epochs": Run.open(self.teacher).read_manifest()["epochs"],
        }  # fmt: skip


def cell(rows: list[dict], way: str, metric: str) -> str:
    """Mean over seeds, the mean of their intervals' ends, and the seeds' range."""
    value, low, high = (
        statistics.mean(row[way][metric][i] for row in rows) for i in range(3)
    )  # fmt: skip
    seeds = [row[way][metric][0] for row in rows]
    spread = f"; {min(seeds):.3f} … {max(seeds):.3f}" if len(seeds) > 1 else ""
    return f"{value:.3f} ({low:.3f}–{high:.3f}{spread})"


def section(rows: list[dict], data: Pictures, epochs: int, command: str) -> str:
    """What one data set gave, as text."""
    columns = [(way, metric) for way in ("asymmetric", "symmetric") for metric in METRICS]
    longer = f" ({epochs * data.longer} where it sees one view of a picture)"
    lines = [
        f"## {data.title}",
        "",
        f"`{command}`, torch {torch.__version__}, one thread",
        "",
        f"{data.species}; teacher at {data.high} pixels, {rows[0]['epochs']} epochs; {epochs} "
        f"epochs a student{longer if data.longer > 1 else ''}. Each cell: the mean over seeds (the "
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


def write(text: str) -> None:
    """Put a section in the place of the one with its title, or behind the others."""
    kept = re.split(r"^(?=## )", RESULT.read_text(), flags=re.MULTILINE)
    title = text.partition("\n")[0]
    at = next((i for i, part in enumerate(kept) if part.startswith(title)), len(kept))
    kept[at : at + 1] = [text]
    RESULT.write_text("\n".join(part.strip() + "\n" for part in kept))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the runs go")
    parser.add_argument("--data", choices=list(DATA), default="toy")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="of cub")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--teacher", type=Path, help="a run of the same network; default: train it")
    parser.add_argument("--sizes", type=int, nargs="+", help="default: all of the data set's")
    parser.add_argument("--students", nargs="+", default=list(STUDENTS))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--finished", action="store_true", help="train nothing more")
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    data = DATA[chosen.data]
    own = [birds(chosen.folder, chosen.data_root)] if data is CUB else []
    rows = []
    for seed in chosen.seeds:
        bench = Bench(chosen.folder, data, own, seed, chosen.epochs, chosen.teacher)
        rows.append(bench.high())
        print(json.dumps(rows[-1]), flush=True)
        for size in chosen.sizes or data.low:
            for name in (USED, *chosen.students):
                if chosen.finished and name != USED and not bench.has(name, size):
                    continue
                rows.append(bench.row(name, size))
                print(json.dumps(rows[-1]), flush=True)
    command = f"python benchmarks/asymmetric.py runs/{chosen.folder.name}"
    if data is CUB:
        command += " --data cub --data-root DATA"
    if chosen.teacher:
        command += f" --teacher runs/{chosen.teacher.name}"
    command += f" --seeds {' '.join(map(str, chosen.seeds))} --epochs {chosen.epochs} --write"
    text = section(rows, data, chosen.epochs, command)
    print(text)
    if chosen.write:
        write(text)


if __name__ == "__main__":
    main()
