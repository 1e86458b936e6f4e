"""The command line: a table of commands. Help imports neither torch nor hydra.

A command is a function of `lookalike.jobs`; its signature holds the options with their help, its
docstring, up to Args, Returns or Raises, is the help of the command.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from lookalike.cli_commands import Command, opens_files, opens_indexes, plain
from lookalike.errors import LookalikeError, lacking, lost_worker, odd_file, printable
from lookalike.jobs import (
    audit,
    cluster,
    compare,
    config,
    data,
    discover,
    doctor,
    embed,
    evaluate,
    explain,
    export,
    index,
    index_changes,
    index_map,
    matrix,
    publish,
    review,
    search,
    select,
    serve,
    shelves,
    sweep,
    train,
)
from lookalike.jobs.options import AUTO

app = typer.Typer(
    help="Train, evaluate and serve models that find look-alike images.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Fetch data, look at it, copy it to load faster.", no_args_is_help=True)
index_app = typer.Typer(help="Make folders of images searchable.", no_args_is_help=True)

COMMANDS: dict[str, Command] = {
    "train": opens_files(train.run),
    "sweep": opens_files(sweep.run),
    "evaluate": opens_files(evaluate.run),
    "matrix": opens_files(matrix.run),
    "embed": opens_files(embed.run),
    "cluster": plain(cluster.run),
    "select": plain(select.run),
    "discover": opens_files(discover.run),
    "review": plain(review.run),
    "search": opens_indexes(search.run),
    "serve": opens_indexes(serve.run),
    "export": opens_files(export.run),
    "publish": opens_files(publish.run),
    "compare": opens_files(compare.run),
    "list": plain(shelves.run),
    "config": plain(config.run),
    "explain": plain(explain.run),
    "doctor": plain(doctor.run),
}
DATA: dict[str, Command] = {
    "check": plain(data.check),
    "get": plain(data.get),
    "cache": plain(data.cache),
}
INDEX: dict[str, Command] = {
    "build": opens_files(index.build),
    "add": opens_indexes(index_changes.add),
    "update": opens_indexes(index_changes.update),
    "remove": opens_indexes(index_changes.remove),
    "info": opens_indexes(index.info),
    "verify": opens_indexes(index.verify),
    "adopt": opens_indexes(index_changes.adopt),
    "tune": opens_indexes(index.tune),
    "map": opens_indexes(index_map.run),
    "audit": opens_indexes(audit.run),
}
for group, commands in ((app, COMMANDS), (data_app, DATA), (index_app, INDEX)):
    for name, command in commands.items():
        group.command(name)(command)
app.add_typer(data_app, name="data")
app.add_typer(index_app, name="index")


def _version(asked: bool) -> None:
    if asked:
        from lookalike import __version__

        typer.echo(f"lookalike {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Train, evaluate and serve models that find look-alike images."""


def main() -> None:
    """Run a command; what a person can fix is said in one sentence, without a traceback."""
    try:
        app(args=[AUTO if word == "--resume=auto" else word for word in sys.argv[1:]])
    except LookalikeError as error:
        _fail(error)
    except BrokenPipeError:
        sys.exit(0)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        if (said := lost_worker(error) or lacking(error) or odd_file(error, sys.argv[1:])) is None:
            raise
        _fail(said)


def _fail(error: LookalikeError) -> NoReturn:
    if error.is_error:
        typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(printable(str(error)), err=True)
    sys.exit(error.exit_code)
