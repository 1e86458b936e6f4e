"""The open world measured: the loop on Omniglot beside its upper bound, rivals, and scale.

    python benchmarks/open_world.py loop --data-root DATA [--rounds 3] [--seeds 0 1 2]
    python benchmarks/open_world.py rivals runs/open/round-3
    python benchmarks/open_world.py scale 100000 300000

``loop``: three alphabets known (13 of 20 drawings of each character labelled), two unknown. The
upper bound is trained with the true labels of everything. ``rivals``: one round's embeddings,
Hi-LANDER and the others, k-means told the true number of classes. ``scale``: drawn embeddings of
256 numbers, about 30 to a class.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

LOOP = ["recipe=omniglot", "discover.density=0.5", "discover.method_options.tau=0.7"]
LOOP += ["discover.lander.hidden=128", "discover.lander.epochs=100", "discover.lander.lr=0.1"]


def loop(data_root: str, rounds: int, seeds: list[int], words: list[str]) -> None:
    from lookalike.data.frames import read_frame, write_frame
    from lookalike.discover.neighbours import unit
    from lookalike.discover.pseudo_labels import labelled_rows
    from lookalike.jobs import discover, round_metrics, train
    from lookalike.models import weights

    for seed in seeds:
        folder = Path(f"runs/open-omniglot-{seed}")
        common = [*LOOP, *words, f"data_root={data_root}", f"seed={seed}"]
        if (folder / "words.json").is_file():
            discover.run([f"run={folder}"], resume=True, quiet=True)
        else:
            discover.run([*common, f"discover.rounds={rounds}", f"run={folder}"], quiet=True)
        rows = read_frame(folder / "rows.parquet")
        table = folder / "all-labels.parquet"
        write_frame(labelled_rows(rows), table)
        bound = Path(f"{folder}-bound")
        if not (bound / "model").is_dir():
            own = [w for w in common if not w.startswith("discover.")]
            train.run([*own, f"dataset={table}", f"run={bound}"], overwrite=True, quiet=True)
        x = unit(weights.load(bound).encode(rows["path"].tolist(), batch_size=128))
        found = round_metrics.retrieval(x, rows, [1, 2, 4, 8])
        print(f"seed {seed}, all labels known:")
        for kind, part in found.items():
            print(f"  {kind}: " + ", ".join(f"{k} {v:.3f}" for k, v in part["values"].items()))


def rivals(home: Path) -> None:
    from lookalike.data.frames import read_frame
    from lookalike.discover import as_partition, cluster, unit
    from lookalike.discover.embedding_file import Embeddings
    from lookalike.metrics import clustering

    held = Embeddings.load(home / "embeddings.npy")
    heap = read_frame(home / "clusters.parquet")["row"].to_numpy()
    x, truth = unit(held.vectors)[heap], held.rows["label"].to_numpy(object)[heap]
    classes = len(np.unique(truth.astype(str)))
    lander = home / "lander.safetensors"
    tried = [("hilander", {"network": lander, "tau": tau}) for tau in (0.5, 0.7, 0.9)]
    tried += [("hdbscan", {"min_size": n}) for n in (3, 5)]
    tried += [("agglomerative", {"distance": d}) for d in (0.2, 0.3, 0.4)]
    tried += [("components", {"cosine": c}) for c in (0.8, 0.9)]
    tried += [("agglomerative", {"classes": classes}), ("kmeans", {"classes": classes})]
    print("| method | clusters | pairwise F | B-cubed F | NMI | AMI | seconds |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for method, options in tried:
        start = time.perf_counter()
        found = cluster(x, method, **options)
        seconds = time.perf_counter() - start
        s = clustering(as_partition(found.labels), truth.astype(str))
        said = ", ".join(f"{k}={v}" for k, v in options.items() if k != "network")
        scores = " | ".join(f"{s[n]:.3f}" for n in ("pairwise_f", "b_cubed_f", "nmi", "ami"))
        print(f"| {method} {said} | {found.clusters} | {scores} | {seconds:.1f} |")


def scale(sizes: list[int], knn: str, probes: int) -> None:
    from lookalike.discover import Lander, TrainingOptions, hilander, train_lander, unit

    width, each = 256, 30

    def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = rng.integers(count // each, size=count)
        centres = rng.normal(size=(count // each, width)).astype(np.float32)
        x = centres[labels] + rng.normal(size=(count, width)).astype(np.float32)
        return unit(x), labels

    options = TrainingOptions(k=[10], levels=[2], epochs=20, lr=0.1)
    network: Lander = train_lander(*drawn(6000, 0), options)
    for size in sizes:
        x, _ = drawn(size, 1)
        start = time.perf_counter()
        found = hilander(network, x, k=10, tau=0.5, levels=3, knn=knn, probes=probes)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        line = {"size": size, "seconds": round(seconds, 1), "peak_gb": round(peak, 2)}
        print(json.dumps(line | {"clusters": found.clusters, **found.facts}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("loop", "rivals", "scale"))
    parser.add_argument("given", nargs="*", help="sizes, a round's folder, or options of the loop")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--knn", default="auto")
    parser.add_argument("--probes", type=int, default=32)
    given = parser.parse_args()
    if given.what == "loop":
        loop(given.data_root, given.rounds, given.seeds, given.given)
    elif given.what == "rivals":
        rivals(Path(given.given[0]))
    else:
        scale([int(n) for n in given.given], given.knn, given.probes)


if __name__ == "__main__":
    main()
