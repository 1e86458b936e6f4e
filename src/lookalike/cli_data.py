"""The verbs of data, as `cli` adds them to its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(help="Fetch data, look at it, copy it to load faster.", no_args_is_help=True)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[OPTION=VALUE]...",
        help="Groups and options, e.g. dataset=cub loss=smooth_ap optimizer.lr=1e-4. "
        "`lookalike config` prints them all.",
        show_default=False,
    ),
]


@data_app.command("check")
def data_check(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A data set's name, a folder or a table file.")
    ],
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Also decode every picture.")
    ] = True,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Also look for near copies across splits.")
    ] = True,
    exit_zero: Annotated[
        bool,
        typer.Option("--exit-zero", help="End with exit code 0 even where there are problems."),
    ] = False,
) -> None:
    """Report what is wrong with data: `lookalike data check photos/`; problems: exit code 1."""
    from lookalike.compose import check_words

    check_words(overrides or [])
    from lookalike.jobs import data as job

    report = job.check(source, overrides or [], as_json=as_json, pictures=pictures, near=near)
    if not report.ok and not exit_zero:
        raise typer.Exit(1)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="cub, sop, inaturalist, …")],
    overrides: Overrides = None,
    keep_archives: Annotated[
        bool, typer.Option("--keep-archives", help="Leave archives once they are unpacked.")
    ] = False,
) -> None:
    """Fetch a data set: `lookalike data get cub data_root=data`; what needs a form is said."""
    from lookalike.compose import check_words

    check_words(overrides or [])
    from lookalike.jobs import data as job

    job.get(name, overrides or [], keep_archives=keep_archives)


@data_app.command("cache")
def data_cache(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A data set's name, a folder or a table file.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    overrides: Overrides = None,
    shorter: Annotated[int, typer.Option("--shorter", min=1, help="Pixels, shorter side.")] = 256,
    encoding: Annotated[
        str, typer.Option("--encoding", help="raw loads fastest; jpeg takes a tenth of the space.")
    ] = "raw",
    quality: Annotated[int, typer.Option("--quality", min=1, max=100, help="Of jpeg.")] = 90,
    workers: Annotated[int, typer.Option("--workers", min=1, max=1024)] = 2,
) -> None:
    """Copy a data set to load faster: `lookalike data cache cub --out data/cub-256`."""
    from lookalike.compose import check_words

    check_words(overrides or [])
    from lookalike.jobs import data as job

    job.cache(
        source,
        overrides or [],
        out,
        shorter=shorter,
        encoding=encoding,
        quality=quality,
        workers=workers,
    )
