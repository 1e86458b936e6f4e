"""The engine ``qdrant``: vectors in a collection of Qdrant, exactly compared or by its graph.

Qdrant has no transactions: what makes a change whole is that a search asks for the points of one
state (see `servers`). One point that no search can find says how far the writers have come.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from lookalike import documents, trust
from lookalike.errors import ConfigError, DataError, Unreachable, counted
from lookalike.search.filters import Condition
from lookalike.search.remote.server import (
    ADDRESSES,
    FOREVER,
    Change,
    Near,
    Sought,
    State,
    bears_mark,
    mark_of,
    refuse_to_drop,
)

KEY = "QDRANT_API_KEY"
_ABOUT = 2**63 - 1  # the point that holds the state
_WIDEST = 65_536
_SENT = 1 << 19  # numbers of one request: some 10 MB as JSON, of the 32 that Qdrant takes
_ANSWER = 1 << 22  # numbers of one answer
_MANY = 10_000  # ids of one request

_clients: dict[tuple[int, str], QdrantClient] = {}  # by process and address


def public_address(address: str) -> str:
    """An address that may be written down.

    Raises:
        ConfigError: it is not an address of a server, or holds a password.

    >>> public_address("http://localhost:6333/")
    'http://localhost:6333'
    """
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise ConfigError(f"--server: this is not an address ({error}).") from error
    if parts.username or parts.password or parts.query:
        raise ConfigError(f"--server: leave the key out of the address; set ${KEY} to it.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"--server {address}: write http://HOST:6333 or https://HOST:6333.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def refuse_width(width: int, index: str) -> None:
    """Refuse vectors that Qdrant cannot hold, whatever the index.

    Raises:
        ConfigError: says how wide they may be.
    """
    if width > _WIDEST:
        raise ConfigError(
            f"engine qdrant: index={index} takes vectors of at most {counted(_WIDEST, 'number')};"
            " these "
            f"have {width:,}. Use another."
        )


def client(address: str) -> QdrantClient:
    """This process's client of a server; where the address names no port, 6333 is meant."""
    key = os.getpid(), address
    if key not in _clients:
        _clients[key] = QdrantClient(
            url=address,
            api_key=os.environ.get(KEY),
            timeout=60,
            check_compatibility=False,
        )
    return _clients[key]


class About(documents.Document):
    """The point that says how far the writers have come, and whose the collection is."""

    of: Literal["lookalike"]
    committed: documents.Count
    pending: documents.Count
    oldest: documents.Count


