"""``lookalike index build | info | verify | tune``: make pictures searchable, keep them so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookalike.console import Console
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, RunError, counted
from lookalike.search import generations
from lookalike.search.build import build_index
from lookalike.search.index import Index


def build(
    model: str | Path,
    source: str,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    split: str | None = None,
    batch_size: int = 64,
    workers: int = 2,
    overwrite: bool = False,
    engine: str = "exact",
    server: str | None = None,
    engine_options: Sequence[str] = (),
    storage: str = "float32",
    precision: str = "float32",
) -> Index:
    """Embed every picture of a source and write an index folder.

    Killed, the same command goes on where it stopped. Pictures that cannot be read are left out,
    counted and named.

    Args:
        model: a run folder or a model folder.
        source: a folder of pictures, a table file, or a data set's name.
        out: the index folder to write.
        overrides: settings of the data set.
        split: index the gallery rows of this split alone.
        batch_size: pictures at a time.
        workers: processes that read pictures.
        overwrite: replace an index that is there.
        engine: ``exact``, ``hnsw``, ``ivfpq``, ``pgvector`` or ``qdrant``.
        server: the address of the server that is to hold the vectors; default: the one of
            ``$LOOKALIKE_PGVECTOR`` or ``$LOOKALIKE_QDRANT``.
        engine_options: ``NAME=VALUE``; see `engines.engine_spec`.
        storage: ``float32``, ``float16``, ``int8`` or ``binary``.
        precision: ``float32``, or ``bf16``, several times faster where the processor knows it.

    Raises:
        LookalikeError: no model, no pictures, or a folder that cannot be written.
    """
    console = Console()
    options: dict[str, Any] = {} if server is None else {"server": server}
    for word in engine_options:
        name, sign, value = word.partition("=")
        if not sign or not name or not value:
            raise ConfigError(f"--engine-option {word}: write NAME=VALUE, such as links=48.")
        options[name] = value
    made = build_index(
        model,
        source,
        out,
        overrides,
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
    each = counted(index.manifest["width"], "number")
    console.say(f"{out}: {counted(len(index), 'picture')}, {each} each")
    if storage != "float32":
        loss = index.manifest["storage_loss"]
        console.say(
            f"storage  {storage}: recall@10 {loss['recall_at_10']:.4f} of float32's, scores off by "
            f"at most {loss['largest_error']:.4f}"
        )
    report_broken(console, made.table, made.unreadable)
    return index


def info(folder: str | Path) -> None:
    """Print an index's manifest."""
    index = Index.open(folder)
    console = Console()
    about = index.manifest
    size = sum(file["bytes"] for file in about["files"].values())
    remote = about.get("server")
    size += 0 if remote is None else index.vectors.nbytes
    console.say(
        f"pictures  {len(index):,}, {counted(about['width'], 'number')} each, {size / 1e6:,.1f} MB"
    )
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


def verify(folder: str | Path, *, pictures: bool = True) -> None:
    """Check every file of an index, and whether the pictures are still there.

    Raises:
        RunError: something is wrong; the message names each.
    """
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
    missing = [p for p in index.items["path"] if not Path(p).is_file()] if pictures else []
    files = counted(len(index.manifest["files"]), "file")
    also = ", the vectors in the server as sent" if "server" in index.manifest else ""
    console.say(f"{folder}: {counted(len(index), 'picture')}, {files} as written{also}")
    if missing:
        named = ", ".join(missing[:3])
        console.say(
            f"{counted(len(missing), 'picture')} no longer there (first: {named}), still "
            "found; `lookalike index update` removes them."
        )


def _damaged(folder: Path, wrong: list[str]) -> RunError:
    return RunError(f"{folder} is damaged:\n  " + "\n  ".join(wrong) + "\nBuild it again.")


def tune(folder: str | Path, *, recall: float = 0.99, dry_run: bool = False) -> None:
    """Measure engines and settings on an index, print the curve, and take the best.

    Args:
        folder: the index.
        recall: the least share of the true ten nearest that a setting must find.
        dry_run: only print.
    """
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


def report_broken(console: Console, table: Table, broken: dict[int, str]) -> None:
    """Say which pictures were left out, and why the first was."""
    if broken:
        rows = sorted(broken)
        named = ", ".join(table.paths[i] for i in rows[:5])
        console.say(f"{counted(len(rows), 'picture')} left out, unreadable: {named}")
        console.say(f"         the first: {broken[rows[0]]}")
