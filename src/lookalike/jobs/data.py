"""``lookalike data``: fetch data, look at it before training on it, copy it to load faster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, cast

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from lookalike.compose import compose
from lookalike.console import Console
from lookalike.data import doctor, sources
from lookalike.data.build import broken_policy, build_table
from lookalike.data.cache import build_cache
from lookalike.data.table import Table
from lookalike.errors import ConfigError, counted


def check(
    source: str,
    overrides: Sequence[str],
    *,
    as_json: bool = False,
    pictures: bool = True,
    near: bool = True,
) -> doctor.DataReport:
    """Print what is wrong with a data set, with row numbers.

    Args:
        source: a data set's name, a folder, or a table file.
        overrides: settings of the data set, e.g. ``data_root=…``.
        as_json: print JSON.
        pictures: also decode every picture and compare contents across splits.
        near: then also look for nearly equal pictures in training and evaluation.
    """
    console = Console(silent=as_json)
    config = compose([f"dataset={source}", *overrides])
    with console.counting("drawing pictures") as progress:
        table = build_table(config, progress)
    with console.counting("reading pictures") as progress:
        report = doctor.check(
            table,
            pictures=pictures,
            near=near and pictures,
            progress=lambda done: progress(done, len(table)),
        )
    if as_json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        console.say(report.to_text())
    return report


def get(name: str, overrides: Sequence[str], *, keep_archives: bool = False) -> Path:
    """Fetch a data set from its official address, or say what only a person can do.

    Args:
        name: of `lookalike.data.sources.SOURCES`.
        overrides: ``data_root=FOLDER``.
        keep_archives: leave archives in place once they are unpacked.

    Returns:
        The data set's folder.
    """
    console = Console()
    config = compose(overrides)
    source = sources.source(name)
    if source.terms:
        console.say(f"terms    {source.terms}")
    with _transfers(console) as progress:
        folder, steps = sources.get(
            name, config.data_root, progress=progress, keep_archives=keep_archives
        )
    if source.files:
        console.say(f"fetched  {folder}")
    if steps:
        console.say(f"{name} needs you for the rest, in {folder}:")
        for number, step in enumerate(steps, 1):
            console.say(f"  {number}. {step}.")
    root = "" if config.data_root == "data" else f" data_root={config.data_root}"
    console.say(f"then     lookalike data check {source.check or name}{root}")
    return folder


def cache(
    source: str,
    overrides: Sequence[str],
    out: Path,
    *,
    shorter: int = 256,
    encoding: str = "raw",
    quality: int = 90,
    workers: int = 2,
) -> Table:
    """Write a small, fast copy of a data set, and say how to train from it.

    Args:
        source: a data set's name, a folder, or a table file.
        overrides: settings of the data set, and ``broken=skip``.
        out: the folder to write.
        shorter: pixels of the shorter side.
        encoding: ``raw`` or ``jpeg``.
        quality: of JPEG.
        workers: threads.
    """
    if encoding not in ("raw", "jpeg"):
        raise ConfigError(f"--encoding {encoding}: write raw or jpeg.")
    console = Console()
    config = compose([f"dataset={source}", *overrides])
    with console.counting("drawing pictures") as progress:
        table = build_table(config, progress)
    with console.counting("copying pictures") as progress:
        copy = build_cache(
            table,
            out,
            shorter=shorter,
            encoding=cast("Literal['raw', 'jpeg']", encoding),
            quality=quality,
            workers=workers,
            broken=broken_policy(config),
            progress=lambda done: progress(done, len(table)),
        )
    size = sum(file.stat().st_size for file in out.iterdir())
    console.say(f"cache    {out}, {counted(len(copy), 'picture')}, {size / 1e9:.2f} GB")
    for note in copy.notes:
        console.say(f"         {note}")
    console.say(f"train    lookalike train dataset={out}")
    return copy


@contextmanager
def _transfers(console: Console) -> Iterator[Callable[[str, int, int | None], Any]]:
    """A bar for each file on its way; where nobody watches, a line for each."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console.out)
    tasks: dict[str, TaskID] = {}

    def tell(name: str, have: int, total: int | None) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=total)
            size = "" if total is None else f", {total / 1e6:,.1f} MB"
            console.say(f"fetching {name}{size}")
        bar.update(tasks[name], completed=have, total=total)

    with nullcontext() if console.quiet else bar:
        yield tell
