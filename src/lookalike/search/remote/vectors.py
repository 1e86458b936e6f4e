"""Vectors of an index that live in a server, read and searched as those of a folder are."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as untyped

from lookalike import trust
from lookalike.errors import DataError, RunError, counted
from lookalike.search.arrays import read_array
from lookalike.search.exact import nearest
from lookalike.search.filters import Condition, matching, read_conditions
from lookalike.search.hits import Hits
from lookalike.search.manifest import KIND
from lookalike.search.remote.server import (
    SERVERS,
    Near,
    Sought,
    open_server,
    refuse_unnamed,
)
from lookalike.search.storage import CHUNK, Stored, Vectors

pc: Any = untyped  # its functions are made when it is loaded

IDS = "ids.npy"
DIGESTS = "digests.npy"
_MARGIN = 10  # candidates beyond those that are wanted
_FETCHED = 4096  # vectors of one request
# Of the allowed rows: below this many, or this share, all are compared rather than a graph steered.
_FEW, _SHARE = 20_000, 0.05


class Remote:
    """The vectors of one state of a server's table; what is asked for comes as float32.

    Args:
        manifest: the index's.
        ids: int64 ``(N,)``, rising: the item of each row.
        digests: uint64 ``(N,)``, the checksum of each vector.
    """

    storage = "float32"

    def __init__(self, manifest: Mapping[str, Any], ids: np.ndarray, digests: np.ndarray) -> None:
        self.engine, self.about = manifest["engine"], manifest["server"]
        self.width: int = manifest["width"]
        self.ids, self.digests = ids, digests
        self.server = open_server(self.engine, self.about["table"])

    @classmethod
    def open(cls, place: Path, manifest: Mapping[str, Any]) -> Remote:
        """Of a generation's folder.

        Raises:
            DataError: a file that is missing or cut.
        """
        ids = read_array(place / IDS, "<i8", (manifest["count"],))
        digests = read_array(place / DIGESTS, "<u8", (manifest["count"],))
        return cls(manifest, ids, digests)

    def using(self, engine: Mapping[str, Any]) -> Remote:
        """The same vectors, searched with other settings."""
        other = copy.copy(self)
        other.engine = engine
        return other

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and numbers a row."""
        return len(self.ids), self.width

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers; the server keeps them in its own way."""
        return 4 * len(self) * self.width

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        wanted, where = np.unique(self.ids[rows], return_inverse=True)
        held = np.empty((len(wanted), self.width), np.float32)
        for start in range(0, len(wanted), _FETCHED):
            asked = wanted[start : start + _FETCHED]
            ids, vectors = self.server.fetch(asked)
            if len(ids) < len(asked):
                self.refuse_stale()
                raise self._lost(np.setdiff1d(asked, ids))
            held[np.searchsorted(wanted, ids)] = vectors
        return held[where]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[slice(None)], dtype=dtype)

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """First row and float32 rows of each chunk, in order."""
        for start in range(0, len(self), CHUNK):
            yield start, self[slice(start, start + CHUNK)]

    def search(
        self,
        queries: np.ndarray,
        top: int,
        columns: pa.Table,
        *,
        where: Sequence[str] = (),
        allowed: np.ndarray | None = None,
        exact: bool = False,
    ) -> Hits:
        """The ``top`` nearest rows that meet the conditions.

        What the server finds is scored again here, by the kernel of the exact engine. An exact
        search asks for more until nothing that was not sent can be among the ``top``, whatever the
        server's rounding: a dot product of D float32 products is off by at most D·2⁻²⁴·‖q‖·‖v‖ in
        any order of summation. Where a graph gives fewer than were asked for, all is compared.

        Args:
            queries: float32 ``(Q, D)``.
            top: how many.
            columns: of the index's items, for what the server cannot decide.
            where: conditions; those on columns that the server holds are decided there.
            allowed: bool ``(N,)``, or None for all.
            exact: compare all, whatever the index.

        Raises:
            RunError: out of reach, or the index has changed too much since it was opened.
        """
        sought = self._sought(columns, where, allowed)
        few = sought.ids is not None and len(sought.ids) <= max(_FEW, _SHARE * len(self))
        graph = None if exact or few or self.engine["index"] == "exact" else self.engine["search"]
        slack = 2.02 * self.width * 2.0**-24 * self.about["norm"]
        found: dict[int, Hits] = {}
        asked, left = top + _MARGIN, np.arange(len(queries))
        while len(left) and top and (sought.ids is None or len(sought.ids)):
            more = []
            for i, near in zip(
                left.tolist(), self.server.near(queries[left], asked, sought, graph), strict=True
            ):
                hits = found[i] = self._score(queries[i : i + 1], near, top)
                if len(near.ids) < asked:
                    if graph is not None:
                        more.append(i)
                elif graph is None:
                    reach = near.lowest + slack * float(np.linalg.norm(queries[i]))
                    if hits.scores[0, -1] <= reach:
                        more.append(i)
            asked, graph = (asked if graph is not None else 2 * asked), None
            left = np.array(more, np.int64)
        self.refuse_stale()
        return _stack([found.get(i) for i in range(len(queries))])

    def verify(self) -> list[str]:
        """What is wrong with the server's rows: missing, too many, or other vectors."""
        self.refuse_stale()
        there, wrong = self.server.ids(self.about["stamp"]), []
        for what, ids in (
            ("lacks", np.setdiff1d(self.ids, there)),
            ("holds besides", np.setdiff1d(there, self.ids)),
        ):
            if len(ids):
                wrong.append(
                    f"{self._table} {what} {counted(len(ids), 'item')} (first: {_named(ids)})"
                )
        if not wrong:
            changed = [
                self.ids[start : start + len(part)][
                    digests_of(part) != self.digests[start : start + len(part)]
                ]
                for start, part in self.chunks()
            ]
            ids = np.concatenate(changed)
            if len(ids):
                vectors = counted(len(ids), "vector has", "vectors have")
                wrong.append(f"{self._table}: {vectors} changed (first: {_named(ids)})")
        return wrong

    def refuse_stale(self) -> None:
        """Refuse to answer for a state whose rows the server no longer has.

        Raises:
            RunError: the index has changed twice since it was opened, or by a copy of the folder.
        """
        state, stamp = self.server.state(), self.about["stamp"]
        if stamp < state.oldest:
            raise RunError(
                f"{self._table} has changed more than once since this index was opened, or through "
                "another copy of its folder. Open it again; of two copies only one may change."
            )
        if stamp > state.committed and stamp != state.pending:
            raise RunError(
                f"{self._table} is older than this folder: it was taken back to an earlier state, "
                "or changed through another copy of the folder. Build the index again."
            )

    def _sought(
        self, columns: pa.Table, where: Sequence[str], allowed: np.ndarray | None
    ) -> Sought:
        there, here = [], []
        for text, condition in zip(where, read_conditions(columns, where), strict=True):
            if is_decided(condition, self.about["columns"]):
                there.append(condition)
            else:
                here.append(text)
        if here:
            mask = matching(columns, here)
            allowed = mask if allowed is None else mask & allowed
        return Sought(
            self.about["stamp"], tuple(there), None if allowed is None else self.ids[allowed]
        )

    def _score(self, query: np.ndarray, near: Near, top: int) -> Hits:
        order = np.argsort(near.ids)
        ids, vectors = near.ids[order], np.ascontiguousarray(near.vectors[order])
        rows = np.searchsorted(self.ids, ids)
        known = rows < len(self.ids)
        known[known] = self.ids[rows[known]] == ids[known]
        if not known.all():
            self.refuse_stale()
            raise DataError(
                f"{self._table} holds items that are not of this index (first: "
                f"{_named(ids[~known])}). Build the index again."
            )
        hits = nearest(query, Stored(vectors, "float32", self.width), top)
        return Hits(rows[hits.rows], hits.scores)

    def _lost(self, ids: np.ndarray) -> DataError:
        return DataError(
            f"{self._table} lacks {counted(len(ids), 'item')} (first: {_named(ids)}). "
            "Build the index again."
        )

    @property
    def _table(self) -> str:
        return f"{self.engine['name']} ({self.engine['server']}) {self.about['table']}"


