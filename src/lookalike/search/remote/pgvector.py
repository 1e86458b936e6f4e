"""The engine ``pgvector``: vectors in a table of PostgreSQL, exactly compared or by a graph.

A change is one transaction, what a search sees is one state of the table (see `servers`), and the
table's comment says how far the writers have come.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import psycopg
from psycopg import sql

from lookalike import documents, trust
from lookalike.errors import ConfigError, DataError, RunError, counted
from lookalike.search.remote.pgvector_filters import expression, where
from lookalike.search.remote.postgresql import ADDRESS, connect, connected, public_address
from lookalike.search.remote.server import (
    FOREVER,
    Change,
    Near,
    Sought,
    State,
    bears_mark,
    mark_of,
    refuse_to_drop,
)

__all__ = ["Table", "public_address", "refuse_width"]

_WIDEST = {"exact": 16_000, "hnsw": 2_000}  # what pgvector's type and its graphs hold
_MOST = 1_000  # pgvector's limit of hnsw.ef_search
_PATIENCE = 5  # seconds that a writer waits for another
_ANSWER = 1 << 24  # numbers that one answer may hold: 64 MB
_FIRST = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_LAST = struct.pack(">h", -1)


def refuse_width(width: int, index: str) -> None:
    """Refuse vectors that pgvector cannot hold.

    Raises:
        ConfigError: says how wide they may be.
    """
    if width > _WIDEST[index]:
        remedy = "Use index=exact, or a narrower model." if index == "hnsw" else "Use another."
        raise ConfigError(
            f"engine pgvector: index={index} takes vectors of at most"
            f" {counted(_WIDEST[index], 'number')}; "
            f"these have {width:,}. {remedy}"
        )


class Comment(documents.Document):
    """A table's comment: how far the writers have come, and whose it is."""

    of: Literal["lookalike"]
    committed: documents.Count
    oldest: documents.Count
    pending: documents.Count | None
    graph: list[int] | None = None


