"""What it costs to read the tables of the largest data sets, as their files really are.

    python benchmarks/tables.py              a minute
    python benchmarks/tables.py --write      also writes results/tables.md

Files in the original layouts with made-up names and numbers, without pictures: iNaturalist 2018 in
its three guises (461,939 lines, with train2018.json), Google Landmarks v2 with its hierarchy
(1,580,470 training pictures, 761,757 of the index, 1,129 queries with an answer), and a Parquet
table of 1.6 million rows. Each is read in a process of its own: CPU seconds from the call to the
table, and the process's largest resident memory, Python and pandas included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

RESULT = Path(__file__).parent / "results" / "tables.md"
SPECIES, LANDMARKS = 8142, 81_313
CASES = {
    "iNaturalist, base": ("inaturalist", "inat", {}),
    "iNaturalist, full": ("inaturalist", "inat", {"guise": "full"}),
    "iNaturalist, open world": ("inaturalist", "inat", {"guise": "open_world"}),
    "GLDv2": ("gldv2", "gldv2", {}),
    "GLDv2 with hierarchy": ("gldv2", "gldv2", {"hierarchy": True}),
    "Parquet, three levels": ("table_file", "table.parquet", {"levels": ["label", "mid", "top"]}),
}


def inaturalist(folder):
    """Split files and taxonomy; classes 0 … 5689 to train on, as many pictures as published."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for split, count, low, high in (
        ("train", 325_846, 0, 5690), ("test", 136_093, 5690, SPECIES)
    ):  # fmt: skip
        classes = np.sort(rng.integers(low, high, count))
        lines = [f"train_val2018/Super{c % 13}/{c}/{i:032x}.jpg" for i, c in enumerate(classes)]
        (folder / f"Inaturalist_{split}_set1.txt").write_text("\n".join(lines))
        if split == "train":
            known = [line for line, c in zip(lines, classes, strict=True) if c < 948]
            cut = int(len(known) * 0.6)
            (folder / "lin_train_set1.txt").write_text("\n".join(known[:cut]))
            (folder / "uin_train_set1.txt").write_text("\n".join(known[cut:]))
    ranks = ("genus", "family", "order", "class", "phylum", "kingdom")
    sizes = (4412, 1120, 273, 57, 25, 6)
    categories = [
        {"id": c, **{r: f"{r}{c % n}" for r, n in zip(ranks, sizes, strict=True)}}
        for c in range(SPECIES)
    ]
    images = [{"id": i, "file_name": f"{i:032x}.jpg"} for i in range(437_513)]
    (folder / "train2018.json").write_text(json.dumps({"images": images, "categories": categories}))


def gldv2(folder):
    rng = np.random.default_rng(0)
    folder.mkdir()
    ids = [f"{i:016x}" for i in range(1_580_470)]
    ends = np.sort(rng.choice(len(ids), LANDMARKS - 1, replace=False))
    lists = np.split(np.array(ids), ends)
    pd.DataFrame(
        {"landmark_id": range(LANDMARKS), "images": [" ".join(part) for part in lists]}
    ).to_csv(folder / "train_clean.csv", index=False)
    index = [f"{i:016x}" for i in range(2_000_000, 2_761_757)]
    landmark = rng.integers(0, 101_302, len(index))
    pd.DataFrame({"id": index, "landmark_id": landmark}).to_csv(
        folder / "index_image_to_landmark.csv", index=False
    )
    queries = [f"{i:016x}" for i in range(3_000_000, 3_001_129)]
    pd.DataFrame({"id": queries, "images": index[:1129], "Usage": "Public"}).to_csv(
        folder / "retrieval_solution_v2.1.csv", index=False
    )
    for name, count in (("train", LANDMARKS), ("index", 101_302)):
        clusters = pd.DataFrame({"landmark_id": range(count)})
        clusters["cluster"] = clusters["landmark_id"] % 46_593
        clusters["overall_cluster"] = clusters["landmark_id"] % 78
        clusters.to_csv(folder / f"{name}_label_to_subcategory_with_clusters.csv", index=False)


def parquet(file):
    rows = np.arange(1_600_000)
    frame = pd.DataFrame({"path": [f"{r % 4096:03x}/{r:016x}.jpg" for r in rows]})
    frame["label"], frame["mid"], frame["top"] = rows // 20, rows // 400, rows // 20_000
    frame["split"] = np.where(rows < 1_200_000, "train", "test")
    frame.to_parquet(file)


def read(name, root, options):
    """In a process of its own: rows, seconds and the peak of memory in megabytes."""
    from lookalike.data import datasets

    start = time.process_time()
    table = getattr(datasets, name)(root, **options)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([len(table), table.num_classes(0), seconds, peak]))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--read", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.read:
        name, root, options = chosen.read
        read(name, root, json.loads(options))
        return
    lines = [
        "# Reading the tables of large data sets",
        "",
        "`python benchmarks/tables.py --write`, one process each",
        "",
        "| data set | rows | classes | CPU seconds | megabytes at most |",
        "|---|--:|--:|--:|--:|",
    ]
    with tempfile.TemporaryDirectory() as base:
        inaturalist(Path(base) / "inat")
        gldv2(Path(base) / "gldv2")
        parquet(Path(base) / "table.parquet")
        for title, (name, root, options) in CASES.items():
            words = [name, str(Path(base) / root), json.dumps(options)]
            done = subprocess.run(
                [sys.executable, __file__, "--read", *words],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            rows, classes, seconds, peak = json.loads(done.stdout)
            lines.append(f"| {title} | {rows:,} | {classes:,} | {seconds:.1f} | {peak:.0f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.write:
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
