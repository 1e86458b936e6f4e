"""Cluster a file of embeddings, with a network of Hi-LANDER that is given or learned here."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lookalike.console import Console
from lookalike.data.frames import write_frame
from lookalike.discover.class_count import classes_from_clusters, estimate_classes
from lookalike.discover.clusterers import as_partition, check_options, cluster
from lookalike.discover.embedding_input import labelled_embeddings, read_embeddings, truth_of
from lookalike.discover.lander_files import save_lander
from lookalike.discover.lander_training import train_lander, training_options
from lookalike.errors import ConfigError, DataError, counted
from lookalike.metrics import clustering

SCORES = ("pairwise_f", "b_cubed_f", "nmi", "ami")


def cluster_file(
    embeddings: Path,
    words: Sequence[str],
    *,
    method: str,
    out: Path | None,
    lander: Path | None,
    learn_from: Path | None,
    label: str,
) -> pd.DataFrame:
    """Cluster embeddings, write the table and say what was found; see `lookalike.jobs.cluster`."""
    console = Console()
    options, training = _options(words)
    check_options(method, options)  # before a network is trained for it
    training_options(training, "lander.")
    held = read_embeddings(embeddings)
    out = out or embeddings.with_name(f"{embeddings.stem}.clusters.parquet")
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
    vectors, names = labelled_embeddings(learn_from, label)
    try:
        count = classes_from_clusters(found, cluster(vectors, "hilander", **options).labels, names)
    except DataError as error:
        console.say(f"classes  no estimate: {error}")
        return
    console.say(f"classes  estimated {count.value} ({count.low}–{count.high})")


def _options(words: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the method, and of LANDER's training."""
    method: dict[str, Any] = {}
    training: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(
                f"'{word}' is not an option of a clusterer. Write option=value, such as tau=0.7."
            )
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
    vectors, names = labelled_embeddings(learn_from, label)
    code = np.unique(names, return_inverse=True)[1]
    network = train_lander(vectors, code, options)
    kept = out.with_suffix(".lander.safetensors")
    save_lander(network, kept)
    classes = counted(int(code.max()) + 1, "class", "classes")
    console.say(f"lander   trained on {counted(len(names), 'vector')} of {classes}: {kept}")
    return network