class Table:
    """An index's table. See `servers.Server` for the methods.

    Args:
        engine: the spec.
        table: its name.
    """

    def __init__(self, engine: Mapping[str, Any], table: str) -> None:
        self.engine, self.name = engine, table
        self.table = sql.Identifier(table)
        self._graph = sql.Identifier(f"{table}_hnsw")

    def check(self) -> None:
        """See `Server.check`."""
        with self._connection() as connection:
            if _installed(connection):
                return
            offered = connection.execute(
                "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
            ).fetchone()
            if offered is None:
                raise RunError(
                    f"{self._server} has no pgvector. Install it on that machine "
                    "(github.com/pgvector/pgvector), then run the command again."
                )
            try:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            except psycopg.errors.InsufficientPrivilege as error:
                raise RunError(
                    f"{self._server} may not make the extension vector. Let an administrator run "
                    "CREATE EXTENSION vector in this database."
                ) from error

    def create(self, width: int, columns: Mapping[str, str], indexed: Sequence[str]) -> None:
        """See `Server.create`."""
        self.check()
        with self._connection() as connection, connection.transaction():
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} (id bigint PRIMARY KEY, born bigint NOT NULL, "
                    "died bigint NOT NULL, path text NOT NULL, columns jsonb NOT NULL, "
                    "vector vector({}) NOT NULL)"
                ).format(self.table, sql.Literal(width))
            )
            connection.execute(
                sql.SQL("CREATE INDEX ON {} (died) WHERE died < {}").format(
                    self.table, sql.Literal(FOREVER)
                )
            )
            for column in indexed:
                if column in columns:
                    cell = expression(sql.Literal(column), columns[column] == "number")
                    connection.execute(
                        sql.SQL("CREATE INDEX ON {} (({}))").format(self.table, cell)
                    )
            said = {"committed": 0, "pending": None, "oldest": 0, "graph": None}
            self._say(connection, said | {trust.MARK: mark_of(self.engine, self.name)})

    def drop(self) -> None:
        """See `Server.drop`."""
        with self._connection() as connection:
            there = "SELECT to_regclass(quote_ident(%s))::text"
            if _one(connection.execute(there, (self.name,))) is not None:
                refuse_to_drop(self.engine, self.name, self._comment(connection))
                connection.execute(sql.SQL("DROP TABLE {}").format(self.table))

    def adopt(self) -> None:
        """See `Server.adopt`."""
        with self._connection() as connection, connection.transaction():
            said = self._said(connection) | {trust.MARK: mark_of(self.engine, self.name)}
            self._say(connection, said)

    def is_own(self) -> bool:
        """See `Server.is_own`."""
        with self._connection() as connection:
            return bears_mark(self.engine, self.name, self._said(connection))

    def state(self) -> State:
        """See `Server.state`."""
        with self._connection() as connection:
            said = self._said(connection)
        return State(said["committed"], said["pending"], said["oldest"])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `Server.writing`: a lock that ends with the connection, also of a killed process."""
        connection = connect(self.engine["server"])
        try:
            # The server may take a moment to see that a process was killed.
            patience = f"{1000 * _PATIENCE:.0f}ms"
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (patience,))
            connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (self.name,))
        except psycopg.Error as error:
            connection.close()
            if not isinstance(error, psycopg.errors.LockNotAvailable):
                raise RunError(f"{self._server}: {error}") from error
            raise RunError(
                f"{self._server}: another process is writing to {self.name}. Wait until it is done."
            ) from error
        try:
            yield
        finally:
            connection.close()

    def write(self, change: Change) -> None:
        """See `Server.write`."""
        with self._connection() as connection, connection.transaction():
            self._say(connection, self._said(connection) | {"pending": change.stamp})
            if len(change.ids):
                copy = sql.SQL(
                    "COPY {} (id, born, died, path, columns, vector) FROM STDIN (FORMAT BINARY)"
                ).format(self.table)
                with connection.cursor() as cursor, cursor.copy(copy) as stream:
                    stream.write(_FIRST)
                    for row in _rows(change):
                        stream.write(row)
                    stream.write(_LAST)
            if len(change.gone):
                connection.execute(
                    sql.SQL("UPDATE {} SET died = %s WHERE id = ANY(%s)").format(self.table),
                    (change.stamp, change.gone.tolist()),
                )
            self._keep_graph(connection)
            connection.execute(sql.SQL("ANALYZE {}").format(self.table))

    def finish(self, stamp: int, before: int) -> None:
        """See `Server.finish`."""
        with self._connection() as connection, connection.transaction():
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE died <= {}").format(self.table, sql.Literal(before))
            )
            said = {"committed": stamp, "pending": None, "oldest": before}
            self._say(connection, self._said(connection) | said)

    def undo(self, stamp: int) -> None:
        """See `Server.undo`."""
        with self._connection() as connection, connection.transaction():
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE born = %s").format(self.table), (stamp,)
            )
            connection.execute(
                sql.SQL("UPDATE {} SET died = {} WHERE died = {}").format(
                    self.table, sql.Literal(FOREVER), sql.Literal(stamp)
                )
            )
            self._say(connection, self._said(connection) | {"pending": None})

    def fetch(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Server.fetch`."""
        query = sql.SQL("SELECT id, vector_send(vector) FROM {} WHERE id = ANY(%s)")
        with self._connection() as connection:
            cursor = connection.execute(query.format(self.table), (ids.tolist(),), binary=True)
            rows = cursor.fetchall()
        return np.array([row[0] for row in rows], np.int64), _vectors([row[1] for row in rows])

    def ids(self, stamp: int) -> np.ndarray:
        """See `Server.ids`."""
        met, values = where(Sought(stamp))
        query = sql.SQL("SELECT id FROM {} t WHERE {} ORDER BY id").format(self.table, met)
        with self._connection() as connection:
            rows = connection.execute(query, values, binary=True).fetchall()
        return np.array([row[0] for row in rows], np.int64)

    def near(
        self, queries: np.ndarray, count: int, sought: Sought, search: int | None
    ) -> list[Near]:
        """See `Server.near`. A graph gives at most 1,000; beyond that all is compared."""
        graph = search is not None and count <= _MOST
        # Added to zero, the distance is not an order of the graph, so that every row is compared.
        order = "t.vector <#> q.vector" if graph else "(t.vector <#> q.vector) + 0, t.id"
        met, values = where(sought)
        query = sql.SQL(
            "SELECT q.n, c.id, c.score, vector_send(c.vector) "
            "FROM unnest(%(queries)s::vector[]) WITH ORDINALITY q(vector, n), LATERAL ("
            "SELECT t.id, t.vector, -(t.vector <#> q.vector) AS score FROM {} t WHERE {} "
            "ORDER BY {} LIMIT %(count)s) c"
        ).format(self.table, met, sql.SQL(order))
        step = max(1, _ANSWER // (count * queries.shape[1]))
        found: list[Near] = []
        with self._connection() as connection:
            for start in range(0, len(queries), step):
                part = queries[start : start + step]
                given = {"queries": [str(q.tolist()) for q in part], "count": count, **values}
                with connection.transaction():
                    if graph:
                        effort = str(min(_MOST, max(search or 0, count)))
                        connection.execute(
                            "SELECT set_config('hnsw.ef_search', %s, true)", (effort,)
                        )
                    rows = connection.execute(query, given, binary=True).fetchall()
                found += _by_query(rows, len(part), queries.shape[1])
        return found

    @property
    def _server(self) -> str:
        return f"PostgreSQL ({self.engine['server']})"

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        with connected(self.engine["server"]) as connection:
            try:
                yield connection
            except psycopg.errors.UndefinedTable as error:
                raise self._absent() from error

    def _said(self, connection: psycopg.Connection) -> dict[str, Any]:
        """What the table says of itself."""
        said = self._comment(connection)
        if not said:
            raise self._absent()
        return said

    def _comment(self, connection: psycopg.Connection) -> dict[str, Any]:
        """What lookalike wrote into the table's comment; nothing in a table of somebody else's."""
        query = "SELECT obj_description(to_regclass(quote_ident(%s)), 'pg_class')"
        try:
            said = json.loads(_one(connection.execute(query, (self.name,))) or "null")
            documents.check(said, Comment, self.name)
        except (ValueError, RecursionError, DataError):
            return {}
        return said

    def _say(self, connection: psycopg.Connection, said: Mapping[str, Any]) -> None:
        words = sql.Literal(json.dumps({"of": "lookalike", **said}))
        connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(self.table, words))

    def _absent(self) -> DataError:
        return DataError(
            f"{self._server} has no table {self.name} of this index. If the server has moved, set "
            f"${ADDRESS} to its address; else build the index again."
        )

    def _keep_graph(self, connection: psycopg.Connection) -> None:
        """Make the graph that the spec asks for, or drop the one that it no longer does."""
        said = self._said(connection)
        wanted = None
        if self.engine["index"] == "hnsw":
            wanted = [self.engine["links"], self.engine["construction"]]
        if said["graph"] == wanted:
            return
        connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(self._graph))
        if wanted is not None:
            connection.execute(
                sql.SQL(
                    "CREATE INDEX {} ON {} USING hnsw (vector vector_ip_ops) "
                    "WITH (m = {}, ef_construction = {})"
                ).format(self._graph, self.table, *map(sql.Literal, wanted))
            )
        self._say(connection, said | {"graph": wanted})


