"""How many pictures a second training is fed, beside the way the published codes feed it.

    python benchmarks/loading.py DATA_ROOT            prints the table, about two minutes
    python benchmarks/loading.py DATA_ROOT --write    also writes results/loading.md

Originals are 500×375 JPEGs of quality 92, each of six birds in DATA_ROOT side by side, so that they
hold as much detail as photos of that size. Every row gives batches of 64 views of 224×224 (random
crop, flip):

- theirs: Pillow, torchvision's transforms, float and normalised in the worker, as all five codes;
- ours: uint8 from file to batch, from the originals and from caches. The model normalises, on its
  device; the last column adds that, where the device is this very processor.

One process, one thread, CPU time, loading in the process itself: the figures are those of one core.
Candidates take turns, medians of the rounds. A timing is no test: read the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision import transforms as v1

from lookalike.data import datasets, transforms
from lookalike.data.cache import build_cache
from lookalike.data.loader import train_loader
from lookalike.data.samplers import RandomSampler
from lookalike.data.table import Table
from lookalike.models.embedder import normalised

RESULT = Path(__file__).parent / "results" / "loading.md"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 64
THEIRS, NORMALISED = "theirs, originals", "{}, normalised"
SCALE = [255 * torch.tensor(x)[:, None, None] for x in (MEAN, STD)]


def originals(root, folder, count):
    """Pictures of 500×375, each of six birds."""
    birds = datasets.cub(root).paths
    rng = np.random.default_rng(0)
    for number in range(count):
        canvas = Image.new("RGB", (681, 454))
        for place, bird in enumerate(rng.choice(birds, 6)):
            picture = Image.open(bird).convert("RGB").resize((227, 227))
            canvas.paste(picture, (place % 3 * 227, place // 3 * 227))
        canvas.crop((90, 40, 590, 415)).save(folder / f"{number}.jpg", quality=92)
    frame = pd.DataFrame({"path": [f"{n}.jpg" for n in range(count)]})
    return Table.from_frame(frame.assign(label=np.arange(count) // 4), root=folder)


class Theirs(torch.utils.data.Dataset):
    """Pictures as the published codes load them."""

    def __init__(self, paths):
        self.paths = paths
        self.steps = v1.Compose(
            [
                v1.RandomResizedCrop(224, (0.16, 1), (0.75, 1.33)),
                v1.RandomHorizontalFlip(),
                v1.ToTensor(),
                v1.Normalize(MEAN, STD),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, row):
        return self.steps(Image.open(self.paths[row]).convert("RGB")), row


def theirs(table):
    loader = torch.utils.data.DataLoader(Theirs(table.paths), BATCH, shuffle=True, drop_last=True)
    return sum(len(pictures) for pictures, _ in loader)


def ours(table, normalise=False):
    sampler = RandomSampler(table.labels, batch_size=BATCH)
    count = 0
    for batch in train_loader(table, transforms.train(224), sampler):
        pictures = batch["pictures"]
        count += len(normalised(pictures, *SCALE) if normalise else pictures)
    return count


def measure(candidates, rounds):
    """Pictures a second of each candidate, one figure a round."""
    rates = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            start = time.process_time()
            count = run()
            rates[name].append(count / (time.process_time() - start))
    return rates


def report(rates, sizes):
    base = rates[THEIRS]
    lines = [
        "# Loading pictures for training",
        "",
        f"`python benchmarks/loading.py DATA_ROOT --write`, torch {torch.__version__}, one core",
        "",
        "Batches of 64 views of 224×224 from 500×375 originals; ratios are those of one process.",
        "",
        "| from | kilobytes a picture | pictures a CPU second | beside theirs "
        "| normalised on the same core |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in sizes:
        shown = [statistics.median(rates[name]), *(
            statistics.median(a / b for a, b in zip(rates[key], base, strict=True))
            for key in (name, NORMALISED.format(name)) if key in rates
        )]  # fmt: skip
        cells = [f"{sizes[name]:.0f}", f"{shown[0]:.0f}", *(f"{r:.1f} ×" for r in shown[1:])]
        lines.append(f"| {name} | {' | '.join(cells)} |" + (" 1.0 × |" if name == THEIRS else ""))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "originals").mkdir()
        table = originals(options.data_root / "CUB_200_2011", base / "originals", options.pictures)
        tables = {THEIRS: table, "ours, originals": table}
        for encoding in ("jpeg", "raw"):
            folder = base / encoding
            tables[f"ours, {encoding} cache"] = build_cache(table, folder, encoding=encoding)
        sizes = {n: sum(map(size, {p.split("#")[0] for p in t.paths})) / len(t) / 1e3
                 for n, t in tables.items()}  # fmt: skip
        candidates = {}
        for name, rows in tables.items():
            if name == THEIRS:
                candidates[name] = partial(theirs, rows)
            else:
                candidates[name] = partial(ours, rows)
                candidates[NORMALISED.format(name)] = partial(ours, rows, normalise=True)
        text = report(measure(candidates, options.rounds), sizes)
    print(text)
    if options.write:
        RESULT.write_text(text)


def size(path):
    return Path(path).stat().st_size


if __name__ == "__main__":
    main()
