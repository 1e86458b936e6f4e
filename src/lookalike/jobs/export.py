"""``lookalike export``: a model as ONNX or OpenVINO, once real images show that it agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lookalike.jobs.options import DataOptions, ModelFolder


def run(
    model: ModelFolder,
    overrides: DataOptions = None,
    *,
    to: Annotated[Literal["onnx", "openvino"], typer.Option(help="Format to write.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default: MODEL/exported/FORMAT.")
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(
            help="Images to compare by (folder, table file or data set); default: the run's test "
            "split."
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantize to int8, calibrated on further images.")
    ] = False,
    max_loss: Annotated[float, typer.Option(help="Maximum MAP@R drop allowed for int8.")] = 0.01,
    count: Annotated[int, typer.Option(min=20, help="Number of images to compare by.")] = 500,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the export that is there.")
    ] = False,
) -> Path:
    """Write a model that needs no torch: `lookalike export runs/x --to onnx`.

    Nothing is written unless real images find the same neighbors with it.

    Returns:
        The folder.

    Raises:
        ConfigError: options that are not valid, a part that is not installed, a network that
            cannot be written.
        ModelError: the export does not agree with the model; the report follows.
        DataError: too few images to tell.
    """
    from lookalike.export.writing import check_installed, export_model

    check_installed(to)
    return export_model(
        model, to=to, out=out, pictures=pictures, overrides=overrides or [], int8=int8,
        max_loss=max_loss, count=count, overwrite=overwrite,
    )  # fmt: skip
