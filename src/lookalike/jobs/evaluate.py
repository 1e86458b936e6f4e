"""``lookalike evaluate``: every metric of a trained model, with definitions and intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from lookalike.jobs.options import AsJson, ModelFolder, Overrides, RerankMethod, Unit

RERANKS = (*get_args(RerankMethod), "all")


def run(
    folder: ModelFolder,
    overrides: Overrides = None,
    *,
    splits: Annotated[
        list[str] | None,
        typer.Option("--split", help="Split to measure; repeatable. Default: every test split."),
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Another model, which embeds the gallery."),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=16_384, help="Side of the input images, in pixels; default: as trained."
        ),
    ] = None,
    gallery_image_size: Annotated[
        int | None,
        typer.Option(min=1, max=16_384, help="The same for the model of --gallery."),
    ] = None,
    symmetric: Annotated[
        bool, typer.Option("--symmetric", help="Also let each model search its own gallery.")
    ] = False,
    whitening: Annotated[
        Literal["pca", "learned"] | None,
        typer.Option(help="Whiten the embeddings; learned on the training images."),
    ] = None,
    whitening_size: Annotated[
        int | None, typer.Option(min=1, help="Dimensions that whitening keeps.")
    ] = None,
    save_model: Annotated[
        Path | None, typer.Option(help="Write the whitened model to this folder.")
    ] = None,
    by_class: Annotated[
        bool,
        typer.Option("--by-class", help="Also show each class, and the mean over classes."),
    ] = False,
    over: Unit = "classes",
    rerank: Annotated[
        list[str] | None,  # typer takes no list of a Literal
        typer.Option(
            metavar=f"[{'|'.join(RERANKS)}]",
            autocompletion=lambda: list(RERANKS),
            help="Also measure this re-ranking method, with its cost; repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> dict[str, dict[str, Any]]:
    """Measure a trained model: `lookalike evaluate runs/x dataset=[cub,sop]`.

    A backbone's name measures it as it is, with pooled features and no head: `lookalike evaluate
    tf_efficientnet_lite0 dataset=photos/ model.pretrained=FILE`.

    Results on the run's own data are also written to `evaluation/SPLIT/` of the run. Killed and
    called again, the evaluation goes on where it was. Under `torchrun` the processes share the
    work, to the same bits.

    Returns:
        What ``--json`` prints: see `lookalike.evaluation.evaluate_run.evaluate_run`.

    Raises:
        ConfigError: options that do not go together.
        ModelError: no model there.
        DataError: the data has no such split.
    """
    from lookalike.evaluation.evaluate_run import Options, evaluate_run

    options = Options(
        gallery, image_size, gallery_image_size, symmetric, whitening, whitening_size, save_model,
        by_class, over, rerank or (),
    )  # fmt: skip
    return evaluate_run(folder, overrides or [], splits=splits, as_json=as_json, options=options)
