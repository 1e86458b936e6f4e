"""What a person decided about clusters: a CSV with ``cluster, action, into``.

``accept``: train on all of it, however dense; ``reject``: on none of it; ``merge``: it is the same
as cluster ``into``; ``rename``: it is called ``into``, which may be a known class; ``split``: it is
``into`` (default 2) classes, parted by k-means.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike.data.frames import read_frame
from lookalike.discover.clusterers import kmeans
from lookalike.errors import DataError, suggest

ACTIONS = ("accept", "reject", "merge", "rename", "split")


@dataclass(frozen=True)
class Decision:
    """One line: a cluster, an action, and what the action needs."""

    cluster: int
    action: str
    into: str = ""


@dataclass(frozen=True, eq=False)
class Decided:
    """Clusters after a person has looked.

    Attributes:
        labels: int64 ``(N,)``.
        accepted: bool ``(N,)``, in whatever the density.
        rejected: bool ``(N,)``, out whatever the density.
        names: cluster → the name that a person gave.
    """

    labels: np.ndarray
    accepted: np.ndarray
    rejected: np.ndarray
    names: dict[int, str]


def read_decisions(file: Path) -> list[Decision]:
    """Read the CSV that a review page downloads.

    Raises:
        DataError: a missing column, an unknown action, or a line without what it needs, by row.
    """
    frame = read_frame(file, dtype=str)
    for column in ("cluster", "action"):
        if column not in frame:
            raise DataError(f"{file}: no column '{column}'; a decision is cluster, action, into")
    found = []
    into = frame["into"].fillna("") if "into" in frame else [""] * len(frame)
    lines = zip(frame["cluster"], frame["action"], into, strict=True)
    for row, (cluster, action, target) in enumerate(lines, start=2):
        where = f"{file}, line {row}"
        if action not in ACTIONS:
            raise DataError(f"{where}: action '{action}'. {suggest(str(action), ACTIONS)}")
        if not str(cluster).isdigit():
            raise DataError(f"{where}: cluster '{cluster}' is not the number of a cluster")
        if (action == "merge" and not target.isdigit()) or (action == "rename" and not target):
            raise DataError(f"{where}: {action} needs a cluster or a name in column 'into'")
        if action == "split" and target and (not target.isdigit() or int(target) < 2):
            raise DataError(f"{where}: split into '{target}'; write a number of 2 or more")
        found.append(Decision(int(cluster), action, target.strip()))
    return found


def decide(x: np.ndarray, labels: np.ndarray, decisions: list[Decision]) -> Decided:
    """Apply decisions to a clustering: merges first, then splits, so that both may be asked for.

    Args:
        x: ``(N, D)`` unit rows.
        labels: int64 ``(N,)``.
        decisions: in any order; of two about one cluster the later counts where they disagree.

    Raises:
        DataError: a cluster that is not there.
    """
    new = np.array(labels, np.int64)
    there = set(np.unique(new).tolist())
    for d in decisions:
        for cluster in [d.cluster, *([int(d.into)] if d.action == "merge" else [])]:
            if cluster not in there:
                raise DataError(f"a decision names cluster {cluster}, which this round has not")
    root = {cluster: cluster for cluster in there}
    for d in decisions:
        if d.action == "merge":
            kept = _find(root, int(d.into))
            root[_find(root, d.cluster)] = kept
    new = np.array([_find(root, cluster) for cluster in new.tolist()])
    accepted, rejected = np.zeros(len(new), bool), np.zeros(len(new), bool)
    names: dict[int, str] = {}
    for d in decisions:
        cluster = _find(root, d.cluster)
        rows = new == cluster
        accepted[rows], rejected[rows] = d.action != "reject", d.action == "reject"
        if d.action == "rename":
            names[cluster] = d.into
    following = max(there, default=-1) + 1
    for d in decisions:
        if d.action == "split":
            rows = np.flatnonzero(new == _find(root, d.cluster))
            parts = min(int(d.into or 2), len(rows))
            part = kmeans(x[rows], parts).labels
            new[rows[part > 0]] = following + part[part > 0] - 1
            following += parts - 1
    return Decided(new, accepted, rejected, names)


def _find(root: dict[int, int], cluster: int) -> int:
    while root[cluster] != cluster:
        cluster = root[cluster]
    return cluster
