"""Servers that hold an index's vectors: what each engine of that kind can do, and its settings.

The folder of such an index keeps the manifest, the items, their ids, a checksum a vector and the
model; the server keeps a row an item: id, vector, path and columns. Rows are never changed in
place: each says from which state on it counts (``born``) and from which on no more (``died``). A
search asks for the rows of its own state, so that what a writer has begun is not seen before
``index.json`` names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lookalike import trust
from lookalike.errors import ConfigError, RunError
from lookalike.search.filters import Condition

ADDRESSES = {"pgvector": "LOOKALIKE_PGVECTOR", "qdrant": "LOOKALIKE_QDRANT"}
SERVERS = tuple(ADDRESSES)
FOREVER = 2**53 - 1  # the last whole number that every server compares exactly
_GRAPHS = ("exact", "hnsw")
_KIND = "table"  # of its mark


@dataclass(frozen=True)
class State:
    """How far the writers of a table have come.

    Attributes:
        committed: the state that index.json named when the last writer was done.
        pending: one that a writer has begun, or has died at; None: none.
        oldest: the first state whose rows are all still there.
    """

    committed: int
    pending: int | None = None
    oldest: int = 0


@dataclass(frozen=True)
class Sought:
    """Which rows may be found: those of a state that meet every condition.

    Attributes:
        stamp: the state.
        conditions: on columns that the server holds.
        ids: only these, int64; None: all.
    """

    stamp: int
    conditions: tuple[Condition, ...] = ()
    ids: np.ndarray | None = None


@dataclass(frozen=True)
class Near:
    """What a server finds for one query.

    Attributes:
        ids: int64 ``(n,)``.
        vectors: float32 ``(n, D)``.
        lowest: the least score among them, by the server's own arithmetic.
    """

    ids: np.ndarray
    vectors: np.ndarray
    lowest: float


@dataclass(frozen=True)
class Change:
    """One step from a state to the next.

    Attributes:
        stamp: the next state.
        ids: int64 ``(n,)``, of the new items.
        vectors: float32 ``(n, D)``.
        paths: of the new items.
        columns: what filters may ask of each new item.
        gone: int64, ids that count no more.
    """

    stamp: int
    ids: np.ndarray
    vectors: np.ndarray
    paths: Sequence[str] = ()
    columns: Sequence[Mapping[str, Any]] = ()
    gone: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


class Server(Protocol):
    """One index's table (or collection) in a server.

    Every method raises RunError where the server cannot be reached or refuses, and DataError where
    it holds no such table.
    """

    def check(self) -> None:
        """Refuse a server that cannot hold vectors."""
        ...

    def create(self, width: int, columns: Mapping[str, str], indexed: Sequence[str]) -> None:
        """Make the empty table; ``columns`` says ``number`` or ``text``."""
        ...

    def drop(self) -> None:
        """Remove the table, if it is there; one without this user's mark is refused."""
        ...

    def adopt(self) -> None:
        """Put this user's mark on a table of lookalike, in place of whatever stood there."""
        ...

    def is_own(self) -> bool:
        """Whether the table bears this user's mark."""
        ...

    def state(self) -> State:
        """How far the writers have come."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Be the only writer, as far as the server can tell."""
        ...

    def write(self, change: Change) -> None:
        """Write a pending state; no search of an older one sees it."""
        ...

    def finish(self, stamp: int, before: int) -> None:
        """The pending state is the committed one; forget what died before the state ``before``."""
        ...

    def undo(self, stamp: int) -> None:
        """Forget a pending state."""
        ...

    def fetch(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids and vectors of the items that are there, in any order."""
        ...

    def ids(self, stamp: int) -> np.ndarray:
        """All ids of a state, int64, rising."""
        ...

    def near(
        self, queries: np.ndarray, count: int, sought: Sought, search: int | None
    ) -> list[Near]:
        """The ``count`` nearest of each query; exactly where ``search`` (efSearch) is None."""
        ...


def open_server(engine: Mapping[str, Any], table: str) -> Server:
    """The server of an engine's spec; nothing is sent yet.

    Raises:
        ConfigError: its package is not installed.
    """
    return _module(engine["name"]).Table(engine, table)


def _module(name: str) -> Any:
    try:
        return import_module(f"lookalike.search.remote.{name}")
    except ImportError as error:
        raise ConfigError(
            f"engine {name} needs {error.name}: pip install 'lookalike[{name}]'"
        ) from error


def refuse_unnamed(engine: Mapping[str, Any], *, own: bool, where: Path) -> None:
    """Refuse to ask a server, and to show it the user's key, because a file names it.

    Args:
        engine: the spec of a file.
        own: whether that file bears the user's mark.
        where: the file, for the message.

    Raises:
        RunError: nobody has named that server.
    """
    if own or os.environ.get(ADDRESSES[engine["name"]]):  # the variable takes the address's place
        return
    named = set()
    for address in trust.named_servers():
        with suppress(ConfigError):  # of the other kind of server
            named.add(_module(engine["name"]).public_address(address))
    if engine["server"] not in named:
        raise RunError(
            f"{where} names the server {engine['server']}, and does not bear the mark of what you "
            "made on this machine: it is not asked, nor told your key, before you name it. If you "
            f"know that server, add --server '{engine['server']}'"
        )


def mark_of(engine: Mapping[str, Any], table: str) -> str | None:
    """This user's mark of a table, to be kept in the table."""
    return trust.mark_of(f"{engine['name']} {table}", _KIND)


def bears_mark(engine: Mapping[str, Any], table: str, said: Mapping[str, Any]) -> bool:
    """Whether what a table says of itself bears this user's mark."""
    return trust.is_own(f"{engine['name']} {table}", _KIND, said.get(trust.MARK))


def refuse_to_drop(engine: Mapping[str, Any], table: str, said: Mapping[str, Any]) -> None:
    """Refuse to drop a table that this user's lookalike did not make.

    Raises:
        RunError: says how to go on.
    """
    if not bears_mark(engine, table, said):
        raise RunError(
            f"{engine['name']} ({engine['server']}): {table} does not bear the mark of what you "
            "made on this machine, so it is not dropped. If it is the table of an index of yours, "
            "`lookalike index adopt INDEX` marks it; else drop it by hand"
        )


def server_options(name: str, width: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a server's engine with their defaults.

    Args:
        name: ``pgvector`` or ``qdrant``.
        width: numbers a vector.
        options: ``server``: the address, by default that of ``$LOOKALIKE_PGVECTOR`` or
            ``$LOOKALIKE_QDRANT``; a password in it is kept out of what comes back. ``index``:
            ``exact`` (every vector is compared) or ``hnsw``. Of the graph: ``links`` (M, 16),
            ``construction`` (efConstruction, 64), ``search`` (efSearch, 64).

    Raises:
        ConfigError: no address, one that cannot be, an unknown ``index``, or vectors too wide.
    """
    address = options.get("server") or os.environ.get(ADDRESSES[name])
    if not address:
        raise ConfigError(
            f"--engine {name} needs the address of a server: --server ADDRESS, or set "
            f"${ADDRESSES[name]}."
        )
    graph = options.get("index", "exact")
    if graph not in _GRAPHS:
        raise ConfigError(f"engine {name}: index={graph}: give {' or '.join(_GRAPHS)}.")
    kind = _module(name)
    kind.refuse_width(width, graph)
    known = {"name": name, "server": kind.public_address(str(address)), "index": graph}
    trust.name_server(known["server"])
    return known | ({"links": 16, "construction": 64, "search": 64} if graph == "hnsw" else {})


def exact_spec(engine: Mapping[str, Any]) -> dict[str, Any]:
    """The same server without a graph.

    >>> exact_spec({"name": "qdrant", "server": "http://a", "index": "hnsw", "links": 16})
    {'name': 'qdrant', 'server': 'http://a', 'index': 'exact'}
    """
    return {"name": engine["name"], "server": engine["server"], "index": "exact"}
