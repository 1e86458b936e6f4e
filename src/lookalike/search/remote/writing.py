"""Writing an index whose vectors live in a server, so that it is whole at every moment.

1. ``servers.json`` names every table that the folder has ever made, before it is made.
2. The server gets the next state, which no search asks for yet.
3. ``index.json`` is replaced: from now on searches ask for that state.
4. The server is told that the state is committed, and forgets what the one before the last held.

A writer that dies at 2 leaves a pending state that the next writer undoes; one that dies at 3 or 4
leaves one that the next writer finishes. A table that no ``index.json`` names is dropped.
"""

from __future__ import annotations

import json
import math
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lookalike import documents, trust
from lookalike.errors import ConfigError, LookalikeError, LookalikeWarning, RunError
from lookalike.files import write_text
from lookalike.search import generations
from lookalike.search.generations import TABLES
from lookalike.search.manifest import KIND, MadeTable
from lookalike.search.remote.server import Change, Server, open_server, refuse_unnamed
from lookalike.search.remote.vectors import DIGESTS, Remote, digests_of, kinds

if TYPE_CHECKING:
    import pandas as pd

    from lookalike.search.writing import Before


ENTRY = "made table"  # the kind of a mark in servers.json


def write_remote(
    folder: Path,
    manifest: dict[str, Any],
    vectors: np.ndarray,
    items: pd.DataFrame,
    ids: np.ndarray,
    before: Before | None,
    write_rows: Callable[[Path], None],
) -> dict[str, Any]:
    """Commit a generation whose vectors live in a server; see `writing.write_generation`.

    Args:
        folder: the index folder, whose writer the caller is.
        manifest: what to say of it.
        vectors: float32 ``(n, D)``, the new ones.
        items: all rows, those kept and the new ones.
        ids: int64, one a row of ``items``.
        before: what came before; None: nothing.
        write_rows: writes the items and ids into the generation's folder.
    """
    held = pa.Table.from_pandas(items, preserve_index=False)
    digests, gone, previous = digests_of(vectors), np.empty(0, np.int64), 0
    norm = float(np.linalg.norm(vectors, axis=1).max(initial=0))
    if before is None:
        about = {"table": f"lookalike_{secrets.token_hex(6)}", "columns": kinds(held), "norm": norm}
        server = open_server(manifest["engine"], about["table"])
        _remember(folder, manifest["engine"], about["table"])
        server.create(manifest["width"], about["columns"], manifest.get("levels", []))
    else:
        old = before.vectors
        if not isinstance(old, Remote) or _place(old.engine) != _place(manifest["engine"]):
            raise ConfigError(
                f"{folder}: vectors are not moved between a folder and a server. Build the index "
                "again with the other --engine."
            )
        if not trust.is_sealed(generations.read_manifest(folder), KIND):
            raise RunError(
                f"{folder} does not bear the mark of what you made on this machine, so its table "
                "in the server is not changed. If it is yours to change: lookalike index adopt "
                f"{folder} --server '{old.engine['server']}'"
            )
        about = dict(old.about)
        gone, digests = old.ids[~before.kept], np.append(old.digests[before.kept], digests)
        known = set(before.columns)
        about["columns"] = {
            name: kind
            for name, kind in kinds(held).items()
            if about["columns"].get(name) == kind or name not in known
        }
        about["norm"] = max(norm, about["norm"])
        previous = about["stamp"]
        server = open_server(manifest["engine"], about["table"])
    about["stamp"] = max(previous + 1, time.time_ns() // 1000)
    new = held.slice(len(ids) - len(vectors))
    change = Change(
        about["stamp"],
        ids[len(ids) - len(vectors) :],
        vectors,
        [str(path) for path in new["path"].to_pylist()],
        _columns(new.select(list(about["columns"]))),
        gone,
    )

    def write(part: Path) -> None:
        write_rows(part)
        np.save(part / DIGESTS, digests)
        server.write(change)

    with server.writing():
        if before is not None:
            _settle(server, previous, folder)
        manifest = generations.commit(folder, manifest | {"server": about}, write)
        try:
            server.finish(about["stamp"], previous)
        except LookalikeError as error:
            warnings.warn(
                f"{folder} has changed, but its server could not be told so ({error}). The next "
                "change does it.",
                LookalikeWarning,
                stacklevel=2,
            )
    return manifest


@contextmanager
def dropping_forgotten(folder: Path) -> Iterator[None]:
    """Whatever becomes of a build, leave no table behind that nothing names."""
    try:
        yield
    finally:
        drop_forgotten(folder)


def drop_forgotten(folder: Path) -> None:
    """Drop the tables that the folder made and that its manifest does not name.

    The caller is the folder's writer. What cannot be dropped is said, and tried again next time.
    """
    path = folder / TABLES
    if not path.is_file():
        return
    named = None
    if (folder / generations.MANIFEST).is_file():
        named = generations.read_manifest(folder).get("server", {}).get("table")
    left = []
    for made in _made(path):
        if made["table"] != named:
            try:
                refuse_unnamed(made["engine"], own=trust.is_sealed(made, ENTRY), where=path)
                open_server(made["engine"], made["table"]).drop()
                continue
            except LookalikeError as error:
                warnings.warn(
                    f"The table {made['table']} is of no use any more and could not be dropped: "
                    f"{error}",
                    LookalikeWarning,
                    stacklevel=2,
                )
        left.append(made)
    if left:
        write_text(path, json.dumps(left, indent=2) + "\n")
    else:
        path.unlink()


def _remember(folder: Path, engine: Mapping[str, Any], table: str) -> None:
    made = _made(folder / TABLES) if (folder / TABLES).is_file() else []
    write_text(
        folder / TABLES,
        json.dumps([*made, trust.sealed({"engine": dict(engine), "table": table}, ENTRY)], indent=2)
        + "\n",
    )


def _made(path: Path) -> list[dict[str, Any]]:
    remedy = (
        "It names the tables that this index has made in a server; delete it to go on, and drop "
        "lookalike_… tables of no use by hand."
    )
    return documents.read_json(path, list[MadeTable], fault=RunError, remedy=remedy)


def _place(engine: Mapping[str, Any]) -> tuple[Any, Any]:
    return engine["name"], engine.get("server")


def _settle(server: Server, stamp: int, folder: Path) -> None:
    """Finish or undo what a dead writer left.

    Raises:
        RunError: the table has changed through another copy of the folder.
    """
    state = server.state()
    if state.pending == stamp:
        server.finish(stamp, state.committed)
    elif state.committed != stamp:
        raise RunError(
            f"{folder} is a copy, and the table in the server has changed through another copy "
            "since. Go on with that one, or build this index again."
        )
    elif state.pending is not None:
        server.undo(state.pending)


def _columns(items: pa.Table) -> list[dict[str, Any]]:
    """The cells of each row that are not empty."""
    return [
        {
            name: cell
            for name, cell in row.items()
            if cell is not None and not (isinstance(cell, float) and math.isnan(cell))
        }
        for row in items.to_pylist()
    ]


def adopt(folder: Path) -> None:
    """Mark an index, and its table in a server, as this user's own: `index adopt`.

    Raises:
        RunError: its table belongs to another index of this user, the server is out of reach, or
            the disk refuses.
        DataError: there is no such table, or no such index.
    """
    with generations.writing(folder):
        manifest = generations.read_manifest(folder)
        if (about := manifest.get("server")) is not None:
            engine, table = manifest["engine"], about["table"]
            own = trust.is_sealed(manifest, KIND)
            refuse_unnamed(engine, own=own, where=folder)
            made = _made(folder / TABLES) if (folder / TABLES).is_file() else []
            ours = any(m["table"] == table and trust.is_sealed(m, ENTRY) for m in made)
            server = open_server(engine, table)
            server.state()  # refuses what is not a table of lookalike's
            if server.is_own() and not (own or ours):
                raise RunError(f"{folder}: its table {table} belongs to another index of yours.")
            server.adopt()
            write_text(
                folder / TABLES,
                json.dumps([m for m in made if m["table"] != table], indent=2) + "\n",
            )
            _remember(folder, engine, table)
        sealed = trust.sealed(manifest, KIND)
        write_text(folder / generations.MANIFEST, json.dumps(sealed, indent=2) + "\n")
