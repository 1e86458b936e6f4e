"""``lookalike matrix``: who can search whose gallery, how well, and what a query costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike.jobs.options import AsJson, there


def _folders_exist(words: list[str]) -> list[str]:
    there("Give run or model folders.", names=True)(
        [Path(word.rpartition("@")[0] or word) for word in words if "=" not in word]
    )
    return words


def run(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN[@SIZE]... [OPTION=VALUE]...",
            help="Two or more run or model folders, each optionally with an image size, "
            "and options.",
            show_default=False,
            callback=_folders_exist,
        ),
    ],
    *,
    split: Annotated[
        str | None, typer.Option(help="Split to measure on; default: the first test split.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Metric to show; repeatable. Default: mAP and recall@1."),
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Truncate embeddings to the first N dimensions.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a heat map of the first metric (PNG).")
    ] = None,
    as_json: AsJson = False,
) -> dict[str, Any]:
    """Say who can search whose gallery: `lookalike matrix runs/student runs/teacher`.

    Each model embeds the split once. Cells of models whose embeddings differ in width are empty;
    others hold numbers whether or not the two were made for each other, and say which were.

    Returns:
        What ``--json`` prints: the models, and a cell for each query model and gallery model.

    Raises:
        LookalikeError: see `lookalike.evaluation.matrix.measure_matrix`.
    """
    from lookalike.compose import check_words

    check_words([word for word in words if "=" in word and not Path(word).exists()])
    from lookalike.console import Console
    from lookalike.evaluation import matrix

    console = Console(silent=as_json)
    result = matrix.measure_matrix(words, console, split=split, metrics=metrics or (), width=width)
    matrix.show(console, result)
    if out is not None:
        matrix.write_heat_map(out, result)
        console.say(f"written  {out}")
    if as_json:
        print(json.dumps(result, indent=2))
    return result
