"""Dividing classes between training and evaluation, so that no class is on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from lookalike.data.split_words import is_evaluated
from lookalike.data.table import Table
from lookalike.errors import ConfigError, counted, suggest
from lookalike.ops.labels import is_absent

TestClasses: TypeAlias = float | str | Sequence[str]

# Beside a drawn split: why classes are set aside at all, and how not to.
_UNSEEN = (
    "; tested are classes that training never sees, as new ones come to a search"
    " (dataset.test_classes=0: train on all)"
)
FoldBy = Literal["class", "class_within_super", "super", "picture"]


def divided(
    table: Table,
    *,
    folds: int | None = None,
    fold: int | None = None,
    fold_by: FoldBy = "class",
    fold_level: int | str = 1,
    fold_seed: int = 0,
    hold_out: float | None = None,
    hold_out_seed: int | None = None,
) -> Table:
    """Divide the rows otherwise than the data set does: what ``dataset.…`` offers for every one.

    Args:
        table: any data set.
        folds: how many parts; with ``fold`` the official splits give way to `k_fold`.
        fold: the part that tests, from 0.
        fold_by: how the parts are made, see `k_fold`.
        fold_level: super-classes, by level name or position, for ``fold_by=super`` and
            ``class_within_super``.
        fold_seed: of the division.
        hold_out: share of the training classes that move to ``val``, see `hold_out_classes`.
        hold_out_seed: draw them; None: the later ones, as RAML does.

    Raises:
        ConfigError: one of ``folds`` and ``fold`` without the other, a fold that is not there, or
            a share that leaves one side without classes.

    Example:
        ``lookalike train dataset=cub dataset.folds=4 dataset.fold=0``
    """
    if (folds is None) != (fold is None):
        raise ConfigError(
            "dataset.folds and dataset.fold belong together: how many parts, and which one tests"
        )
    if folds is not None and fold is not None:
        table = k_fold(table, folds, fold, by=fold_by, super_level=fold_level, seed=fold_seed)
    if hold_out is not None:
        table = hold_out_classes(table, hold_out, seed=hold_out_seed)
    return table


def class_disjoint(
    labels: pd.Series, test_classes: TestClasses = 0.5, *, seed: int = 0
) -> tuple[pd.Series, str]:
    """``"train"`` or ``"test"`` for every row: a class is wholly on one side.

    Args:
        labels: the finest label of every row.
        test_classes: a share of the classes to test on (0.5; 1.0 or ``"all"`` is all of them),
            their number (1, a whole number without a point), or their names.
        seed: of the draw.

    Returns:
        The split of every row, and a sentence that states it. A row without a label (-1) matches
        nothing: it is on the side of the test, where it makes finding harder, as soon as there is
        one.

    Raises:
        ConfigError: a share or number that leaves a side empty, or a name that is not a class.

    Example:
        >>> split, note = class_disjoint(pd.Series(["a", "b", "a", "c"]), ["c"])
        >>> split.tolist(), note
        (['train', 'train', 'train', 'test'], '3 classes: 2 to train on, 1 to test on, as named')
    """
    absent = is_absent(np.asarray(labels, object))
    classes = sorted(labels[~absent].unique().tolist())
    if isinstance(test_classes, str):
        test_classes = 1.0 if test_classes == "all" and "all" not in classes else [test_classes]
    if isinstance(test_classes, (int, float)):
        count = _count(test_classes, len(classes))
        order = np.random.default_rng([seed, len(classes)]).permutation(len(classes))
        chosen = {classes[i] for i in order[:count]}
        how = f"drawn with seed {seed}{_UNSEEN}" if count else "none held out"
        how = "all of them" if count and count == len(classes) else how
    else:
        known = {str(c): c for c in classes}
        for name in test_classes:
            if str(name) not in known:
                raise ConfigError(f"test_classes: no class '{name}'. {suggest(str(name), known)}")
        chosen = {known[str(name)] for name in test_classes}
        how = "as named"
    tested = labels.isin(chosen) | (absent & bool(chosen))
    split = pd.Series(np.where(tested, "test", "train"), labels.index, dtype="str")
    training = len(classes) - len(chosen)
    total = counted(len(classes), "class", "classes")
    note = f"{total}: {training} to train on, {len(chosen)} to test on, {how}"
    return split, note


def _count(wanted: float, classes: int) -> int:
    """How many classes a share (a float) or a number (an int) stands for."""
    is_share = isinstance(wanted, float)
    possible = 0 <= wanted <= (1 if is_share else classes)
    count = (round(wanted * classes) if is_share else int(wanted)) if possible else 0
    if not possible:
        raise ConfigError(
            f"test_classes: {wanted} of {counted(classes, 'class', 'classes')} cannot be; give a"
            " share from 0.0 to 1.0,"
            " a whole number of classes, their names, or all"
        )
    if wanted and classes > 1:
        count = min(max(count, 1), classes)
    return count


def hold_out_classes(table: Table, share: float = 0.5, *, seed: int | None = None) -> Table:
    """Move a share of the training classes to a split ``val``, to choose settings on.

    Args:
        table: any table with a ``train`` split; its other splits stay as they are.
        share: of the training classes, above 0 and below 1.
        seed: draw the classes; None: keep those that appear first for training, as RAML does
            (half of the classes, in file order).

    Returns:
        A table in which the held-out rows are queries and gallery of ``val``.

    Raises:
        ConfigError: a share that leaves one side without classes.

    Example:
        >>> frame = pd.DataFrame({"path": list("abcd"), "label": [3, 3, 1, 2]})
        >>> hold_out_classes(Table.from_frame(frame), 0.5).frame["split"].tolist()
        ['train', 'train', 'val', 'val']
    """
    training = table.split("train")
    classes = pd.unique(training.labels[:, 0])
    kept = int(len(classes) * (1 - share))
    if not 0 < kept < len(classes):
        raise ConfigError(
            f"dataset.hold_out: {share} of {len(classes)} training classes leaves one side without"
            " any"
        )
    if seed is not None:
        classes = np.random.default_rng([seed, len(classes)]).permutation(classes)
    rows = (table.frame["split"] == "train").to_numpy() & np.isin(
        table.labels[:, 0], classes[kept:]
    )
    split = table.frame["split"].to_numpy(object).copy()
    split[rows] = "val"
    note = f"{len(classes) - kept} of {len(classes)} training classes held out as 'val'"
    return _divided(table, split, rows, note)


def k_fold(
    table: Table,
    folds: int,
    fold: int,
    *,
    by: FoldBy = "class",
    super_level: int | str = 1,
    seed: int = 0,
) -> Table:
    """Cross-validation over all rows, whatever their splits were: one fold tests, the rest trains.

    Args:
        table: any table.
        folds: how many parts, at least 2.
        fold: which part tests, from 0.
        by: ``"class"``: a class is wholly in one part; ``"class_within_super"``: the same, and
            every super-class is spread over all parts; ``"super"``: a super-class is wholly in one
            part; ``"picture"``: every class is spread over all parts (known classes).
        super_level: the level of the super-classes.
        seed: of the division; the folds of a seed belong together.

    Returns:
        A table with the splits ``train`` and ``test``.

    Raises:
        ConfigError: a fold that is not there, or more folds than there is to divide.
    """
    if folds < 2 or not 0 <= fold < folds:
        raise ConfigError(f"dataset.fold: {fold} of {counted(folds, 'fold')} cannot be")
    rng = np.random.default_rng([seed, folds])
    fine = table.labels[:, 0]
    if by == "class":
        part = _parts(rng, fine, np.zeros(len(fine), np.int64), folds)
    elif by == "class_within_super":
        part = _parts(rng, fine, table.labels[:, table.level(super_level)], folds)
    elif by == "super":
        coarse = table.labels[:, table.level(super_level)]
        part = _parts(rng, coarse, np.zeros(len(fine), np.int64), folds)
    elif by == "picture":
        part = _parts(rng, np.arange(len(fine)), fine, folds)
    else:
        known = ("class", "class_within_super", "super", "picture")
        raise ConfigError(f"dataset.fold_by: '{by}'. {suggest(by, known)}")
    test = part == fold
    if test.all() or not test.any():
        raise ConfigError(
            f"dataset.folds: {counted(folds, 'fold')} by {by} leave fold {fold} or the rest empty"
        )
    split = np.where(test, "test", "train")
    return _divided(table, split, test, f"fold {fold} of {folds} by {by}, seed {seed}")


def _parts(
    rng: np.random.Generator, units: np.ndarray, groups: np.ndarray, folds: int
) -> np.ndarray:
    """The part of every row: the units of each group are dealt out evenly."""
    part = np.empty(len(units), np.int64)
    shift = 0
    for group in np.unique(groups):
        rows = groups == group
        members = rng.permutation(np.unique(units[rows]))
        # Going on where the last group stopped keeps the parts even over small groups.
        of_unit = dict(
            zip(members.tolist(), (np.arange(len(members)) + shift) % folds, strict=True)
        )
        part[rows] = [of_unit[unit] for unit in units[rows].tolist()]
        shift += len(members)
    return part


def moved(table: Table, split: np.ndarray) -> Table:
    """The table with some rows in other splits: what comes to be evaluated is query and gallery.

    Args:
        table: any table.
        split: the split of every row; rows whose split stays keep their roles.
    """
    frame = table.frame.copy(deep=False)
    changed = split != frame["split"].to_numpy(object)
    frame["split"] = pd.Series(split, index=frame.index, dtype="str")
    evaluated = np.array([is_evaluated(s) for s in split])
    for role in ("is_query", "is_gallery"):
        frame[role] = np.where(changed, evaluated, frame[role])
    return Table.from_frame(
        frame, levels=table.levels, name=table.name, root=table.root, notes=table.notes
    )


def _divided(table: Table, split: np.ndarray, evaluated: np.ndarray, note: str) -> Table:
    """The table with other splits: evaluated rows are queries and gallery, their old roles gone."""
    frame = table.frame.copy(deep=False)
    frame["split"] = pd.Series(split, index=frame.index, dtype="str")
    for role in ("is_query", "is_gallery"):
        frame[role] = np.where(split == "train", False, frame[role] | evaluated)
    return Table.from_frame(
        frame,
        levels=table.levels,
        name=table.name,
        root=table.root,
        notes=(*table.notes, note),
    )
