"""Dividing classes between training and evaluation, so that no class is on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lookalike.errors import ConfigError, suggest


def class_disjoint(
    labels: pd.Series, test_classes: float | Sequence[Any] = 0.5, *, seed: int = 0
) -> tuple[pd.Series, str]:
    """``"train"`` or ``"test"`` for every row: a class is wholly on one side.

    Args:
        labels: the finest label of every row.
        test_classes: share of the classes to test on (below 1), their number, or their names.
        seed: of the draw.

    Returns:
        The split of every row, and a sentence that states it.

    Raises:
        ConfigError: a share or number that leaves a side empty, or a name that is no class.

    Example:
        >>> split, note = class_disjoint(pd.Series(["a", "b", "a", "c"]), ["c"])
        >>> split.tolist(), note
        (['train', 'train', 'train', 'test'], '3 classes: 2 to train on, 1 to test on, as named')
    """
    classes = sorted(labels.unique().tolist())
    if isinstance(test_classes, (int, float)):
        count = _count(test_classes, len(classes))
        order = np.random.default_rng([seed, len(classes)]).permutation(len(classes))
        chosen = {classes[i] for i in order[:count]}
        how = f"drawn with seed {seed}" if count else "none held out"
    else:
        known = {str(c): c for c in classes}
        for name in test_classes:
            if str(name) not in known:
                raise ConfigError(f"test_classes: no class '{name}'. {suggest(str(name), known)}")
        chosen = {known[str(name)] for name in test_classes}
        how = "as named"
    split = pd.Series(np.where(labels.isin(chosen), "test", "train"), labels.index, dtype="str")
    training = len(classes) - len(chosen)
    note = f"{len(classes)} classes: {training} to train on, {len(chosen)} to test on, {how}"
    return split, note


def _count(wanted: float, classes: int) -> int:
    count = round(wanted * classes) if isinstance(wanted, float) and wanted < 1 else int(wanted)
    if wanted < 0 or (isinstance(wanted, float) and wanted > 1) or count > classes:
        raise ConfigError(
            f"test_classes: {wanted} of {classes} classes cannot be; give a share below 1, a"
            " number of classes, or their names"
        )
    if wanted and classes > 1:
        count = min(max(count, 1), classes)
    return count
