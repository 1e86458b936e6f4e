"""The open world measured: the loop beside its upper bound, rivals, and scale.

    python benchmarks/open_world.py loop --data-root DATA [--rounds 3] [--seeds 0 1 2]
    python benchmarks/open_world.py loop --dataset toy [--beside all]
    python benchmarks/open_world.py rivals runs/open/round-3
    python benchmarks/open_world.py networks runs/open/round-3
    python benchmarks/open_world.py scale 100000 300000

``loop``: of Omniglot three alphabets are known (13 of 20 drawings of each character labelled), two
unknown; of the built-in pictures 120 species are known, 120 not. ``--beside`` says what is trained
for comparison: ``labelled``, the labelled pictures alone for as many steps as the last round took
(as all rounds, with ``discover.restart=false``); ``all``, the upper bound, which has the true
labels of all. ``rivals``: one round's embeddings, Hi-LANDER and the others, two of them told the
true number of classes. ``networks``: one round's heap by Hi-LANDER, whose network is round 0's, or
learned from this round's true labels, or from its pseudo labels too. ``scale``: drawn embeddings of
256 numbers, about 30 to a class, classes in groups of 20 that are nearly alike (cosine 0.58 in a
class, 0.42 in a group); CPU seconds of all threads, which a busy machine leaves alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

COMMON = ["workers=0", "evaluation.every=100", "evaluation.baselines=false", "discover.keep=false"]
LOOP = {
    "omniglot": [
        "recipe=omniglot", "transform.size=28", "model.options.width=[16,32,64,64]", "epochs=12",
        "discover.gate=true", "discover.density=0", "discover.method_options.tau=0.8",
    ],
    # Known and new species are siblings: the gate would call most of the new ones known.
    "toy": [
        "recipe=demo", "dataset.families=8", "dataset.genera=5", "dataset.species=6",
        "dataset.pictures=20", "dataset.nuisance=0.5", "epochs=30", "discover.density=0",
        "discover.method_options.tau=0.8", "discover.relearn=false",
    ],
}  # fmt: skip
BESIDE = {"labelled": "labelled alone, as many steps", "all": "all labels"}
SHOWN = [("retrieval", kind, name) for kind in ("u_in", "u_out") for name in ("recall_at_1",)]
SHOWN += [("retrieval", "u_out", "mean_average_precision_at_r")]
SHOWN += [("clustering", kind, name) for kind in ("u", "u_out") for name in ("pairwise_f",)]
SHOWN += [("clustering", kind, name) for kind in ("u", "u_out") for name in ("b_cubed_f", "ami")]


def loop(
    dataset: str, data_root: str, rounds: int, seeds: list[int], beside: list[str], words: list[str]
) -> None:
    from lookalike.compose import from_yaml
    from lookalike.data.frames import read_frame
    from lookalike.jobs import discover, train

    columns: dict[str, list[dict]] = {}
    for seed in seeds:
        folder = Path(f"runs/open-{dataset}-{seed}")
        common = [*LOOP[dataset], *COMMON, *words, f"data_root={data_root}", f"seed={seed}"]
        if (folder / "words.json").is_file():
            discover.run([f"run={folder}", f"discover.rounds={rounds}"], resume=True, quiet=True)
        else:
            discover.run([*common, f"discover.rounds={rounds}", f"run={folder}"], quiet=True)
        for number in range(rounds + 1):
            text = (folder / f"round-{number}" / "metrics.json").read_text()
            columns.setdefault(f"round {number}", []).append(json.loads(text))
        rows = read_frame(folder / "rows.parquet")
        held = from_yaml((folder / "config.yaml").read_text(), []).discover
        tau = held.method_options.get("tau", 0.7)
        own = [w for w in common if not w.startswith(("discover.", "dataset."))]
        for name in beside:
            run = Path(f"{folder}-{name}")
            if not (run / "model").is_dir():
                more = _rival(name, folder, rounds)
                train.run([*own, *more, f"run={run}"], quiet=True)
            columns.setdefault(BESIDE[name], []).append(_judged(run, rows, tau))
    _print(columns)


def _rival(name: str, folder: Path, rounds: int) -> list[str]:
    """Options of a training to compare the loop with."""
    from lookalike.compose import from_yaml
    from lookalike.data.frames import read_frame, write_frame
    from lookalike.discover.pseudo_labels import labelled_rows

    config = from_yaml((folder / "config.yaml").read_text(), [])
    later = int(dict(w.split("=") for w in config.discover.finetune).get("epochs", config.epochs))
    goes_on = not config.discover.restart
    if name == "all":
        whole = folder / "all-labels.parquet"
        write_frame(labelled_rows(read_frame(folder / "rows.parquet")), whole)
        start = [f"epochs={later}", f"model.weights={folder / 'round-0' / 'train'}"]
        return [f"dataset={whole}", *(start if goes_on else [])]
    tables = [folder / f"round-{n}" / "train.parquet" for n in range(rounds + 1)]
    sizes = [len(read_frame(table)) for table in tables]
    seen = config.epochs * sizes[0] + later * sum(sizes[1:]) if goes_on else later * sizes[-1]
    return [f"dataset={tables[0]}", f"epochs={round(seen / sizes[0])}"]


def _judged(run: Path, rows, tau: float) -> dict:
    """What a round would measure of a model: Hi-LANDER trained and used as in the loop."""
    import pandas as pd

    from lookalike.discover import hilander, round_metrics, train_lander, unit
    from lookalike.discover.open_world import UNLABELLED
    from lookalike.models import weights

    x = unit(weights.load(run).encode(rows["path"].tolist(), batch_size=128))
    known = (rows["set"] == "l_in").to_numpy()
    heap = rows["set"].isin(UNLABELLED).to_numpy()
    network = train_lander(x[known], pd.factorize(rows["label"][known])[0])
    pred = np.full(len(rows), -1)
    pred[heap] = hilander(network, x[heap], tau=tau).labels
    return {
        "retrieval": round_metrics.retrieval(x, rows, [1]),
        "clustering": round_metrics.partition(pred, rows),
    }


def _print(columns: dict[str, list[dict]]) -> None:
    """Means over the seeds, and half the width of the 95 % interval of the mean."""
    from scipy.stats import t

    print("| | " + " | ".join(columns) + " |\n|---|" + "--:|" * len(columns))
    for part, kind, name in SHOWN:
        cells = []
        for found in columns.values():
            values = [one[part][kind]["values"][name] for one in found]
            cell = f"{np.mean(values):.3f}"
            if len(values) > 1:
                half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
                cell += f" ± {half:.3f}"
            cells.append(cell)
        print(f"| {kind}: {name} | " + " | ".join(cells) + " |")
    for title, value in (
        ("clusters of two or more / classes, u", _clusters),
        ("classes estimated (interval) / true", _classes),
        ("known or new: AUROC", lambda one: f"{one['gate']['auroc']:.3f}"),
        ("pseudo labels, classes, purity", _pseudo),
    ):
        cells = [
            "; ".join(value(one) for one in found) if "gate" in found[0] else ""
            for found in columns.values()
        ]
        print(f"| {title} | " + " | ".join(cells) + " |")


def _clusters(one: dict) -> str:
    heap = one["clustering"]["u"]
    return f"{heap['clusters_of_two_or_more']} / {heap['classes']}"


def _classes(one: dict) -> str:
    count = one["classes"]
    return f"{count['estimate']} ({count['low']}–{count['high']}) / {count['true']}"


def _pseudo(one: dict) -> str:
    held = one["trained_on"]
    return f"{held['pseudo']}, {held['pseudo_classes']}, {held['purity'] or 0:.2f}"


def rivals(home: Path) -> None:
    import pandas as pd

    from lookalike.data.embedding_file import Embeddings
    from lookalike.data.frames import read_frame
    from lookalike.discover import TrainingOptions, as_partition, cluster, train_lander, unit
    from lookalike.metrics import clustering

    held = Embeddings.load(home / "embeddings.npy")
    heap = read_frame(home / "clusters.parquet")["row"].to_numpy()
    everything, labels = unit(held.vectors), held.rows["label"].to_numpy(object)
    x, truth = everything[heap], labels[heap]
    classes = len(np.unique(truth.astype(str)))
    known = (held.rows["set"] == "l_in").to_numpy()
    code = pd.factorize(labels[known])[0]
    tried: list[tuple[str, dict]] = []
    for inputs, more in (("similarities", {}), ("vectors", {"hidden": 128, "epochs": 100})):
        start = time.process_time()
        options = TrainingOptions(inputs=inputs, **more)
        network = train_lander(everything[known], code, options)
        print(f"training on {inputs}: {time.process_time() - start:.1f} s")
        tried += [(f"hilander, {inputs},", {"network": network, "tau": t}) for t in (0.5, 0.7, 0.9)]
    tried += [("hdbscan", {"min_size": n}) for n in (3, 5)]
    tried += [("agglomerative", {"distance": d}) for d in (0.1, 0.15, 0.2, 0.3)]
    tried += [("components", {"cosine": c}) for c in (0.9, 0.95)]
    tried += [("agglomerative", {"classes": classes}), ("kmeans", {"classes": classes})]
    cluster(x[:500], "kmeans", classes=5)  # imports are nobody's seconds
    print(f"\n{len(x)} vectors of {classes} classes\n")
    print("| method | clusters | of two or more | pairwise F | B-cubed F | NMI | AMI | CPU s |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for method, options in tried:
        start = time.process_time()
        found = cluster(x, method.split(",")[0], **options)
        seconds = time.process_time() - start
        s = clustering(as_partition(found.labels), truth.astype(str))
        said = ", ".join(f"{k}={v}" for k, v in options.items() if k != "network")
        scores = " | ".join(f"{s[n]:.3f}" for n in ("pairwise_f", "b_cubed_f", "nmi", "ami"))
        several = (np.bincount(found.labels[found.labels >= 0]) > 1).sum()
        print(f"| {method} {said} | {found.clusters} | {several} | {scores} | {seconds:.1f} |")


def networks(home: Path) -> None:
    import pandas as pd

    from lookalike.data.embedding_file import Embeddings
    from lookalike.data.frames import read_frame
    from lookalike.discover import hilander, train_lander, unit
    from lookalike.discover.lander_files import load_lander
    from lookalike.metrics import clustering

    held = Embeddings.load(home / "embeddings.npy")
    x, rows = unit(held.vectors), held.rows
    heap = read_frame(home / "clusters.parquet")["row"].to_numpy()
    truth = rows["label"].astype(str).to_numpy()[heap]
    trained = read_frame(home / "train.parquet").set_index("path")["label"]
    tried = {"round 0's": load_lander(home.parent / "round-0" / "lander.safetensors")}
    for name, labels in (
        ("of true labels", rows["label"].where(rows["set"] == "l_in")),
        ("of pseudo labels too", rows["path"].map(trained)),
    ):
        known = labels.notna().to_numpy()
        tried[name] = train_lander(x[known], pd.factorize(labels[known])[0])
    print("| network | tau | pairwise F | B-cubed F | AMI |\n|---|--:|--:|--:|--:|")
    for name, network in tried.items():
        for tau in (0.5, 0.6, 0.7, 0.8):
            s = clustering(hilander(network, x[heap], tau=tau).labels, truth)
            scores = " | ".join(f"{s[n]:.3f}" for n in ("pairwise_f", "b_cubed_f", "ami"))
            print(f"| {name} | {tau} | {scores} |")


def scale(sizes: list[int], inputs: str, knn: str, probes: int) -> None:
    from lookalike.discover import TrainingOptions, hilander, train_lander, unit
    from lookalike.metrics import clustering

    width, each, group = 256, 30, 20

    def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        classes = count // each
        groups = rng.standard_normal((classes // group, width), np.float32)
        centres = groups[np.arange(classes) % len(groups)]
        centres += 0.6 * rng.standard_normal((classes, width), np.float32)
        labels = rng.integers(classes, size=count)
        return unit(centres[labels] + rng.standard_normal((count, width), np.float32)), labels

    published = {"hidden": 512, "epochs": 20, "optimizer": "sgd", "lr": 0.1, "weight_decay": 1e-5}
    more = published if inputs == "vectors" else {"epochs": 50}
    options = TrainingOptions(inputs=inputs, k=[10], levels=[2], **more)
    network = train_lander(*drawn(6000, 0), options)
    for size in sizes:
        x, labels = drawn(size, 1)
        start, cpu = time.perf_counter(), time.process_time()
        found = hilander(network, x, k=10, levels=3, knn=knn, probes=probes)
        line = {
            "size": size,
            "inputs": inputs,
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "seconds": round(time.perf_counter() - start, 1),
            "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            "b_cubed_f": round(clustering(found.labels, labels)["b_cubed_f"], 3),
        }
        print(json.dumps(line | {"clusters": found.clusters, **found.facts}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("loop", "rivals", "networks", "scale"))
    parser.add_argument("given", nargs="*", help="sizes, a round's folder, or options of the loop")
    parser.add_argument("--dataset", choices=LOOP, default="omniglot")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--beside", nargs="*", choices=BESIDE, default=list(BESIDE))
    parser.add_argument("--inputs", default="similarities")
    parser.add_argument("--knn", default="auto")
    parser.add_argument("--probes", type=int, default=32)
    given = parser.parse_args()
    if given.what == "loop":
        loop(given.dataset, given.data_root, given.rounds, given.seeds, given.beside, given.given)
    elif given.what == "rivals":
        rivals(Path(given.given[0]))
    elif given.what == "networks":
        networks(Path(given.given[0]))
    else:
        scale([int(n) for n in given.given], given.inputs, given.knn, given.probes)


if __name__ == "__main__":
    main()
