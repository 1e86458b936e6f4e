"""The verbs of search, as `cli` adds them to its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli_trust import opens_files, opens_indexes

index_app = typer.Typer(help="Make folders of pictures searchable.", no_args_is_help=True)

Index = Annotated[Path, typer.Argument(metavar="INDEX", help="An index folder.")]
Source = Annotated[
    str, typer.Argument(metavar="FOLDER|TABLE", help="Pictures: a folder, a table, a data set.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[OPTION=VALUE]...", help="Settings of a data set."),
]
Split = Annotated[str | None, typer.Option("--split", help="Only the gallery rows of this split.")]
BatchSize = Annotated[
    int, typer.Option("--batch-size", min=1, max=1_000_000, help="Pictures at a time.")
]
Workers = Annotated[
    int, typer.Option("--workers", min=0, max=1024, help="Processes that read pictures.")
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", help="COLUMN=VALUE, also !=, <, >, ~ (contains); may be repeated."),
]


def search(
    index: Index,
    query: Annotated[
        list[str],
        typer.Argument(metavar="PICTURE...", help="Picture files, or items of the index as '#12'."),
    ],
    top: Annotated[int, typer.Option("--top", min=1, help="How many neighbours.")] = 10,
    box: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option("--box", metavar="X1 Y1 X2 Y2", help="Search with this part, in pixels."),
    ] = None,
    fuse: Annotated[
        str | None,
        typer.Option("--fuse", help="The queries show one thing: average or best."),
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="The queries' class: mark right and wrong.")
    ] = None,
    where: Where = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", help="Leave out what scores less.")
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank", help="exact, average_qe, alpha_qe, dba, k_reciprocal or diffusion."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Embed the queries by this model.")
    ] = None,
    student: Annotated[
        bool, typer.Option("--student", help="--model was distilled into the index's space.")
    ] = False,
    exclude_self: Annotated[
        bool, typer.Option("--exclude-self", help="A file that is in the index is not found.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write a contact sheet (PNG).")
    ] = None,
    why: Annotated[
        Path | None, typer.Option("--why", help="Write which regions made them alike (PNG).")
    ] = None,
) -> None:
    """Find the nearest pictures: `lookalike search INDEX query.jpg --top 10`."""
    from lookalike.jobs import search as job

    job.run(
        index, query, top=top, box=box, fuse=fuse, label=label, where=where or [],
        min_score=min_score, rerank=rerank, model=model, student=student,
        exclude_self=exclude_self, as_json=as_json, sheet=sheet, why=why,
    )  # fmt: skip


@index_app.command("build")
@opens_files
def index_build(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run, a model or an export.")],
    source: Source,
    out: Annotated[Path, typer.Option("--out", help="The index folder to write.")],
    overrides: Overrides = None,
    split: Split = None,
    batch_size: BatchSize = 64,
    workers: Workers = 2,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an index.")] = False,
    engine: Annotated[
        str, typer.Option("--engine", help="exact, hnsw, ivfpq, pgvector or qdrant.")
    ] = "exact",
    server: Annotated[
        str | None, typer.Option("--server", help="The address of pgvector's or qdrant's server.")
    ] = None,
    engine_option: Annotated[
        list[str] | None,
        typer.Option("--engine-option", help="NAME=VALUE, such as index=hnsw; may be repeated."),
    ] = None,
    storage: Annotated[
        str, typer.Option("--storage", help="float32, float16, int8 or binary.")
    ] = "float32",
    precision: Annotated[str, typer.Option("--precision", help="float32 or bf16.")] = "float32",
) -> None:
    """Embed a folder of pictures: `lookalike index build runs/x photos/ --out INDEX`.

    Killed, the same command goes on where it stopped.
    """
    from lookalike.jobs import index as job

    job.build(
        model, source, out, overrides or [], split=split, batch_size=batch_size, workers=workers,
        overwrite=overwrite, engine=engine, server=server, engine_options=engine_option or [],
        storage=storage, precision=precision,
    )  # fmt: skip


@index_app.command("add")
@opens_indexes
def index_add(
    index: Index,
    source: Source,
    overrides: Overrides = None,
    split: Split = None,
    batch_size: BatchSize = 64,
    workers: Workers = 2,
) -> None:
    """Embed more pictures into an index: `lookalike index add INDEX more/`."""
    from lookalike.jobs import index_changes as job

    job.add(index, source, overrides or [], split=split, batch_size=batch_size, workers=workers)


@index_app.command("update")
@opens_indexes
def index_update(index: Index, batch_size: BatchSize = 64, workers: Workers = 2) -> None:
    """Embed new and changed files of the source, remove those that are gone."""
    from lookalike.jobs import index_changes as job

    job.update(index, batch_size=batch_size, workers=workers)


@index_app.command("remove")
@opens_indexes
def index_remove(
    index: Index,
    pictures: Annotated[
        list[str] | None, typer.Argument(metavar="[PICTURE|#ID]...", help="Which.")
    ] = None,
    where: Where = None,
) -> None:
    """Take pictures out of an index; their files stay."""
    from lookalike.jobs import index_changes as job

    job.remove(index, pictures or [], where=where or [])


@index_app.command("info")
@opens_indexes
def index_info(index: Index) -> None:
    """Say what an index holds and which model made it."""
    from lookalike.jobs import index as job

    job.info(index)


@index_app.command("verify")
@opens_indexes
def index_verify(index: Index) -> None:
    """Check every file of an index against what was written, and that the pictures are there."""
    from lookalike.jobs import index as job

    job.verify(index)


@index_app.command("adopt")
@opens_indexes
def index_adopt(index: Index) -> None:
    """Take an index from elsewhere, and its table in a server, for your own."""
    from lookalike.jobs import index_changes as job

    job.adopt(index)


@index_app.command("tune")
@opens_indexes
def index_tune(
    index: Index,
    recall: Annotated[
        float, typer.Option("--recall", help="The least share of the true nearest to find.")
    ] = 0.99,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the curve.")] = False,
) -> None:
    """Choose the fastest engine and settings that reach a recall on this index's vectors."""
    from lookalike.jobs import index as job

    job.tune(index, recall=recall, dry_run=dry_run)


