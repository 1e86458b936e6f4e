"""The command line: a table of verbs. Help imports neither torch nor hydra."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lookalike import cli_data, cli_discover, cli_search
from lookalike.cli_trust import opens_files, opens_indexes
from lookalike.errors import ConfigError, LookalikeError, lost_worker, odd_file, printable

app = typer.Typer(
    help="Train, evaluate and serve models that find look-alike pictures.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_data.data_app, name="data")
app.add_typer(cli_search.index_app, name="index")

Overrides = cli_data.Overrides
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


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


@app.command()
@opens_files
def train(
    overrides: Overrides = None,
    resume: cli_discover.Resume = False,
    auto_resume: cli_discover.AutoResume = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that is in run=FOLDER.")
    ] = False,
    quiet: cli_discover.Quiet = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            "--trace", help="Write losses, rates, norms and batches of every step to this file."
        ),
    ] = None,
) -> None:
    """Train a model: `lookalike train dataset=cub loss=smooth_ap model=resnet18`."""
    from lookalike.compose import check_words

    check_words(overrides or [])
    from lookalike.jobs import train as job

    job.run(
        overrides or [], resume="auto" if auto_resume else resume, overwrite=overwrite, quiet=quiet,
        trace=trace,
    )  # fmt: skip


@app.command()
@opens_files
def sweep(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SPACE [OPTION=VALUE]...",
            help="A search space (a YAML file or a preset), and options of all trials.",
            show_default=False,
        ),
    ],
    trials: Annotated[int, typer.Option("--trials", min=1, help="How many there shall be.")] = 20,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder; default: runs/sweep-SPACE.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="For many machines: postgresql://user@host/database."),
    ] = None,
    study: Annotated[
        str | None, typer.Option("--study", help="Name in the storage; default: the folder's.")
    ] = None,
    sampler: Annotated[str, typer.Option("--sampler", help="tpe, random, gp, qmc, …")] = "tpe",
    pruner: Annotated[
        str, typer.Option("--pruner", help="median, hyperband, successivehalving, …; none.")
    ] = "median",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sampler.")] = 0,
) -> None:
    """Search good options: `lookalike sweep recipe=demo search.yaml --trials 20`."""
    from lookalike.jobs import sweep as job

    job.run(
        words,
        trials=trials,
        out=out,
        storage=storage,
        study=study,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
    )


@app.command()
@opens_files
def evaluate(
    run: RunFolder,
    overrides: Overrides = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Which split; default: every test split.")
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option("--gallery", metavar="RUN", help="Another model embeds the gallery."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", help="Side of the pictures; default: as trained.")
    ] = None,
    gallery_image_size: Annotated[
        int | None, typer.Option("--gallery-image-size", help="The same for the gallery's model.")
    ] = None,
    symmetric: Annotated[
        bool, typer.Option("--symmetric", help="Also let each model search its own gallery.")
    ] = False,
    whitening: Annotated[
        str | None,
        typer.Option(
            "--whitening", metavar="pca|learned", help="Whiten, learned on the training pictures."
        ),
    ] = None,
    whitening_size: Annotated[
        int | None, typer.Option("--whitening-size", help="Dimensions that whitening keeps.")
    ] = None,
    save_model: Annotated[
        Path | None, typer.Option("--save-model", help="Write the whitened model to this folder.")
    ] = None,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="Also each class, and the mean over classes.")
    ] = False,
    over: Annotated[
        str, typer.Option("--over", help="What the intervals draw: classes, or queries.")
    ] = "classes",
    rerank: Annotated[
        list[str] | None,
        typer.Option("--rerank", help="Also re-ranked, with milliseconds: a method, or all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a trained model: `lookalike evaluate runs/x dataset=[cub,sop]`."""
    from lookalike.compose import check_words

    check_words([word for word in overrides or [] if not word.startswith("dataset=[")])
    from lookalike.jobs import evaluate as job

    options = job.Options(
        gallery=gallery,
        image_size=image_size,
        gallery_image_size=gallery_image_size,
        symmetric=symmetric,
        whitening=whitening,
        whitening_size=whitening_size,
        save_model=save_model,
        by_class=by_class,
        over=over,
        rerank=rerank or (),
    )
    job.run(run, overrides or [], splits=split, as_json=as_json, options=options)


