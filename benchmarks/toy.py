"""How little colour, raw pixels and an untrained network know of the built-in pictures.

    python benchmarks/toy.py [--size 64] [--seed 0] [--nuisance 1.0] [--root CACHE]

Prints recall@1 on the unseen test species, at the level of species, genus and family, beside
chance, then what a picture costs to draw.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lookalike.data.datasets._toy import toy
from lookalike.data.decode import read_picture
from lookalike.data.table import Table
from lookalike.demo import draw
from lookalike.demo.image import PLANS


def recall_at_1(vectors: np.ndarray, labels: np.ndarray) -> list[float]:
    """Share of pictures whose nearest other picture has their label, for each label column."""
    vectors = vectors.astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-12
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = similarity.argmax(1)
    return (labels[nearest] == labels).mean(0).tolist()


def chance(labels: np.ndarray) -> list[float]:
    """What a neighbour drawn at random would score."""
    columns = []
    for column in labels.T:
        sizes = np.unique(column, return_counts=True)[1]
        columns.append(float((sizes * (sizes - 1)).sum() / (len(column) * (len(column) - 1))))
    return columns


def histogram(pictures: np.ndarray) -> np.ndarray:
    """Square-rooted 8×8×8 colour histogram (Hellinger kernel)."""
    codes = (pictures.astype(np.int64) // 32 * (64, 8, 1)).sum(-1).reshape(len(pictures), -1)
    return np.sqrt(np.stack([np.bincount(row, minlength=512) for row in codes]))


def shrunk(pictures: np.ndarray) -> np.ndarray:
    """Average down to 32×32."""
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    return nn.functional.interpolate(batch, (32, 32), mode="area").permute(0, 2, 3, 1).numpy()


def centred(pictures: np.ndarray) -> np.ndarray:
    """Pixels less each picture's mean, so that the dot product is a correlation."""
    rows = pictures.reshape(len(pictures), -1)
    return rows - rows.mean(1, keepdims=True)


def untrained(pictures: np.ndarray) -> np.ndarray:
    """Four convolution blocks as PyTorch initialises them, averaged over the picture."""
    torch.manual_seed(0)
    widths = (3, 32, 64, 128, 256)
    blocks = []
    for into, out in pairwise(widths):
        blocks += [nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
        blocks += [nn.MaxPool2d(2)]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        batches = torch.from_numpy(pictures).permute(0, 3, 1, 2).split(256)
        vectors = torch.cat([network(batch.float() / 128 - 1) for batch in batches])
    return (vectors - vectors.mean(0)).numpy()


def report(table: Table) -> None:
    test = table.split("test")
    pictures = np.stack([read_picture(path) for path in test.paths])
    small = shrunk(pictures)
    rows = {
        "chance": chance(test.labels),
        "colour histogram": recall_at_1(histogram(pictures), test.labels),
        "raw pixels, 32×32 colour": recall_at_1(centred(small), test.labels),
        "raw pixels, 32×32 grey": recall_at_1(centred(small.mean(-1)), test.labels),
        "untrained network": recall_at_1(untrained(pictures), test.labels),
    }
    classes = len(np.unique(test.labels[:, 0]))
    print(f"recall@1 among {len(test)} pictures of {classes} unseen species")
    print(f"{'':28}" + "".join(f"{level:>10}" for level in test.levels))
    for name, scores in rows.items():
        print(f"{name:28}" + "".join(f"{score:10.3f}" for score in scores))


def cost(sizes: tuple[int, ...] = (64, 128), pictures: int = 20) -> None:
    print(f"\nms a picture on one core, {pictures} pictures of each species, drawing alone")
    for size in sizes:
        rounds = []
        for genus in range(3):  # another genus each round: its plates are not yet drawn
            start = time.perf_counter()
            for family in range(len(PLANS)):
                for picture in range(pictures):
                    draw(family, genus, 0, picture, size=size, seed=0)
            rounds.append((time.perf_counter() - start) / (len(PLANS) * pictures) * 1e3)
        print(f"{size:4} px  {min(rounds):5.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nuisance", type=float, default=1.0)
    parser.add_argument("--root", type=Path, default=None, help="cache folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report(toy(**vars(arguments)))
    cost()


if __name__ == "__main__":
    main()