def open_vectors(place: Path, manifest: Mapping[str, Any]) -> Vectors:
    """The vectors of a generation's folder, or those of the server that it names.

    Raises:
        DataError: a file that is missing or cut.
        RunError: a server that nobody has named, see `servers.refuse_unnamed`.
    """
    if manifest["engine"]["name"] in SERVERS:
        own = trust.is_sealed(manifest, KIND)
        refuse_unnamed(manifest["engine"], own=own, where=place.parents[1])
        return Remote.open(place, manifest)
    return Stored.open(place, manifest["storage"], manifest["width"])


def digests_of(vectors: np.ndarray) -> np.ndarray:
    """A checksum of each row: 8 bytes of BLAKE2b as uint64 ``(N,)``.

    >>> digests_of(np.zeros((2, 3), np.float32)).dtype
    dtype('uint64')
    """
    rows = np.ascontiguousarray(vectors, "<f4")
    sums = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return np.frombuffer(sums, "<u8").astype(np.uint64)


def kinds(columns: pa.Table) -> dict[str, str]:
    """The columns that a server can decide on: ``number`` or ``text`` by name; not the paths.

    >>> kinds(pa.table({"label": ["fox"], "year": [1], "seen": [True]}))
    {'label': 'text', 'year': 'number'}
    """
    found = {}
    for name in filter(_is_spoken, sorted({*columns.column_names} - {"path"})):
        values = columns[name]
        if pa.types.is_integer(values.type):
            found[name] = "number"
        elif pa.types.is_floating(values.type):
            found[name] = None if pc.any(pc.is_inf(values)).as_py() else "number"
        elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            # No server takes the character 0 in a text.
            found[name] = None if pc.any(pc.match_substring(values, "\0")).as_py() else "text"
    return {name: kind for name, kind in found.items() if kind is not None}


def is_decided(condition: Condition, columns: Mapping[str, str]) -> bool:
    """Whether a server that holds these columns decides a condition as `matching` does."""
    kind = columns.get(condition.column)
    if kind is None or not _is_spoken(condition.column) or condition.sign == "~":
        return False
    if condition.numbers is not None:
        return kind == "number" and bool(np.isfinite(condition.numbers).all())
    return kind == "text" and all(word.isprintable() for word in condition.words)


def _is_spoken(column: str) -> bool:
    """Whether every server has words for a column's name: Qdrant knows no way to write a quote."""
    return column.isprintable() and '"' not in column and "\\" not in column


def _named(ids: np.ndarray) -> str:
    return ", ".join(f"#{number}" for number in ids[:3].tolist())


def _stack(found: Sequence[Hits | None]) -> Hits:
    """One `Hits` of many queries, as wide as the longest."""
    width = max((hits.rows.shape[1] for hits in found if hits is not None), default=0)
    rows = np.full((len(found), width), -1, np.int64)
    scores = np.full((len(found), width), np.nan, np.float32)
    for i, hits in enumerate(found):
        if hits is not None:
            rows[i, : hits.rows.shape[1]] = hits.rows[0]
            scores[i, : hits.rows.shape[1]] = hits.scores[0]
    return Hits(rows, scores)
