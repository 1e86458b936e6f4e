"""``lookalike compare``: which differences between runs are real, and which are noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike.errors import ConfigError
from lookalike.jobs.options import AsJson, Unit, there


def run(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Two or more run folders, or folders of several seeds; the first is the baseline.",
            callback=there("Give run folders."),
        ),
    ],
    *,
    split: Annotated[str, typer.Option(help="Split that all runs were evaluated on.")] = "test",
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Metric to compare; repeatable. Default: the five that lead the first run's "
            "report; all: every one of its evaluation.",
        ),
    ] = None,
    over: Unit = "classes",
    as_json: AsJson = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the tables (HTML, Markdown, JSON) and contact sheets."),
    ] = None,
    trace: Annotated[
        bool,
        typer.Option(
            "--trace", help="Compare two traces of `train --trace` and say where they part."
        ),
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Relative tolerance of --trace; default: 1e-9 if both were trained in float64, "
            "else 1e-5."
        ),
    ] = None,
) -> dict[str, Any]:
    """Say which differences are real and which noise: `lookalike compare runs/a runs/b`.

    With --trace: where two trainings part and by how much. It ends with 0 where they agree, with 1
    where they part, with 2 where a file is not a trace.

    Returns:
        What ``--json`` prints.

    Raises:
        LookalikeError: see `lookalike.evaluation.comparison.compare_runs`.
        Exit: of typer, with --trace.
    """
    if trace:
        if metrics or out or (split, over) != ("test", "classes"):
            raise ConfigError("--trace goes with --tolerance and --json alone.")
        from lookalike.training.trace_report import compare_trace_files

        found = compare_trace_files(runs, tolerance=tolerance, as_json=as_json)
        raise typer.Exit(0 if found.equal else 1)
    if tolerance is not None:
        raise ConfigError("--tolerance belongs to --trace.")
    from lookalike.console import Console
    from lookalike.evaluation.comparison import compare_runs, write_comparison_files
    from lookalike.report.comparison_page import comparison_table

    console = Console(silent=as_json)
    report, result = compare_runs(
        [Path(folder) for folder in runs], split=split, metrics=metrics or (), over=over
    )
    console.show(comparison_table(report))
    if out is not None:
        write_comparison_files(Path(out), report, result)
        console.say(f"written  {Path(out) / 'comparison.html'}")
    if as_json:
        print(json.dumps(result, indent=2))
    return result
