"""The numbers of one round: retrieval on every set, clustering of the unlabeled, the gate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lookalike.discover.class_count import estimate_classes
from lookalike.discover.open_world import UNLABELLED
from lookalike.discover.selection import auroc, known_gate
from lookalike.errors import DataError
from lookalike.metrics import clustering, evaluate

SCORES = ("pairwise_f", "b_cubed_f", "nmi", "ami")
_GROUPS = 20  # of classes, for the jackknife


def retrieval(x: np.ndarray, rows: pd.DataFrame, k: list[int]) -> dict[str, dict[str, Any]]:
    """Recall@k and MAP@R of every set, each image looked for among the others of its set."""
    found = {}
    names = [f"recall_at_{n}" for n in k] + ["mean_average_precision_at_r"]
    for kind in rows["set"].unique():
        mask = ((rows["set"] == kind) & rows["label"].notna()).to_numpy()
        if mask.sum() < 2:
            continue
        codes = pd.factorize(rows["label"][mask])[0]
        report = evaluate(x[mask], codes, metrics=names, k=tuple(k), distance="dot")
        if all(np.isnan(v) for v in report.values.values()):
            continue
        found[kind] = {
            "values": report.values,
            "intervals": report.intervals(over="classes"),
            "pictures": int(mask.sum()),
            "classes": int(codes.max() + 1),
        }
    return found


def partition(pred: np.ndarray, rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """How well the unlabeled images are divided: all of it, and u_in and u_out by themselves.

    Args:
        pred: ``(N,)`` texts or numbers, a cluster of each row; of rows that are labeled nothing
            counts.
        rows: with ``set`` and ``label``.
    """
    unlabeled = np.isin(rows["set"].to_numpy(object), UNLABELLED)
    unlabeled &= rows["label"].notna().to_numpy()
    groups = {"u": unlabeled}
    groups |= {kind: unlabeled & (rows["set"] == kind).to_numpy() for kind in ("u_in", "u_out")}
    found = {}
    for name, mask in groups.items():
        if mask.sum() < 2 or (name != "u" and mask.sum() == unlabeled.sum()):
            continue
        guess = pd.factorize(pd.Series(pred[mask]).astype(str))[0]
        true = pd.factorize(rows["label"][mask])[0]
        values = clustering(guess, true)
        several = int((np.bincount(guess) > 1).sum())
        found[name] = {
            "values": {score: values[score] for score in SCORES},
            "intervals": jackknife(guess, true),
            "clusters": int(values["clusters"]),
            "clusters_of_two_or_more": several,
            "classes": int(values["classes"]),
            "class_count_error": several / values["classes"] - 1,
        }
    return found


def jackknife(guess: np.ndarray, true: np.ndarray) -> dict[str, tuple[float, float]]:
    """95 % intervals of `SCORES`: the jackknife that leaves out a twentieth of the classes."""
    classes = np.random.default_rng(0).permutation(np.unique(true))
    groups = min(_GROUPS, len(classes))
    if groups < 2:
        return {}
    left_out = np.zeros(true.max() + 1, np.int64)
    left_out[classes] = np.arange(len(classes)) % groups
    runs = [
        _scores(guess, true),
        *(_scores(*_kept(guess, true, left_out != g)) for g in range(groups)),
    ]
    whole, without = runs[0], np.array(runs[1:])
    spread = np.sqrt((groups - 1) / groups * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    return {
        score: (value - 1.96 * float(s), value + 1.96 * float(s))
        for score, value, s in zip(SCORES, whole, spread, strict=True)
    }


def _kept(guess: np.ndarray, true: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items of some classes."""
    return guess[wanted[true]], true[wanted[true]]


def _scores(guess: np.ndarray, true: np.ndarray) -> list[float]:
    values = clustering(guess, true)
    return [values[score] for score in SCORES]


def gate(x: np.ndarray, rows: pd.DataFrame) -> dict[str, Any]:
    """How well images of known classes are told from others by the nearest class mean."""
    labelled = (rows["set"] == "l_in").to_numpy()
    unlabeled = np.isin(rows["set"].to_numpy(object), UNLABELLED)
    names = rows["label"].to_numpy(object)
    try:
        found = known_gate(x[labelled], names[labelled].astype(str))
    except DataError:
        return {}
    inside, label, cosine = found(x[unlabeled])
    truth = np.isin(names[unlabeled], np.unique(names[labelled].astype(str)))
    knows = rows["label"].notna().to_numpy()[unlabeled]
    known = truth & knows
    return {
        "threshold": found.threshold,
        "let_through": int(inside.sum()),
        "auroc": auroc(truth[knows], cosine[knows]) if knows.any() else float("nan"),
        "right_class_of_known": float((label == names[unlabeled])[known].mean())
        if known.any()
        else None,
    }


def class_count(x: np.ndarray, rows: pd.DataFrame, seed: int) -> dict[str, Any]:
    """The estimated number of classes of everything but the test sets."""
    inside = (rows["set"] == "l_in").to_numpy()
    used = inside | np.isin(rows["set"].to_numpy(object), UNLABELLED)
    names = [
        name if known else None
        for name, known in zip(rows["label"][used], inside[used], strict=True)
    ]
    found = estimate_classes(x[used], names, seed=seed)
    true = rows["label"][used].nunique() if rows["label"][used].notna().all() else None
    return {"estimate": found.value, "low": found.low, "high": found.high, "true": true}
