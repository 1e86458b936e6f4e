"""``lookalike index build | info | verify | tune``: make images searchable, keep them so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lookalike.errors import ConfigError, DataError, RunError, counted
from lookalike.jobs.options import (
    MODELS,
    BatchSize,
    DataOptions,
    GallerySplit,
    Images,
    IndexFolder,
    Workers,
    there,
)

if TYPE_CHECKING:
    from lookalike.search.index import Index


def build(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A run folder, a model folder, an export, hf://OWNER/NAME, or the name of a "
            "backbone (with model.pretrained=FILE where its weights lie in a file).",
            callback=there(MODELS, names=True),
        ),
    ],
    source: Images,
    out: Annotated[
        Path | None, typer.Option(help="Index folder to write; default: photos.index for photos/.")
    ] = None,
    overrides: DataOptions = None,
    *,
    split: GallerySplit = None,
    batch_size: BatchSize = 64,
    workers: Workers = 2,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the index that is there.")
    ] = False,
    engine: Annotated[
        Literal["exact", "hnsw", "ivfpq", "pgvector", "qdrant"],
        typer.Option(help="Search engine."),
    ] = "exact",
    server: Annotated[
        str | None,
        typer.Option(
            help="Address of the pgvector or Qdrant server that holds the vectors; default: "
            "$LOOKALIKE_PGVECTOR or $LOOKALIKE_QDRANT."
        ),
    ] = None,
    engine_options: Annotated[
        list[str] | None,
        typer.Option(
            "--engine-option", help="Option of the engine, such as index=hnsw; repeatable."
        ),
    ] = None,
    storage: Annotated[
        Literal["float32", "float16", "int8", "binary"],
        typer.Option(help="Number format of the stored vectors."),
    ] = "float32",
    precision: Annotated[
        Literal["float32", "bf16"],
        typer.Option(
            help="Number format of the model; bf16 is several times faster on processors that "
            "support it."
        ),
    ] = "float32",
) -> Index:
    """Embed a folder of images: `lookalike index build resnet50 photos/`, or with a run of yours.

    Killed, the same command goes on where it stopped. Images that cannot be read are left out,
    counted and named.

    Raises:
        LookalikeError: no model, no images, or a folder that cannot be written.
    """
    from lookalike.console import Console
    from lookalike.search.build import build_index, say_unreadable

    console = Console()
    out = out or default_folder(source)
    options: dict[str, Any] = {} if server is None else {"server": server}
    for word in engine_options or ():
        name, sign, value = word.partition("=")
        if not sign or not name or not value:
            raise ConfigError(f"--engine-option {word}: write NAME=VALUE, such as links=48.")
        options[name] = value
    made = build_index(
        model,
        source,
        out,
        overrides or [],
        split=split,
        batch_size=batch_size,
        workers=workers,
        overwrite=overwrite,
        engine=engine,
        engine_options=options,
        storage=storage,
        precision=precision,
        console=console,
    )
    index = made.index
    width = index.manifest["width"]
    console.say(f"{out}: {counted(len(index), 'image')}, {width:,}-d")
    if storage != "float32":
        loss = index.manifest["storage_loss"]
        console.say(
            f"storage  {storage}: recall@10 {loss['recall_at_10']:.4f} of float32's, scores off by "
            f"at most {loss['largest_error']:.4f}"
        )
    say_unreadable(console, made.table, made.unreadable)
    return index


def default_folder(source: str) -> Path:
    """Where the index of a source lies when nothing is said.

    >>> print(default_folder("pets/photos/"), default_folder("photos.csv"), default_folder("cub"))
    pets/photos.index photos.index cub.index
    """
    path = Path(source)
    stem = path.stem if path.suffix.lower() in (".csv", ".tsv", ".parquet", ".pq") else path.name
    return path.with_name(f"{stem}.index")


def info(folder: IndexFolder) -> None:
    """Say what an index holds and which model made it."""
    from lookalike.console import Console
    from lookalike.search.index import Index

    index = Index.open(folder)
    console = Console()
    about = index.manifest
    size = sum(file["bytes"] for file in about["files"].values())
    remote = about.get("server")
    size += 0 if remote is None else index.vectors.nbytes
    console.say(f"images  {len(index):,}, {about['width']:,}-d, {size / 1e6:,.1f} MB")
    console.say(f"made      {about['created']} by lookalike {about['lookalike']}")
    if about["changed"] != about["created"]:
        console.say(f"changed   {about['changed']}")
    hidden = ("name", "server")
    settings = ", ".join(f"{k} {v}" for k, v in index.engine.items() if k not in hidden)
    console.say(f"engine    {index.engine['name']}{f' ({settings})' if settings else ''}")
    if remote is not None:
        console.say(f"server    {index.engine['server']}, table {remote['table']}")
    loss = about["storage_loss"]
    console.say(f"storage   {about['storage']}, recall@10 {loss['recall_at_10']:.4f} of float32's")
    if "model" in about:
        console.say(
            f"model     {about['model']['backbone']}, sha256 {about['model']['sha256'][:16]}…"
        )
        console.say(f"prepared  {about['model']['preprocessing']}")
    if "source" in about:
        levels = ", ".join(about["levels"]) or "none"
        console.say(f"source    {about['source']['name']}; labels: {levels}")
    has_model = index.model_folder is not None
    console.say(f"queries   {'pictures and vectors' if has_model else 'vectors only (no model)'}")


def verify(folder: IndexFolder) -> None:
    """Check every file of an index against what was written, and that the images are there.

    Raises:
        RunError: something is wrong; the message names each.
    """
    from lookalike.console import Console
    from lookalike.search import generations
    from lookalike.search.index import Index

    console = Console()
    folder = Path(folder)
    try:
        index = Index.open(folder)
    except DataError:
        # Opening stops at the first fault that it sees: here each file is named that has one.
        if wrong := generations.check_files(folder, generations.read_manifest(folder), sums=True):
            raise _damaged(folder, wrong) from None
        raise
    if wrong := index.verify():
        raise _damaged(folder, wrong)
    missing = [p for p in index.items["path"] if not Path(p).is_file()]
    files = counted(len(index.manifest["files"]), "file")
    also = ", the vectors in the server as sent" if "server" in index.manifest else ""
    console.say(f"{folder}: {counted(len(index), 'image')}, {files} as written{also}")
    if missing:
        named = ", ".join(missing[:3])
        console.say(
            f"{counted(len(missing), 'image')} no longer there (first: {named}), still "
            "found; `lookalike index update` removes them."
        )


def _damaged(folder: Path, wrong: list[str]) -> RunError:
    return RunError(f"{folder} is damaged:\n  " + "\n  ".join(wrong) + "\nBuild it again.")


def tune(
    folder: IndexFolder,
    *,
    recall: Annotated[float, typer.Option(help="Minimum recall@10.")] = 0.99,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the curve.")] = False,
) -> None:
    """Choose the fastest engine and settings that reach a recall on this index's vectors."""
    from lookalike.console import Console
    from lookalike.search.index import Index
    from lookalike.search.tuning import tune as measure

    console = Console()
    index = Index.open(folder)
    curve, chosen = measure(index, recall=recall, progress=console.say)
    console.say(f"{'engine':36s} recall@10  ms/query        MB")
    for point in curve:
        settings = {
            k: v for k, v in point.spec.items() if k in ("index", "search", "probes", "refine")
        }
        name = " ".join([point.engine, *(f"{k}={v}" for k, v in settings.items())])
        mark = "←" if point is chosen else ""
        console.say(
            f"{name:36s}    {point.recall:.4f}  {1e3 * point.seconds:8.3f}  "
            f"{point.bytes / 1e6:8.1f}  {mark}"
        )
    if dry_run:
        return
    if chosen.spec != index.engine:
        index.use(chosen.spec)
    console.say(f"{folder} now uses {chosen.engine}; `lookalike index info` shows its settings.")