def _one(cursor: psycopg.Cursor) -> Any:
    row = cursor.fetchone()
    return None if row is None else row[0]


def _installed(connection: psycopg.Connection) -> bool:
    return _one(connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'")) == 1


def _rows(change: Change) -> Iterator[bytes]:
    """The rows of COPY's binary form."""
    count, width = change.vectors.shape
    packed = np.empty(count, [("head", ">i2", 2), ("numbers", ">f4", width)])
    packed["head"], packed["numbers"] = (width, 0), change.vectors
    size = packed.dtype.itemsize
    for i in range(count):
        path = change.paths[i].encode("utf-8", "backslashreplace").replace(b"\0", b"")
        words = b"\x01" + json.dumps(change.columns[i], ensure_ascii=False).encode("utf-8")
        yield b"".join(
            (
                struct.pack(
                    ">hiqiqiq", 6, 8, int(change.ids[i]), 8, change.stamp, 8, FOREVER
                ),
                struct.pack(">i", len(path)),
                path,
                struct.pack(">i", len(words)),
                words,
                struct.pack(">i", size),
                packed[i].tobytes(),
            )
        )  # fmt: skip


def _vectors(sent: Sequence[bytes]) -> np.ndarray:
    """float32 ``(n, D)`` of what ``vector_send`` gives."""
    if not sent:
        return np.empty((0, 0), np.float32)
    width = (len(sent[0]) - 4) // 4
    packed = np.frombuffer(b"".join(sent), [("head", ">i2", 2), ("numbers", ">f4", width)])
    return packed["numbers"].astype(np.float32)


def _by_query(rows: Sequence[tuple], count: int, width: int) -> list[Near]:
    mine: list[list[tuple]] = [[] for _ in range(count)]
    for row in rows:
        mine[row[0] - 1].append(row)
    return [
        Near(
            np.array([row[1] for row in some], np.int64),
            _vectors([row[3] for row in some]).reshape(len(some), width),
            min((row[2] for row in some), default=-np.inf),
        )
        for some in mine
    ]