class Table:
    """An index's collection. See `servers.Server` for the methods.

    Args:
        engine: the spec.
        table: the collection's name.
    """

    def __init__(self, engine: Mapping[str, Any], table: str) -> None:
        self.engine, self.name = engine, table

    def check(self) -> None:
        """See `Server.check`."""
        with self._client() as server:
            server.get_collections()

    def create(self, width: int, columns: Mapping[str, str], indexed: Sequence[str]) -> None:
        """See `Server.create`."""
        with self._client() as server:
            server.create_collection(
                self.name,
                vectors_config=models.VectorParams(size=width, distance=models.Distance.DOT),
                hnsw_config=self._graph(),
            )
            for name in ("born", "died"):
                server.create_payload_index(self.name, name, models.PayloadSchemaType.INTEGER)
            kinds = {
                "number": models.PayloadSchemaType.FLOAT,
                "text": models.PayloadSchemaType.KEYWORD,
            }
            for column in indexed:
                if column in columns:
                    server.create_payload_index(self.name, _key(column), kinds[columns[column]])
            said = {"of": "lookalike", "committed": 0, "pending": 0, "oldest": 0}
            said[trust.MARK] = mark_of(self.engine, self.name) or ""
            point = models.PointStruct(id=_ABOUT, vector=[0.0] * width, payload=said)
            server.upsert(self.name, [point], wait=True)

    def drop(self) -> None:
        """See `Server.drop`."""
        with self._client() as server:
            if not server.collection_exists(self.name):
                return
            # A process that was killed while it made the collection may have left it empty.
            said = self._payload(server)
            if said or server.count(self.name).count:
                refuse_to_drop(self.engine, self.name, said)
            server.delete_collection(self.name)

    def adopt(self) -> None:
        """See `Server.adopt`."""
        self.state()
        with self._client() as server:
            mark = {trust.MARK: mark_of(self.engine, self.name) or ""}
            server.set_payload(self.name, mark, points=[_ABOUT], wait=True)

    def is_own(self) -> bool:
        """See `Server.is_own`."""
        with self._client() as server:
            return bears_mark(self.engine, self.name, self._payload(server))

    def state(self) -> State:
        """See `Server.state`."""
        with self._client() as server:
            said = self._payload(server)
        if not said:
            raise self._absent()
        return State(said["committed"], said["pending"] or None, said["oldest"])

    def writing(self) -> nullcontext[None]:
        """See `Server.writing`: Qdrant has no locks; the folder's own keeps two writers apart."""
        return nullcontext()

    def write(self, change: Change) -> None:
        """See `Server.write`."""
        with self._client() as server:
            self._say(server, pending=change.stamp)
            step = max(1, _SENT // max(1, change.vectors.shape[1]))
            for start in range(0, len(change.ids), step):
                part = range(start, min(start + step, len(change.ids)))
                points = [
                    models.PointStruct(
                        id=int(change.ids[i]),
                        vector=change.vectors[i].tolist(),
                        payload={
                            "born": change.stamp,
                            "died": FOREVER,
                            "path": change.paths[i].encode("utf-8", "backslashreplace").decode(),
                            "columns": dict(change.columns[i]),
                        },
                    )
                    for i in part
                ]
                server.upsert(self.name, points, wait=True)
            for start in range(0, len(change.gone), _MANY):
                gone = change.gone[start : start + _MANY].tolist()
                server.set_payload(self.name, {"died": change.stamp}, points=gone, wait=True)
            server.update_collection(self.name, hnsw_config=self._graph())

    def finish(self, stamp: int, before: int) -> None:
        """See `Server.finish`."""
        with self._client() as server:
            # First the word, then the deed: a reader of an older state must not miss points.
            self._say(server, committed=stamp, pending=0, oldest=before)
            server.delete(self.name, _points(_span("died", lte=before)), wait=True)

    def undo(self, stamp: int) -> None:
        """See `Server.undo`."""
        with self._client() as server:
            born, died = (_span(name, gte=stamp, lte=stamp) for name in ("born", "died"))
            server.delete(self.name, _points(born), wait=True)
            server.set_payload(self.name, {"died": FOREVER}, points=_filter([died]), wait=True)
            self._say(server, pending=0)

    def fetch(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Server.fetch`."""
        with self._client() as server:
            found = server.retrieve(
                self.name, ids.tolist(), with_payload=False, with_vectors=True
            )  # fmt: skip
        return _arrays(found)

    def ids(self, stamp: int) -> np.ndarray:
        """See `Server.ids`."""
        found: list[int] = []
        offset: Any = None
        with self._client() as server:
            while True:
                points, offset = server.scroll(
                    self.name,
                    scroll_filter=_wanted(Sought(stamp)),
                    limit=_MANY,
                    offset=offset,
                    with_payload=False,
                )
                found += [int(point.id) for point in points]
                if offset is None:
                    return np.sort(np.array(found, np.int64))

    def near(
        self, queries: np.ndarray, count: int, sought: Sought, search: int | None
    ) -> list[Near]:
        """See `Server.near`."""
        effort = None if search is None else max(search, count)
        params = models.SearchParams(exact=search is None, hnsw_ef=effort)
        wanted = _wanted(sought)
        step = max(1, _ANSWER // (count * queries.shape[1]))
        found = []
        with self._client() as server:
            for start in range(0, len(queries), step):
                requests = [
                    models.QueryRequest(
                        query=query.tolist(),
                        filter=wanted,
                        params=params,
                        limit=count,
                        with_vector=True,
                    )
                    for query in queries[start : start + step]
                ]
                for answer in server.query_batch_points(self.name, requests):
                    lowest = min((point.score for point in answer.points), default=-np.inf)
                    found.append(Near(*_arrays(answer.points), lowest))
        return found

    def _payload(self, server: QdrantClient) -> dict[str, Any]:
        """What lookalike wrote into the collection; nothing in one of somebody else's."""
        found = server.retrieve(self.name, [_ABOUT], with_payload=True)
        said = (found[0].payload if found else None) or {}
        try:
            documents.check(said, About, self.name)
        except DataError:
            return {}
        return said

    def _graph(self) -> models.HnswConfigDiff:
        if self.engine["index"] == "exact":
            return models.HnswConfigDiff(m=0)
        return models.HnswConfigDiff(
            m=self.engine["links"], ef_construct=self.engine["construction"]
        )

    def _say(self, server: QdrantClient, **said: int) -> None:
        # No value is None, which some would read as "not there"; nothing pending is 0.
        server.set_payload(self.name, said, points=[_ABOUT], wait=True)

    def _absent(self) -> DataError:
        return DataError(
            f"Qdrant ({self.engine['server']}) has no collection {self.name} of this index. If the "
            f"server has moved, set ${ADDRESSES['qdrant']} to its address; else build the index "
            "again."
        )

    @contextmanager
    def _client(self) -> Iterator[QdrantClient]:
        address = os.environ.get(ADDRESSES["qdrant"]) or self.engine["server"]
        try:
            yield client(public_address(address))
        except UnexpectedResponse as error:
            if error.status_code == 404:
                raise self._absent() from error
            hint = f" Set ${KEY}." if error.status_code in (401, 403) else ""
            raise Unreachable(
                f"Qdrant ({address}) refuses: {error.status_code} {error.reason_phrase}.{hint}"
            ) from error
        except (ApiException, QdrantException) as error:
            raise Unreachable(
                f"Cannot reach Qdrant ({address}): {error}. Start it, or set "
                f"${ADDRESSES['qdrant']} to its address."
            ) from error
        except ValueError as error:  # of the client's local mode
            if f"{self.name} not found" not in str(error):
                raise
            raise self._absent() from error


def _key(column: str) -> str:
    """A column's place in the payload; quoted, since dots and brackets lead further down."""
    return f'columns."{column}"'


def _span(name: str, **bounds: float) -> models.FieldCondition:
    return models.FieldCondition(key=name, range=models.Range(**bounds))


def _filter(must: list[Any], must_not: list[Any] | None = None) -> models.Filter:
    return models.Filter(must=must, must_not=must_not)


def _points(condition: models.FieldCondition) -> models.FilterSelector:
    return models.FilterSelector(filter=_filter([condition]))


def _wanted(sought: Sought) -> models.Filter:
    must: list[Any] = [_span("born", lte=sought.stamp), _span("died", gt=sought.stamp)]
    must_not: list[Any] = []
    for condition in sought.conditions:
        (must_not if condition.sign == "!=" else must).append(_met(condition))
    if sought.ids is not None:
        must.append(models.HasIdCondition(has_id=sought.ids.tolist()))
    return _filter(must, must_not)


def _met(condition: Condition) -> Any:
    key = _key(condition.column)
    if condition.numbers is None:
        return models.FieldCondition(key=key, match=models.MatchAny(any=list(condition.words)))
    if condition.sign in ("=", "!="):
        return models.Filter(should=[_span(key, gte=n, lte=n) for n in condition.numbers])
    bound = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}[condition.sign]
    return _span(key, **{bound: condition.numbers[0]})


def _arrays(points: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and vectors of points."""
    ids = np.array([point.id for point in points], np.int64)
    return ids, np.array([point.vector for point in points], np.float32)
