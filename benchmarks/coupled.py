"""What the views of a student and its teacher cost, beside making them the straightforward way.

    python benchmarks/coupled.py DATA_ROOT            prints the tables, about three minutes
    python benchmarks/coupled.py DATA_ROOT --write    also writes results/coupled.md

Originals are those of benchmarks/loading.py: 500×375 JPEGs. Of each picture come 8 views at 224 for
the student and the same 8 at 448 for its teacher: crop of 8 to 100 %, flip, colour jitter, mixed
with the same view of a partner (RAML's ts_aug).

- straightforward: each view opens its partner's file, and makes crop, flip and jitter of both by
  Pillow and torchvision, into normalised floats, as RAML describes its loader;
- ours: `lookalike.data.coupled`, every picture decoded once for a batch of 8, uint8 throughout: all
  that a loader does in training, since the model normalises, on its device;
- ours, normalised: that and the model's normalisation on the same core: the work of the first.

One process, one thread, CPU time; candidates take turns, medians of the rounds.

The second table is the teacher's pass over 8 pictures at 448 pixels, in a process of its own each:
how far its resident memory rises, with and without autograd.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from loading import MEAN, SCALE, STD, originals
from PIL import Image
from torchvision import transforms as v1

from lookalike.compose import compose
from lookalike.data import transforms
from lookalike.data.coupled import CoupledDataset, CoupledViews
from lookalike.models.embedder import create_model, normalised
from lookalike.training.distill import Teacher

RESULT = Path(__file__).parent / "results" / "coupled.md"
SMALL, LARGE, VIEWS, GROUP = 224, 448, 8, 8


def pipeline(size):
    return v1.Compose(
        [
            v1.RandomResizedCrop(size),
            v1.RandomHorizontalFlip(),
            v1.ColorJitter(0.4, 0.4, 0.4, 0.1),
            v1.ToTensor(),
            v1.Normalize(MEAN, STD),
        ]
    )


def straightforward(paths, rows):
    """Views of some rows: a file opened for each picture and each partner."""
    pipelines = [pipeline(SMALL), pipeline(LARGE)]
    for row in rows:
        own = Image.open(paths[row]).convert("RGB")
        views = []
        for _ in range(VIEWS):
            seed = int(np.random.randint(2**31))
            partner = Image.open(paths[np.random.randint(len(paths))]).convert("RGB")
            share = float(np.random.beta(0.2, 0.2))
            for transform in pipelines:
                pair = []
                for picture in (own, partner):
                    random.seed(seed)
                    torch.manual_seed(seed)
                    pair.append(transform(picture))
                views.append(share * pair[0] + (1 - share) * pair[1])
        torch.stack(views[::2])
        torch.stack(views[1::2])


def ours(dataset, rows, normalise=False):
    items = dataset.__getitems__([(row, 0, 0) for row in rows])
    if normalise:
        for item in items:
            for views in (item["picture"], item["teacher_picture"]):
                normalised(views, *SCALE)


def measure(table, rounds, pictures):
    options = compose(["transform=raml"]).transform.train
    views = CoupledViews(
        transforms.train(SMALL, **options), transforms.train(LARGE, **options), VIEWS, 0.2
    )
    dataset = CoupledDataset(table, views, group=GROUP)
    paths, rng = table.paths, np.random.default_rng(0)
    candidates = {
        "straightforward": lambda rows: straightforward(paths, rows),
        "ours": lambda rows: ours(dataset, rows),
        "ours, normalised": lambda rows: ours(dataset, rows, normalise=True),
    }
    rates = {name: [] for name in candidates}
    for _ in range(rounds):
        rows = rng.choice(len(paths), pictures, replace=False).tolist()
        for name, run in candidates.items():
            start = time.process_time()
            run(rows)
            rates[name].append(pictures / (time.process_time() - start))
    return rates


def teacher_pass(way):
    """In a process of its own: megabytes by which the peak rises, the network built before."""
    torch.set_num_threads(1)
    teacher = Teacher(create_model("resnet50", pretrained=False, embedding_size=512, size=LARGE))
    pictures = torch.zeros(8, 3, LARGE, LARGE, dtype=torch.uint8)
    with torch.no_grad():
        teacher.model(pictures[:1])  # what torch takes once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if way == "autograd":
        teacher.model.requires_grad_(True)
        kept = teacher.model(pictures)
    else:
        kept = teacher(pictures)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([(peak - before) / 1024, kept.requires_grad]))


def report(rates, memory, chosen):
    base = rates["straightforward"]
    lines = [
        "# The views of a student and its teacher",
        "",
        f"`python benchmarks/coupled.py DATA_ROOT --rounds {chosen.rounds} --pictures "
        f"{chosen.pictures} --write`, torch {torch.__version__}, one core",
        "",
        f"{VIEWS} views at {SMALL} and the same at {LARGE} of each 500×375 picture, mixed with a "
        f"partner's; {chosen.rounds} rounds of {chosen.pictures} pictures.",
        "",
        "| way | pictures a CPU second | beside the straightforward |",
        "|---|--:|--:|",
    ]
    for name, found in rates.items():
        ratios = [a / b for a, b in zip(found, base, strict=True)]
        ratio, low, high = statistics.median(ratios), min(ratios), max(ratios)
        lines.append(
            f"| {name} | {statistics.median(found):.1f} | {ratio:.1f} × ({low:.1f}–{high:.1f}) |"
        )
    lines += [
        "",
        f"A ResNet-50 teacher's pass over 8 pictures at {LARGE} pixels, in a process of its own: "
        "its resident memory rises by",
        "",
        "| way | megabytes |",
        "|---|--:|",
        *(f"| {name} | {value:,.0f} |" for name, value in memory.items()),
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root", type=Path, nargs="?")
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--teacher", choices=["autograd", "ours"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.teacher:
        teacher_pass(chosen.teacher)
        return
    if chosen.data_root is None:
        parser.error("DATA_ROOT is needed: the folder that holds CUB_200_2011")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        table = originals(chosen.data_root / "CUB_200_2011", Path(name), 64)
        rates = measure(table, chosen.rounds, chosen.pictures)
    memory = {}
    for way, title in (("autograd", "with autograd, as RAML's"), ("ours", "ours, without")):
        words = [sys.executable, __file__, "--teacher", way]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        memory[title], tracked = json.loads(done.stdout)
        assert tracked == (way == "autograd")
    text = report(rates, memory, chosen)
    print(text)
    if chosen.write:
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
