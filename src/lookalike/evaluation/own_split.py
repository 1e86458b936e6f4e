"""Which rows and classes trained a run: kept in its folder, and held apart when it is evaluated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from lookalike import components
from lookalike.data.build import build_table
from lookalike.data.columns import is_evaluation
from lookalike.data.datasets.layout import some
from lookalike.data.frames import read_frame, write_frame
from lookalike.data.split_words import is_evaluated
from lookalike.data.splits import moved
from lookalike.data.table import Table
from lookalike.errors import counted
from lookalike.evaluation.benchmarks import Benchmark
from lookalike.ops.labels import is_absent
from lookalike.runs import Run

FILE = "data.parquet"


@dataclass(frozen=True)
class Record:
    """How a run divided its rows.

    Attributes:
        frame: ``path``, ``split`` and ``label``, the finest label as text.
        root: the folder that its relative paths started from.
    """

    frame: pd.DataFrame
    root: str

    @property
    def training(self) -> pd.Series:
        """Which rows were trained on."""
        return self.frame["split"] == "train"

    @property
    def trained(self) -> set[str]:
        """The classes that were trained on."""
        return _classes(self.frame[self.training])

    @property
    def evaluated(self) -> set[str]:
        """The classes that were evaluated."""
        return _classes(self.frame[is_evaluation(self.frame["split"])])


def keep(run: Run, table: Table) -> None:
    """Write ``data.parquet``: path, split and label of every row, as the run divided them."""
    frame = table.frame[["path", "split"]].assign(label=_labels(table))
    frame.attrs = {"root": os.path.realpath(table.root)}
    write_frame(frame, run.folder / FILE)


def record(folder: Path) -> Record | None:
    """What `keep` wrote; None for a model folder, or a run of before this was kept."""
    file = folder / FILE
    if not file.is_file():
        return None
    frame = read_frame(file)
    return Record(frame, str(frame.attrs.get("root", "")))


def evaluated_table(folder: Path, one: Benchmark) -> tuple[Benchmark, Table]:
    """The rows to measure a run on, with what it was trained on held apart, and said.

    The run's own data are divided as they were: where rows or classes came or went since, a new
    draw would put classes that the run was trained on into its test. Other data are measured
    whole: nothing of them is set aside for a training that will not happen.

    Args:
        folder: the run's, or a model's.
        one: what is asked; its ``own`` comes back false where the data are no longer those of the
            run, so that its own figures stay.
    """
    if not one.is_runs:
        table = build_table(_whole(one).config)
        kept = record(folder)
        return one, table if kept is None else _apart(table, kept)
    table = build_table(one.config)
    run = Run.open(folder)
    before = run.read_manifest().get("data", {}) if run.manifest.is_file() else {}
    if before.get("fingerprint", table.fingerprint) == table.fingerprint:
        return one, table
    kept = record(folder)
    unwritten = "the figures are printed, and those in the run's folder stay"
    if kept is None:
        size = counted(before["pictures"], "image") if "pictures" in before else "of unknown size"
        note = (
            f"the data changed since the run ({size}, now {len(table):,}), and it is too old to"
            " know which rows trained it: classes that it was"
            f" trained on may be among those tested; {unwritten}"
        )
        return replace(one, own=False), table.with_notes(note)
    table = _as_it_was(table, kept)
    return replace(one, own=False), table.with_notes(*_changes(table, kept), unwritten)


def _whole(one: Benchmark) -> Benchmark:
    """The same data set, all of whose classes are tested where it would divide them."""
    maker = components.check("dataset", one.config.dataset)
    accepted, _ = components.parameters(maker)
    if "test_classes" in accepted and "test_classes" not in one.config.dataset:
        one.config.dataset["test_classes"] = 1.0
    return one


def _as_it_was(table: Table, kept: Record) -> Table:
    """The run's data as it is now, its rows in the splits they had."""
    now = table.frame["split"].to_numpy(object).copy()
    labels = _labels(table)
    paths = table.frame["path"].to_numpy(object)
    had = kept.frame.groupby("path")["split"].agg(lambda s: tuple(dict.fromkeys(s))).to_dict()
    overlap = kept.trained & kept.evaluated
    first = kept.frame[is_evaluation(kept.frame["split"])].drop_duplicates("label")
    home = dict(zip(first["label"], first["split"], strict=True))
    for row, (path, label) in enumerate(zip(paths, labels, strict=True)):
        before = had.get(path)
        if before is not None:
            now[row] = now[row] if now[row] in before else before[0]
        elif not overlap and label in kept.trained and is_evaluated(now[row]):
            now[row] = "train"
        elif not overlap and label in home and now[row] == "train":
            now[row] = home[label]
    # The reader's own statement of what it drew no longer holds.
    notes = tuple(note for note in table.notes if " to train on, " not in note)
    return replace(moved(table, now), notes=notes)


def _changes(table: Table, kept: Record) -> list[str]:
    """What is new, what is gone, and where it went."""
    paths, before = set(table.frame["path"]), set(kept.frame["path"])
    labels = pd.Series(_labels(table))
    known = _classes(kept.frame)
    fresh = sorted({x for x in labels if x not in known} - {"-1"})
    stay = "rows and classes stay in the splits that the run gave them"
    said = [
        f"the data changed since the run: {counted(len(paths - before), 'image')} more,"
        f" {len(before - paths)} gone; {stay}"
        if paths != before
        else f"the same images, read with other options or labels than the run's; {stay}"
    ]
    if fresh:
        split = table.frame["split"].to_numpy(object)
        tested = {x for x, s in zip(labels, split, strict=True) if is_evaluated(s)}
        inside = [x for x in fresh if x in tested]
        said.append(
            f"{counted(len(fresh), 'new class', 'new classes')} ({some(fresh)}): {len(inside)} of"
            " them among the tested ones, none was trained on"
        )
    return [*said, *_known_classes(table, kept)]


def _apart(table: Table, kept: Record) -> Table:
    """Other data than the run's, without the very files that it was trained on."""
    start = kept.root
    trained = {os.path.realpath(os.path.join(start, p)) for p in kept.frame["path"][kept.training]}  # noqa: PTH118
    evaluated = is_evaluation(table.frame["split"]).to_numpy()
    same = np.array([os.path.realpath(p) in trained for p in table.paths]) & evaluated
    if same.any():
        now = np.where(same, "train", table.frame["split"].to_numpy(object))
        seen = counted(int(same.sum()), "image")
        table = moved(table, now).with_notes(
            f"{seen} left out of the evaluation, which the run was trained on"
        )
    return table.with_notes(*_known_classes(table, kept))


def _known_classes(table: Table, kept: Record) -> list[str]:
    """A statement where classes of the evaluation bear names that the run was trained on."""
    evaluated = is_evaluation(table.frame["split"]).to_numpy()
    tested = set(np.array(_labels(table), object)[evaluated].tolist()) - {"-1"}
    # Numbers mean other classes in every data set.
    shared = sorted(x for x in tested & kept.trained if not x.lstrip("-").isdigit())
    if not shared:
        return []
    return [
        f"{len(shared)} of {counted(len(tested), 'tested class', 'tested classes')}"
        f" {'bears the name' if len(shared) == 1 else 'bear names'} of classes that the run was"
        f" trained on ({some(shared)}): not unseen, where they are the same"
    ]


def _labels(table: Table) -> Sequence[str]:
    values = table.frame[table.levels[0]].to_numpy(object)
    return np.where(is_absent(values), "-1", [str(v) for v in values]).tolist()


def _classes(frame: pd.DataFrame) -> set[str]:
    return set(frame["label"]) - {"-1"}
