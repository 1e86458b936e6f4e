"""``lookalike cluster``: embeddings in, anyone's; a table of clusters out."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lookalike.console import Console
from lookalike.data.embedding_file import Embeddings
from lookalike.data.frames import write_frame
from lookalike.discover.class_count import classes_from_clusters, estimate_classes
from lookalike.discover.clusterers import METHODS, as_partition, cluster
from lookalike.discover.lander_files import save_lander
from lookalike.discover.lander_training import train_lander, training_options
from lookalike.discover.pss_pickles import TRAINING, PSSFile
from lookalike.errors import ConfigError, DataError, counted, suggest
from lookalike.metrics import clustering

SCORES = ("pairwise_f", "b_cubed_f", "nmi", "ami")


def run(
    embeddings: Path,
    words: Sequence[str] = (),
    *,
    method: str = "hilander",
    out: Path | None = None,
    lander: Path | None = None,
    learn_from: Path | None = None,
    label: str = "label",
) -> pd.DataFrame:
    """Cluster embeddings and say what was found.

    Args:
        embeddings: ``.npy`` or ``.safetensors`` with its table, or a feature pickle of PSS.
        words: options of the method, ``k=10``; with ``learn_from`` also of LANDER's training, as
            ``lander.epochs=100``.
        method: ``hilander``, ``hdbscan``, ``agglomerative``, ``kmeans`` or ``components``.
        out: the table to write; default: beside the embeddings, ``…clusters.parquet``.
        lander: a trained network, ours or a published checkpoint.
        learn_from: labelled embeddings to train one on; it is kept beside ``out``.
        label: the column of true labels, where there are some: they judge the clusters, and give
            k-means its number of classes where ``classes`` is not said.

    Raises:
        ConfigError: an unknown method or option.
        DataError: a file that cannot be used.
    """
    console = Console()
    if method not in METHODS:
        raise ConfigError(f"--method {method}: no such clusterer. {suggest(method, METHODS)}")
    held = read(embeddings)
    out = out or embeddings.with_name(f"{embeddings.stem}.clusters.parquet")
    options, training = _options(words)
    truth = truth_of(held.rows, label)
    if method == "hilander":
        options["network"] = _network(lander, learn_from, training, out, label, console)
    elif lander or learn_from or training:
        raise ConfigError(f"--lander and --learn-from are for hilander, not for {method}")
    if method == "kmeans" and "classes" not in options:
        count = estimate_classes(held.vectors, truth)
        options["classes"] = count.value
        console.say(f"classes  estimated {count.value} ({count.low}–{count.high})")
    found = cluster(held.vectors, method, **options)
    table = held.rows.assign(cluster=found.labels, density=found.density)
    write_frame(table, out)
    if learn_from is not None:
        _say_classes(found.labels, learn_from, label, options, console)
    sizes = np.bincount(found.labels[found.labels >= 0]) if found.clusters else np.zeros(1, int)
    several = int((sizes > 1).sum())
    console.say(
        f"clusters {found.clusters} of {counted(len(table), 'vector')}, {several} of two or more, "
        f"largest {sizes.max()}; {int((found.labels < 0).sum())} left out as noise"
    )
    for number, level in enumerate(found.facts.get("levels", [])):  # pyright: ignore[reportArgumentType]
        console.say(f"level {number}  " + ", ".join(f"{k} {v:g}" for k, v in level.items()))
    known = np.array([name is not None for name in truth])
    if known.any():
        scores = clustering(as_partition(found.labels)[known], [t for t in truth if t is not None])
        console.say("judged   " + "  ".join(f"{name} {scores[name]:.3f}" for name in SCORES))
        console.say(f"classes  {scores['classes']:.0f} true")
    console.say(f"written  {out}")
    return table


def _say_classes(
    found: np.ndarray, learn_from: Path, label: str, options: dict[str, Any], console: Console
) -> None:
    """How many classes the clusters stand for, by what Hi-LANDER makes of the labelled ones."""
    vectors, names = _labelled(learn_from, label)
    try:
        count = classes_from_clusters(found, cluster(vectors, "hilander", **options).labels, names)
    except DataError as error:
        console.say(f"classes  no estimate: {error}")
        return
    console.say(f"classes  estimated {count.value} ({count.low}–{count.high})")


def _labelled(file: Path, label: str) -> tuple[np.ndarray, list[str]]:
    """The vectors of a file that have a label, and their labels."""
    held = read(file)
    names = truth_of(held.rows, label)
    known = [row for row, name in enumerate(names) if name is not None]
    if not known:
        raise DataError(f"{file}: no labels in column '{label}' to learn from; see --label")
    return held.vectors[known], [str(names[row]) for row in known]


def read(file: Path) -> Embeddings:
    """Embeddings, ours or a feature pickle of PSS."""
    if file.suffix not in (".pkl", ".pickle"):
        return Embeddings.load(file)
    held = PSSFile.load(file)
    rows = pd.DataFrame({"path": held.paths, "label": held.truth.astype(str)})
    if len(held.masks) == len(rows):
        rows["split"] = np.where(held.masks == TRAINING, "train", "unlabelled")
    return Embeddings(held.features, rows)


def truth_of(rows: pd.DataFrame, label: str) -> list[str | None]:
    """The true label of every row, None where nobody knows (empty, or −1)."""
    if label not in rows:
        return [None] * len(rows)
    unknown = rows[label].isna() | (rows[label].astype(str) == "-1")
    return [None if missing else str(v) for v, missing in zip(rows[label], unknown, strict=True)]


def _options(words: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the method, and of LANDER's training."""
    method: dict[str, Any] = {}
    training: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"'{word}' is no option of a clusterer. Write option=value, as k=10.")
        try:
            value = ast.literal_eval(
                {"true": "True", "false": "False", "null": "None"}.get(text, text)
            )
        except (ValueError, SyntaxError):
            value = text
        part, name = (training, key[7:]) if key.startswith("lander.") else (method, key)
        part[name] = value
    return method, training


def _network(
    lander: Path | None,
    learn_from: Path | None,
    training: dict[str, Any],
    out: Path,
    label: str,
    console: Console,
) -> Any:
    if (lander is None) == (learn_from is None):
        raise ConfigError(
            "hilander needs a network: --lander FILE, or --learn-from LABELLED_EMBEDDINGS to train "
            "one (exactly one of the two)"
        )
    if learn_from is None:
        if training:
            raise ConfigError(f"lander.{next(iter(training))}: only with --learn-from")
        return lander
    options = training_options(training, "lander.")
    vectors, names = _labelled(learn_from, label)
    code = np.unique(names, return_inverse=True)[1]
    network = train_lander(vectors, code, options)
    kept = out.with_suffix(".lander.safetensors")
    save_lander(network, kept)
    classes = counted(int(code.max()) + 1, "class", "classes")
    console.say(f"lander   trained on {counted(len(names), 'vector')} of {classes}: {kept}")
    return network