@index_app.command("map")
@opens_indexes
def index_map(
    index: Index,
    out: Annotated[Path, typer.Option("--out", help="The page to write (HTML).")],
    method: Annotated[str, typer.Option("--method", help="pca, tsne or umap.")] = "pca",
    label: Annotated[
        str | None, typer.Option("--label", help="The column that colours; default: the finest.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Pictures shown at most.")] = 3000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the lot, t-SNE and UMAP.")] = 0,
) -> None:
    """Write a map of the embeddings to move about in: `index map INDEX --out map.html`."""
    from lookalike.jobs import index_map as job

    job.run(index, out=out, method=method, label=label, count=count, seed=seed)


@index_app.command("audit")
@opens_indexes
def index_audit(
    index: Index,
    out: Annotated[Path | None, typer.Option("--out", help="Write a page (HTML).")] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="The column to judge; default: the finest.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=2, help="Neighbours of each picture.")] = 10,
    same: Annotated[float, typer.Option("--same", help="The least score of two copies.")] = 0.99,
    shown: Annotated[int, typer.Option("--shown", min=1, help="Of each kind on the page.")] = 24,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Look for copies, outliers, hubs and doubtful labels: `index audit INDEX --out audit.html`."""
    from lookalike.jobs import audit as job

    job.run(index, out=out, label=label, k=k, same=same, shown=shown, as_json=as_json)


def export(
    model: Annotated[Path, typer.Argument(metavar="RUN", help="A run or a model folder.")],
    overrides: Overrides = None,
    to: Annotated[str, typer.Option("--to", help="onnx or openvino.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder; default: RUN/exported/onnx.")
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option("--pictures", help="Compare by these; default: the run's test split."),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Calibrate and compute in int8.")] = False,
    max_loss: Annotated[
        float, typer.Option("--max-loss", help="Most of MAP@R that --int8 may cost.")
    ] = 0.01,
    count: Annotated[int, typer.Option("--count", min=20, help="Pictures to compare by.")] = 500,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an export.")] = False,
) -> None:
    """Write a model that needs no torch: `lookalike export runs/x --to onnx`.

    Nothing is written unless real pictures find the same neighbours with it.
    """
    from lookalike.jobs import export as job

    job.run(
        model, to=to, out=out, pictures=pictures, overrides=overrides or [], int8=int8,
        max_loss=max_loss, count=count, overwrite=overwrite,
    )  # fmt: skip


def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    to: Annotated[str, typer.Option("--to", help="A folder, or hf://OWNER/NAME.")],
    licence: Annotated[
        str | None, typer.Option("--licence", help="Of the weights, such as apache-2.0.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="On the hub: for everybody.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a published folder.")
    ] = False,
) -> None:
    """Write a model with its card for others: `lookalike publish runs/x --to birds/`."""
    from lookalike.jobs import publish as job

    job.run(run, to=to, licence=licence, public=public, overwrite=overwrite)


def serve(
    index: Index,
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8000,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than loopback ask a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="LOOKALIKE_TOKEN", help="What callers must know."),
    ] = None,
    changes: Annotated[
        bool, typer.Option("--changes", help="Let callers add and remove pictures.")
    ] = False,
    marks: Annotated[
        bool, typer.Option("--marks/--no-marks", help="Let callers mark results right and wrong.")
    ] = True,
    max_marks: Annotated[int, typer.Option("--max-marks", min=1, help="Marks kept.")] = 10_000,
    max_stored: Annotated[
        float, typer.Option("--max-stored", help="Megabytes of uploads that are kept, in all.")
    ] = 500.0,
    rate: Annotated[float, typer.Option("--rate", help="Requests a second and client.")] = 20.0,
    connections: Annotated[
        int, typer.Option("--connections", min=1, help="Open connections of one client.")
    ] = 64,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Searches at a time; others wait.")
    ] = 2,
    max_megabytes: Annotated[float, typer.Option("--max-megabytes", help="Of a request.")] = 20.0,
    max_megapixels: Annotated[
        float, typer.Option("--max-megapixels", help="Of a picture that is sent.")
    ] = 50.0,
    root: Annotated[
        list[Path] | None,
        typer.Option("--root", help="Also show pictures that lie here; may be repeated."),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="A name that browsers may call this server by."),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy", help="An address whose X-Forwarded-For is believed; repeatable."
        ),
    ] = None,
) -> None:
    """Open a page that searches: `lookalike serve INDEX`, then http://127.0.0.1:8000/.

    Further limits: an image that is sent has a longer side of at most 30,000 pixels, 100 times the
    shorter one; the head of a request comes within 10 seconds, its body within 60; ten wrong
    tokens a minute and client; 512 connections in all; 64 searches may wait; a decoder has 20
    seconds and 4 GB.
    """
    from lookalike.jobs import serve as job

    job.run(
        index, host=host, port=port, token=token, changes=changes, marks=marks,
        max_marks=max_marks, max_stored=max_stored, rate=rate, connections=connections,
        concurrency=concurrency, max_megabytes=max_megabytes, max_megapixels=max_megapixels,
        roots=root or [], hosts=name or [], proxies=trusted_proxy or [],
    )  # fmt: skip