@app.command()
@opens_files
def matrix(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN[@SIZE]... [OPTION=VALUE]...",
            help="Two models or more, each perhaps with a picture size, and settings.",
            show_default=False,
        ),
    ],
    split: Annotated[
        str | None, typer.Option("--split", help="Which split; default: the first test split.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="May be repeated. Default: mAP and recall@1."),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option("--width", help="Only so many first numbers of every embedding."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a heat map (PNG) of the first metric.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say who can search whose gallery: `lookalike matrix runs/student runs/teacher`."""
    from lookalike.compose import check_words

    check_words([w for w in words if "=" in w and not Path(w).exists()])
    from lookalike.jobs import matrix as job

    job.run(words, split=split, metrics=metric or (), width=width, out=out, as_json=as_json)


app.command()(opens_files(cli_discover.embed))
app.command()(cli_discover.cluster)
app.command()(cli_discover.select)
app.command()(opens_files(cli_discover.discover))
app.command()(cli_discover.review)
app.command()(opens_indexes(cli_search.search))
app.command()(opens_indexes(cli_search.serve))
app.command()(opens_files(cli_search.export))
app.command()(opens_files(cli_search.publish))


@app.command()
@opens_files
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Two run folders or more; the first is the baseline."),
    ],
    split: Annotated[str, typer.Option("--split", help="What all were evaluated on.")] = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Only this one; may be repeated. Default: the run's own."),
    ] = None,
    over: Annotated[
        str, typer.Option("--over", help="Draw and exchange whole classes, or single queries.")
    ] = "classes",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the tables (HTML, Markdown) and sheets."),
    ] = None,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="The two are traces of `train --trace`: say where they part."),
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Of --trace, relative; default: 1e-9 in float64, else 1e-5."),
    ] = None,
) -> None:
    """Say which differences are real and which noise: `lookalike compare runs/a runs/b`.

    With --trace: where two trainings part and by how much. It ends with 0 where they agree, with 1
    where they part, with 2 where a file is no trace.
    """
    if trace:
        if metric or out or (split, over) != ("test", "classes"):
            raise ConfigError("--trace goes with --tolerance and --json alone.")
        from lookalike.jobs import compare_traces

        found = compare_traces.run(runs, tolerance=tolerance, as_json=as_json)
        raise typer.Exit(0 if found.equal else 1)
    if tolerance is not None:
        raise ConfigError("--tolerance belongs to --trace.")
    from lookalike.jobs import compare as job

    job.run(runs, split=split, metrics=metric or (), over=over, as_json=as_json, out=out)


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(metavar="losses|models|datasets|recipes|metrics", help="Which shelf."),
    ],
) -> None:
    """Say what there is, one line each: `lookalike list losses`."""
    from lookalike.jobs import shelves as job

    job.run(what)


@app.command()
def config(overrides: Overrides = None) -> None:
    """Print the resolved configuration: `lookalike config recipe=demo`."""
    from lookalike.compose import compose, to_yaml

    typer.echo(to_yaml(compose(overrides or [])), nl=False)


@app.command()
def explain(
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="A metric's name or alias.")],
) -> None:
    """Say exactly what a number means: `lookalike explain map_at_r`."""
    from lookalike.jobs import explain as job

    job.run(metric)


@app.command()
def doctor() -> None:
    """Look at this installation: versions, devices, which kernels are in use and why."""
    from lookalike.jobs import doctor as job

    job.run()


def main() -> None:
    """Run a verb; what a person can mend is said in one sentence, without a traceback."""
    try:
        app(args=[cli_discover.AUTO if word == "--resume=auto" else word for word in sys.argv[1:]])
    except LookalikeError as error:
        _fail(error)
    except BrokenPipeError:
        sys.exit(0)
    except (OSError, RuntimeError, ValueError) as error:
        if (said := lost_worker(error) or odd_file(error, sys.argv[1:])) is None:
            raise
        _fail(said)


def _fail(error: LookalikeError) -> NoReturn:
    if error.is_error:
        typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(printable(str(error)), err=True)
    sys.exit(error.exit_code)
