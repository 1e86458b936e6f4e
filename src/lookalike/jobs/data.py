"""``lookalike data``: fetch data, look at it before training on it, copy it to load faster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lookalike.jobs.options import AsJson, DataSource, Overrides

if TYPE_CHECKING:
    from lookalike.console import Console


def check(
    source: DataSource,
    overrides: Overrides = None,
    *,
    as_json: AsJson = False,
    pictures: Annotated[
        bool, typer.Option(help="Also decode every image, and look for copies across splits.")
    ] = True,
    near: Annotated[bool, typer.Option(help="Also look for near-duplicates across splits.")] = True,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit with code 0 even if there are problems.")
    ] = False,
) -> None:
    """Report what is wrong with data: `lookalike data check photos/`; problems: exit code 1.

    Raises:
        Exit: of typer, with 1 where there are problems.
    """
    from lookalike.compose import compose
    from lookalike.console import Console
    from lookalike.data import doctor
    from lookalike.data.build import build_table

    console = Console(silent=as_json)
    config = compose([f"dataset={source}", *(overrides or [])])
    with console.counting("drawing images") as progress:
        table = build_table(config, progress)
    with console.counting("reading images") as progress:
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
    if not report.ok and not exit_zero:
        raise typer.Exit(1)


def get(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Data set to fetch: cub, sop, inaturalist, ….")
    ],
    overrides: Overrides = None,
    *,
    keep_archives: Annotated[
        bool, typer.Option("--keep-archives", help="Keep archives once they are unpacked.")
    ] = False,
) -> Path:
    """Fetch a data set from its official address: `lookalike data get cub data_root=data`.

    Where registration is required, it prints the steps to do by hand.

    Returns:
        The data set's folder.
    """
    from lookalike.compose import compose
    from lookalike.console import Console
    from lookalike.data import sources

    console = Console()
    config = compose(overrides or [])
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
    source: DataSource,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    shorter: Annotated[
        int, typer.Option(min=1, help="Length of the shorter side, in pixels.")
    ] = 256,
    encoding: Annotated[
        Literal["raw", "jpeg"],
        typer.Option(help="Pixel format: raw loads fastest, jpeg takes a tenth of the space."),
    ] = "raw",
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = 90,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Number of threads.")] = 2,
) -> None:
    """Copy a data set to load faster: `lookalike data cache cub --out data/cub-256`."""
    from lookalike.compose import compose
    from lookalike.console import Console
    from lookalike.data.build import broken_policy, build_table
    from lookalike.data.cache import build_cache
    from lookalike.errors import counted

    console = Console()
    config = compose([f"dataset={source}", *(overrides or [])])
    with console.counting("drawing images") as progress:
        table = build_table(config, progress)
    with console.counting("copying images") as progress:
        copy = build_cache(
            table,
            out,
            shorter=shorter,
            encoding=encoding,
            quality=quality,
            workers=workers,
            broken=broken_policy(config),
            progress=lambda done: progress(done, len(table)),
        )
    size = sum(file.stat().st_size for file in out.iterdir())
    console.say(f"cache    {out}, {counted(len(copy), 'image')}, {size / 1e9:.2f} GB")
    for note in copy.notes:
        console.say(f"         {note}")
    console.say(f"train    lookalike train dataset={out}")


@contextmanager
def _transfers(console: Console) -> Iterator[Callable[[str, int, int | None], Any]]:
    """A bar for each file on its way; where nobody watches, a line for each."""
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    bar = progress.Progress(*columns, console=console.out)
    tasks: dict[str, progress.TaskID] = {}

    def tell(name: str, have: int, total: int | None) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=total)
            size = "" if total is None else f", {total / 1e6:,.1f} MB"
            console.say(f"fetching {name}{size}")
        bar.update(tasks[name], completed=have, total=total)

    with nullcontext() if console.quiet else bar:
        yield tell
