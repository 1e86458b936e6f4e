"""Which evaluation chooses the model that a run keeps, and when to stop for want of a better."""

from __future__ import annotations

import math

from lookalike.config import Config
from lookalike.data.table import Table
from lookalike.errors import ConfigError, suggest
from lookalike.training.checkpoints import Progress


def choosing_splits(table: Table, config: Config) -> list[str]:
    """The splits whose monitored value chooses the model; none: the last epoch is kept.

    A test split never chooses unless it is asked to.

    Raises:
        ConfigError: no such split, or nothing to stop early by.
    """
    select = config.evaluation.select
    if select is None or select == "val":
        found = [split for split in table.evaluation_splits if split.startswith("val")]
    elif select == "test":
        found = [split for split in table.evaluation_splits if split.startswith("test")]
    else:
        found = [split for split in table.evaluation_splits if split == select]
    if not found and select not in (None, "last"):
        known = ["val", "test", "last", *table.evaluation_splits]
        raise ConfigError(
            f"evaluation.select={select}: {table.name} has no such split. {suggest(select, known)}"
        )
    if not found and config.early_stop.patience is not None:
        raise ConfigError(
            "early_stop.patience: nothing to judge by. Hold classes out with "
            "dataset.hold_out=0.1, or let the test split judge with evaluation.select=test."
        )
    return found


def monitored(table: dict[str, dict[str, float]], metric: str, splits: list[str]) -> float:
    """The mean over some splits of the value that chooses the best model.

    Raises:
        ConfigError: the metric was not measured; the nearest names are suggested.
    """
    found = []
    for split in splits:
        # The finest level that the split has: each benchmark of DyML has one of its own.
        leveled = [name for name in table[split] if name.startswith(f"{metric}_level")]
        name = metric if metric in table[split] else min(leveled, default=metric)
        if name not in table[split]:
            raise ConfigError(
                f"evaluation.monitor={metric}: not among what is measured. "
                f"{suggest(metric, table[split])}"
            )
        found.append(table[split][name])
    return sum(found) / len(found)


def judge(progress: Progress, value: float, config: Config) -> bool:
    """Whether a value is the best so far; counts towards an early stop where it is not.

    A value that is not a number is better than none, and worse than any number.
    """
    c = config.early_stop
    first = progress.best is None or (math.isnan(progress.best) and not math.isnan(value))
    enough = first or value > (progress.best or 0.0) + c.min_delta
    better = first or value > (progress.best or 0.0)
    if better:
        progress.best, progress.best_epoch = value, progress.epoch
    progress.stale = 0 if enough else progress.stale + 1
    progress.stopped = c.patience is not None and progress.stale >= c.patience
    return better


def choice(progress: Progress, config: Config, splits: list[str]) -> str:
    """A sentence for the report: which weights the model has, and who chose them."""
    words = f"The model shown is that of epoch {progress.best_epoch or progress.epoch}"
    if not splits:
        words += ", the last: there is no validation split to choose by."
    else:
        words += f", the best of those evaluated by {config.evaluation.monitor} on "
        words += f"{' and '.join(splits)}."
        if any(split.startswith("test") for split in splits):
            words += " The test split chose it, which flatters its numbers."
    if progress.stopped:
        words += f" Training stopped after epoch {progress.epoch}: nothing got better."
    average = config.average
    begun = (progress.best_epoch or progress.epoch) > average.start_epoch
    if average.name and begun:
        names = {"ema": f"exponential average, decay {average.decay}", "swa": "plain mean"}
        words += f" Its weights are averaged ({names[average.name]})."
    return words
