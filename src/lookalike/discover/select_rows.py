"""Pseudo-labels out of a table of clusters, or of a cluster pickle of PSS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from lookalike.console import Console
from lookalike.data.frames import read_frame, write_frame
from lookalike.discover.embedding_input import read_embeddings, truth_of
from lookalike.discover.neighbours import unit
from lookalike.discover.pseudo_labels import clustered_rows, gated_rows, joined, labelled_rows
from lookalike.discover.pss_pickles import SELECTED, TRAINING, PSSFile, selected_labels
from lookalike.discover.selection import (
    ClassMeans,
    far_from_known,
    known_gate,
    of_two_or_more,
    select_by_density,
)
from lookalike.errors import ConfigError, DataError, counted


def select_rows(
    clusters: Path,
    out: Path,
    *,
    density: float,
    labelled: Path | None,
    embeddings: Path | None,
    far: float | None,
    gate: bool,
    number: int,
    label: str,
    pickle: Path | None,
) -> pd.DataFrame:
    """Keep the rows that are dense enough, and name their clusters; see `lookalike.jobs.select`."""
    console = Console()
    if clusters.suffix in (".pkl", ".pickle"):
        if labelled or embeddings or far is not None or gate or pickle:
            raise ConfigError(f"{clusters} is selected already; give it --out and --round alone")
        found = _of_pickle(clusters, number)
        write_frame(found, out)
        console.say(f"written  {out}: {(found['origin'] == 'cluster').sum()} of new classes")
        return found
    if (far is not None or gate or pickle is not None) and not (labelled and embeddings):
        raise ConfigError("--far, --gate and --pickle need --labelled and --embeddings")
    table, vectors = _clustered(clusters, embeddings)
    cluster = table["cluster"].to_numpy(np.int64)
    chosen = select_by_density(cluster, table["density"].to_numpy(), density)
    known = None if labelled is None else read_embeddings(labelled)
    parts, taken = [], set()
    if known is not None:
        names = truth_of(known.rows, label)
        rows = known.rows.assign(label=np.array(names, object))
        rows = rows[[name is not None for name in names]]
        taken = set(rows["label"])
        parts.append(labelled_rows(rows))
        x, names = unit(known.vectors)[rows.index], rows["label"].to_numpy(str)
        if gate and vectors is not None:
            inside, name, _ = known_gate(x, names)(unit(vectors))
            parts.append(gated_rows(table[inside], name[inside], number))
            console.say(
                f"gate     {counted(int(inside.sum()), 'row')} like those of labelled classes"
            )
            chosen &= ~inside
        if far is not None and vectors is not None:
            means = ClassMeans.of(x, names)
            away = far_from_known(unit(vectors), means, far)
            usual = float(np.median((1 - means.nearest(unit(vectors))[1]) / 2))
            rows = counted(int(away.sum()), "row")
            console.say(f"far      {rows} at {far:g} or more; half are at {usual:.3f}")
            chosen &= away
    kept, chosen = chosen, of_two_or_more(cluster, chosen)
    picked = table[chosen]
    parts.append(
        clustered_rows(picked, cluster[chosen], picked["density"].to_numpy(), number, taken)
    )
    found = joined(parts)
    write_frame(found, out)
    classes = counted(picked["cluster"].nunique(), "new class", "new classes")
    console.say(f"selected {len(picked)} of {counted(len(table), 'row')}, {classes}")
    if pickle is not None and known is not None and vectors is not None:
        _pickle(known.rows, known.vectors, table, vectors, kept, label).save(pickle)
        console.say(f"pickle   {pickle}")
    console.say(f"written  {out}")
    return found


def _clustered(clusters: Path, embeddings: Path | None) -> tuple[pd.DataFrame, np.ndarray | None]:
    """The table, and the vectors that were clustered where they are given."""
    table = read_frame(clusters)
    for column in ("path", "cluster", "density"):
        if column not in table:
            raise DataError(f"{clusters}: no column '{column}'; give a table of lookalike cluster")
    vectors = None if embeddings is None else read_embeddings(embeddings).vectors
    if vectors is not None and len(vectors) != len(table):
        raise DataError(
            f"{embeddings}: {counted(len(vectors), 'vector')} for {counted(len(table), 'row')} of"
            f" {clusters}"
        )
    return table, vectors


def _of_pickle(file: Path, number: int) -> pd.DataFrame:
    """The pseudo-label table of a cluster pickle of PSS."""
    held = PSSFile.load(file)
    if len(held.masks) != len(held.paths):
        raise DataError(
            f"{file}: {counted(len(held.masks), 'mask')} for {counted(len(held.paths), 'row')}"
        )
    rows = pd.DataFrame({"path": held.paths, "label": held.truth.astype(str)})
    known = labelled_rows(rows[held.masks == TRAINING])
    chosen = of_two_or_more(held.labels, held.masks == SELECTED)
    nobody = np.full(chosen.sum(), np.nan)
    new = clustered_rows(rows[chosen], held.labels[chosen], nobody, number, set(known["label"]))
    return joined([known, new])


def _pickle(
    known: pd.DataFrame,
    known_vectors: np.ndarray,
    table: pd.DataFrame,
    vectors: np.ndarray,
    chosen: np.ndarray,
    label: str,
) -> PSSFile:
    """A cluster file of PSS: labelled rows, then the others, numbered as PSS numbers them."""
    names = [name or "" for name in truth_of(known, label) + truth_of(table, label)]
    truth = pd.factorize(pd.Series(names), sort=True)[0]
    before = np.where(np.arange(len(names)) < len(known), TRAINING, 2)
    cluster = table["cluster"].to_numpy(np.int64)
    labels, masks = selected_labels(truth, before, cluster, chosen)
    paths = [*known["path"], *table["path"]]
    return PSSFile(paths, np.concatenate([known_vectors, vectors]), labels, truth, masks)
