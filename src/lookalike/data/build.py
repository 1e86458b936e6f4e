"""From a config to the table of a run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookalike import components
from lookalike.config import Config
from lookalike.data.sources import SOURCES
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError

if TYPE_CHECKING:
    from lookalike.data.dataset import Broken


def broken_policy(config: Config) -> Broken:
    """What to do with an image that cannot be read, checked."""
    if config.broken not in ("refuse", "skip"):
        raise ConfigError(f"broken={config.broken}: write refuse or skip.")
    return config.broken  # pyright: ignore[reportReturnType] (narrowed by the line above)


def build_table(config: Config, progress: Callable[[int, int], None] | None = None) -> Table:
    """The data set of a run, as a table.

    One that needs a folder and was given none is looked for below ``data_root``, under the name it
    unpacks to. One that must first draw or read for a while tells ``progress`` (done, of all).
    """
    given: dict[str, Any] = {"progress": progress}
    accepted, _ = components.parameters(components.check("dataset", config.dataset))
    needs = "root" in accepted and accepted["root"].default is inspect.Parameter.empty
    if needs and "root" not in config.dataset:
        name = str(config.dataset["name"])
        folder = SOURCES[name].folder if name in SOURCES else name
        given["root"] = str(Path(config.data_root) / folder)
    try:
        return components.build("dataset", config.dataset, **given)
    except DataError as error:
        if "root" not in given or Path(given["root"]).exists():
            raise
        raise DataError(
            f"{error}. It is looked for below data_root={config.data_root}: name another folder "
            "there, or its own as dataset.root=…"
        ) from None


def training_rows(table: Table) -> Table:
    """The rows to train on.

    Raises:
        DataError: there are none, or they hold a single class.
    """
    if "train" not in table.splits:
        raise DataError(
            f"{table.name} has no 'train' split (it has: {', '.join(table.splits)}). Name a folder "
            "or fill the split column with 'train'."
        )
    training = table.split("train")
    if training.num_classes(0) < 2:
        raise DataError(f"{table.name}: the train split holds one class; a loss needs two.")
    return training
