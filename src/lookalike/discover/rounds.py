"""One round of discovery: train, embed, cluster, select, measure; every step leaves a file.

round-N/train.parquet      what is trained on: true and pseudo labels
round-N/train/             the run
round-N/embeddings.npy     of every row, in the order of rows.parquet (with embeddings.parquet)
round-N/lander.safetensors the trained graph network, where the method is hilander (and, without
                           discover.relearn, N is 0)
round-N/clusters.parquet   unlabeled images: path, cluster, density, whether clustered now
round-N/clustering.json    levels, edges, and how many classes the clusters stand for
round-N/decisions.csv      what a person decided about the clusters, where one did
round-N/metrics.json       the numbers
round-N/report.html        the page
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lookalike import documents
from lookalike.config import Config
from lookalike.data.build import broken_policy
from lookalike.data.embedding_file import Embeddings
from lookalike.data.frames import read_frame, write_frame
from lookalike.data.table import Table
from lookalike.discover import round_metrics
from lookalike.discover.class_count import classes_from_clusters
from lookalike.discover.clusterers import as_partition, cluster
from lookalike.discover.decisions import decide, read_decisions
from lookalike.discover.lander_files import load_lander, save_lander
from lookalike.discover.lander_training import train_lander, training_options
from lookalike.discover.neighbours import unit
from lookalike.discover.open_world import UNLABELLED
from lookalike.discover.pseudo_labels import clustered_rows, gated_rows, joined, labelled_rows
from lookalike.discover.selection import (
    ClassMeans,
    far_from_known,
    known_gate,
    of_two_or_more,
    select_by_density,
)
from lookalike.errors import DataError, LookalikeError, RunError, counted
from lookalike.evaluation.embeddings import embed_dataset
from lookalike.files import remove_tree, write_text
from lookalike.models import weights
from lookalike.models.build import pick_device
from lookalike.runs import Run
from lookalike.training.run import run_training


class RoundFile(documents.Document):
    """``metrics.json`` of a round."""

    round: documents.Count
    retrieval: dict[str, Any]
    clustering: dict[str, Any]
    trained_on: dict[str, Any]


class ClustersFile(documents.Document):
    """``clustering.json`` of a round."""

    classes: dict[str, float] | None = None


@dataclass(frozen=True, eq=False)
class Round:
    """One round under way.

    Attributes:
        folder: of the whole loop.
        number: from 0.
        config: of the loop.
        words: options of training, as the person gave them.
        rows: every image: ``path``, ``label``, ``set``.
        say: where people read.
        quiet: no progress bars.
    """

    folder: Path
    number: int
    config: Config
    words: Sequence[str]
    rows: pd.DataFrame
    say: Callable[[str], None]
    quiet: bool = False

    @property
    def home(self) -> Path:
        """The round's folder."""
        return self.folder / f"round-{self.number}"

    @property
    def measured(self) -> bool:
        """Whether its numbers are there."""
        return (self.home / "metrics.json").is_file()

    def next(self) -> Round:
        """The round after this."""
        return Round(
            self.folder, self.number + 1, self.config, self.words, self.rows, self.say, self.quiet
        )

    # ── train ──────────────────────────────────────────────────────────────────────────────────

    def train(self) -> None:
        """Train on ``train.parquet``, or go on with a training that was stopped."""
        table = self.home / "train.parquet"
        if self.number == 0 and not table.is_file():
            write_frame(labelled_rows(self.rows[self.rows["set"] == "l_in"]), table)
        run = Run(self.home / "train")
        if run.begun and run.read_manifest()["status"] == "finished":
            return
        if run.begun and any(run.checkpoints.iterdir()):
            run_training([f"run={run.folder}"], resume=True, quiet=self.quiet)
            return
        if run.folder.exists():
            remove_tree(run.folder, self.folder)  # it never reached a checkpoint
        # Each labelled class counts: none is held out unless the person asks for it.
        words = ["interpolate=false", *self.words, f"dataset={table}", f"run={run.folder}"]
        if self.number > 0:
            words += self.config.discover.finetune
            if not self.config.discover.restart:
                words.append(f"model.weights={self.folder / f'round-{self.number - 1}' / 'train'}")
        run_training(words, quiet=self.quiet)

    # ── embed ──────────────────────────────────────────────────────────────────────────────────

    def embed(self) -> np.ndarray:
        """Unit vectors of every row."""
        file = self.home / "embeddings.npy"
        if not file.is_file():
            model = weights.load(self.home / "train")
            frame = self.rows.assign(label=self.rows["label"].fillna("-1").astype(str))
            table = Table.from_frame(frame, name="unlabeled", root="/")
            self.say(f"embed    {counted(len(table), 'image')}")
            if broken_policy(self.config) != "refuse":
                raise LookalikeError(
                    "broken=skip: discover needs every image; find the broken ones with "
                    "lookalike data check and leave them out"
                )
            found = embed_dataset(model, table, self.config)
            Embeddings(found.vectors, self.rows).save(file)
        return unit(Embeddings.load(file).vectors)

    # ── cluster ────────────────────────────────────────────────────────────────────────────────

    def cluster(self, x: np.ndarray) -> pd.DataFrame:
        """Unlabeled images with clusters; those that earlier rounds selected keep their class."""
        file = self.home / "clusters.parquet"
        if not file.is_file():
            c = self.config.discover
            trained = self._trained_on()
            unlabeled = np.flatnonzero(np.isin(self.rows["set"].to_numpy(object), UNLABELLED))
            used = unlabeled[trained["label"].isna().to_numpy()[unlabeled]] if c.keep else unlabeled
            options = dict(c.method_options)
            if c.method == "hilander":
                options["network"] = self._lander(x, trained)
            self.say(f"cluster  {counted(len(used), 'image')} by {c.method}")
            found = cluster(x[used], c.method, **options)
            facts = {**found.facts, "classes": self._classes(x, found.labels, options)}
            table = self.rows.iloc[unlabeled][["path"]].reset_index(drop=True)
            table["row"] = unlabeled
            table["clustered"] = np.isin(unlabeled, used)
            table["cluster"], table["density"] = -1, np.float32("nan")
            place = np.searchsorted(unlabeled, used)
            table.loc[place, "cluster"] = found.labels
            table.loc[place, "density"] = found.density
            table["class"] = trained["label"].to_numpy(object)[unlabeled]  # of earlier rounds
            if not c.keep:
                table["class"] = None
            write_text(self.home / "clustering.json", json.dumps(facts, indent=2) + "\n")
            write_frame(table, file)
        return read_frame(file)

    def _classes(self, x: np.ndarray, found: np.ndarray, options: dict[str, Any]) -> Any:
        """How many classes the clusters stand for; None if the method was told, or joins none."""
        if "classes" in options:
            return None
        labelled = (self.rows["set"] == "l_in").to_numpy()
        other = cluster(x[labelled], self.config.discover.method, **options).labels
        try:
            count = classes_from_clusters(found, other, self.rows["label"][labelled].tolist())
        except DataError:
            return None
        return {"estimate": count.value, "low": count.low, "high": count.high}

    def _trained_on(self) -> pd.DataFrame:
        """For every row, what this round's training called it; None where it had no part."""
        table = read_frame(self.home / "train.parquet").set_index("path")
        return self.rows[["path"]].join(table[["label", "origin"]], on="path")

    def _lander(self, x: np.ndarray, trained: pd.DataFrame) -> Any:
        file = self.home / "lander.safetensors"
        if self.number > 0 and not self.config.discover.relearn:
            file = self.folder / "round-0" / file.name
            if not file.is_file():
                raise RunError(
                    f"{file} is missing, with which discover.relearn=false clusters every round. "
                    "Bring it back, or delete round 0's clusters.parquet and the rounds after it."
                )
        if not file.is_file():
            options = training_options(self.config.discover.lander, "discover.lander.")
            known = trained["label"].notna().to_numpy()
            labels = pd.factorize(trained["label"][known])[0]
            classes = counted(int(labels.max()) + 1, "class", "classes")
            self.say(f"lander   {counted(int(known.sum()), 'vector')} of {classes}")
            device = pick_device(self.config.device)
            save_lander(train_lander(x[known], labels, options, device=device), file)
        return load_lander(file, pick_device(self.config.device))

    # ── select ─────────────────────────────────────────────────────────────────────────────────

    def select(self, x: np.ndarray, clusters: pd.DataFrame) -> None:
        """Write what the next round trains on."""
        out = self.next().home / "train.parquet"
        if out.is_file():
            return
        c = self.config.discover
        labelled = self.rows["set"] == "l_in"
        before = read_frame(self.home / "train.parquet")
        parts = [before] if c.keep else [before[before["origin"] == "true"]]
        taken = set(self.rows["label"][labelled].astype(str))
        fresh = clusters[clusters["clustered"]].reset_index(drop=True)
        vectors = x[fresh["row"]]
        free = np.ones(len(fresh), bool)
        if c.gate:
            gate = known_gate(x[labelled], self.rows["label"][labelled].astype(str).to_numpy())
            inside, name, _ = gate(vectors)
            parts.append(gated_rows(self._of(fresh[inside]), name[inside], self.number + 1))
            free &= ~inside
        labels = fresh["cluster"].to_numpy(np.int64)
        chosen = select_by_density(labels, fresh["density"].to_numpy(), c.density)
        if c.far is not None:
            names = self.rows["label"][labelled].astype(str).to_numpy()
            chosen &= far_from_known(vectors, ClassMeans.of(x[labelled], names), c.far)
        chosen &= free
        decisions = self.home / "decisions.csv"
        names_given: dict[int, str] = {}
        if decisions.is_file():
            decided = decide(vectors, labels, read_decisions(decisions))
            labels, names_given = decided.labels, decided.names
            chosen = (chosen | (decided.accepted & free)) & ~decided.rejected
        chosen = of_two_or_more(labels, chosen)
        picked = clustered_rows(
            self._of(fresh[chosen]),
            labels[chosen],
            fresh["density"].to_numpy()[chosen],
            self.number + 1,
            taken,
        )
        named = [names_given.get(label) for label in labels[chosen].tolist()]
        has = np.array([name is not None for name in named], bool)
        if has.any():
            picked.loc[has, "label"] = [name for name in named if name is not None]
            picked.loc[has, "origin"] = "person"
        parts.append(picked)
        classes = counted(picked["label"].nunique(), "class", "classes")
        self.say(f"select   {len(picked)} of {counted(len(fresh), 'image')}, {classes}")
        write_frame(joined(parts), out)

    def _of(self, part: pd.DataFrame) -> pd.DataFrame:
        """The rows, boxes included, of a part of the clusters' table."""
        return self.rows.iloc[part["row"].to_numpy(np.int64)]

    # ── measure ────────────────────────────────────────────────────────────────────────────────

    def measure(self, x: np.ndarray, clusters: pd.DataFrame) -> dict[str, Any]:
        """The round's numbers."""
        file = self.home / "metrics.json"
        if not self.measured:
            pred = np.full(len(self.rows), "", object)
            pred[clusters["row"]] = predicted_classes(clusters)
            table = read_frame(self.home / "train.parquet")
            pseudo = table[table["origin"] != "true"]
            truth = self.rows.drop_duplicates("path").set_index("path")["label"]
            found = {
                "round": self.number,
                "retrieval": round_metrics.retrieval(x, self.rows, self.config.evaluation.k),
                "clustering": round_metrics.partition(pred, self.rows),
                "gate": round_metrics.gate(x, self.rows),
                "classes": round_metrics.class_count(x, self.rows, self.config.seed),
                "classes_from_clusters": self._counted(clusters),
                "trained_on": {
                    "true": int((table["origin"] == "true").sum()),
                    "pseudo": len(pseudo),
                    "pseudo_classes": int(pseudo["label"].nunique()),
                    "purity": purity(pseudo["label"], pseudo["path"].map(truth)),
                },
            }
            write_text(file, json.dumps(found, indent=2) + "\n")
        return documents.read_json(file, RoundFile, fault=RunError)

    def _counted(self, clusters: pd.DataFrame) -> dict[str, Any] | None:
        """`_classes` of this round beside the truth."""
        file = self.home / "clustering.json"  # absent where the clusters came from elsewhere
        facts = documents.read_json(file, ClustersFile) if file.is_file() else {}
        if (count := facts.get("classes")) is None:
            return None
        names = self.rows["label"].iloc[clusters["row"][clusters["clustered"]]]
        return count | {"true": int(names.nunique()) if names.notna().all() else None}


def predicted_classes(clusters: pd.DataFrame) -> np.ndarray:
    """What every unlabeled image is taken for: its class of an earlier round, or its cluster;
    noise stands alone."""  # noqa: D205, D209
    found = as_partition(clusters["cluster"].to_numpy(np.int64)).astype(str).astype(object)
    kept = clusters["class"].notna().to_numpy()
    found[kept] = clusters["class"].to_numpy(object)[kept]
    return found


def purity(label: pd.Series, truth: pd.Series) -> float | None:
    """Share of images whose class is the commonest of their pseudo-class; None if unknown."""
    known = truth.notna().to_numpy()
    if not known.any():
        return None
    counts = pd.crosstab(label[known].to_numpy(), truth[known].to_numpy())
    return float(counts.max(axis=1).sum() / known.sum())
