"""Vectors in a server: whole at every moment, no password in the folder, errors that help."""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pandas as pd
import pytest

from lookalike.errors import ConfigError, DataError, LookalikeError, LookalikeWarning, RunError
from lookalike.search import Index
from lookalike.search.remote import server as servers
from lookalike.search.remote import writing
from lookalike.search.tuning import tune

VECTORS = np.eye(20, dtype=np.float32)
ITEMS = pd.DataFrame({"path": [f"{i}.jpg" for i in range(20)], "label": np.arange(20) % 3})
BOTH = pytest.mark.parametrize("engine", ["pgvector", "qdrant"])
pytestmark = pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode)")


@pytest.fixture
def build(tmp_path, engine, server):
    def build(rows=slice(None), name="ix", **options):
        overwrite = options.pop("overwrite", False)
        return Index.build(
            tmp_path / name, VECTORS[rows], ITEMS[rows], engine=engine, overwrite=overwrite,
            engine_options={"server": server, **options},
        )  # fmt: skip

    return build


def tables(index):
    """The names of what the server holds for any index of the folder."""
    made = json.loads((index.folder / "servers.json").read_text())
    return [one["table"] for one in made]


class Died(BaseException):
    """Stands for a process that is killed."""


STEPS = ("create", "write", "finish", "drop")


@pytest.fixture
def dying(monkeypatch, engine):
    """Let the writer die before or after its nth act in the server."""
    left: list[int] = []
    table = servers._module(engine).Table

    def watched(act):
        def watch(*args):
            for perform in (lambda: None, lambda: act(*args)):
                perform()
                if left:
                    left[0] -= 1
                    if left[0] == 0:
                        raise Died

        return watch

    for name in STEPS:
        monkeypatch.setattr(table, name, watched(getattr(table, name)))
    return left


@BOTH
def test_a_writer_that_dies_at_any_act_in_the_server_leaves_a_whole_index(build, dying):
    index = build(slice(0, 10))
    outcomes = []
    for step in range(1, 20):
        dying[:] = [step]
        try:
            Index.open(index.folder).change(add=(VECTORS[10:], ITEMS[10:]), remove=[3])
            died = False
        except Died:
            died = True
        dying.clear()
        now = Index.open(index.folder)
        assert now.verify() == []
        rows = [0, 1, 2, *range(4, 20)] if len(now) == 19 else range(10)
        np.testing.assert_array_equal(np.asarray(now.vectors), VECTORS[rows])
        assert now.search(VECTORS[[12]], 1, exact=True).scores[0, 0] == (len(now) == 19)
        outcomes.append(len(now))
        if len(now) == 19:
            index = build(slice(0, 10), overwrite=True)
        if not died:
            break
    # Before and after writing nothing has changed; before and after the last act all has.
    assert outcomes == [10, 10, 19, 19, 19]
    assert len(tables(index)) == 1


@BOTH
def test_a_build_that_dies_leaves_no_table_for_long(build, dying, engine, server):
    index = build(slice(0, 5))
    first = tables(index)
    for step in range(1, 7):
        dying[:] = [step]
        with pytest.raises(Died):
            build(slice(0, 8), overwrite=True)
        dying.clear()
        assert len(Index.open(index.folder)) == (5 if step < 5 else 8), step
    index = build(slice(0, 9), overwrite=True)
    (last,) = tables(index)
    assert last not in first
    with pytest.raises(DataError, match="no (table|collection)"):
        servers.open_server(index.engine, first[0]).state()
    local = Index.build(index.folder, VECTORS, ITEMS, overwrite=True)
    assert not (local.folder / "servers.json").exists()
    with pytest.raises(DataError, match="no (table|collection)"):
        servers.open_server(index.engine, last).state()


@pytest.mark.parametrize("engine", ["pgvector"])
def test_killed_at_every_step(build, engine):
    """The very process, before every third of its acts on a file."""
    build(slice(0, 9)).change(add=(VECTORS[10:], ITEMS[10:]), remove=[3])  # every module is loaded
    index = build(slice(0, 10), overwrite=True)
    acts = ("open", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree", "os.fsync")
    sizes = set()
    for step in range(1, 400, 3):
        child = os.fork()
        if child == 0:
            seen = 0

            def watch(event, args):
                nonlocal seen
                if event in acts:
                    seen += 1
                    if seen == step:  # noqa: B023 (of this child alone)
                        os.kill(os.getpid(), signal.SIGKILL)

            try:
                sys.addaudithook(watch)
                Index.open(index.folder).change(add=(VECTORS[10:], ITEMS[10:]), remove=[3])
            finally:
                os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        now = Index.open(index.folder)
        assert now.verify() == []
        sizes.add(len(now))
        if len(now) == 19:
            index = build(slice(0, 10), overwrite=True)
        if not killed:
            break
    else:
        pytest.fail("the writer never got to its end")
    assert sizes == {10, 19}


@BOTH
def test_two_copies_of_a_folder_do_not_mix(build, tmp_path):
    index = build(slice(0, 10))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in sorted(index.folder.rglob("*")):
        if path.is_file():
            (copy / path.relative_to(index.folder)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(index.folder)).write_bytes(path.read_bytes())
    old = Index.open(index.folder)
    changed = Index.open(copy).remove([2])
    assert old.search(VECTORS[[2]], 1).rows.tolist() == [[2]]  # as it was
    with pytest.raises(RunError, match="another copy"):
        old.remove([4])
    changed.remove([5])
    for act in (lambda: old.search(VECTORS[[2]], 1), old.verify):
        with pytest.raises(RunError, match="more than once"):
            act()


@pytest.mark.parametrize("engine", ["pgvector"])
def test_two_writers_are_kept_apart_wherever_they_run(build, monkeypatch):
    index = build(slice(0, 10))
    monkeypatch.setattr("lookalike.search.remote.pgvector._PATIENCE", 0.1)
    (table,) = tables(index)
    with servers.open_server(index.engine, table).writing():
        with pytest.raises(RunError, match="another process is writing"):
            index.remove([1])
    assert len(index.remove([1])) == 9


@pytest.mark.parametrize("engine", ["pgvector"])
def test_the_password_stays_out_of_the_folder(build, tmp_path, server, monkeypatch):
    name = server.replace("postgres:@", "postgres:s3cret@")
    index = Index.build(
        tmp_path / "ix", VECTORS, ITEMS, engine="pgvector", engine_options={"server": name}
    )
    for path in index.folder.rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes()
    assert "user=postgres" in index.engine["server"]
    # The variable stands in for the address, password and all.
    monkeypatch.setenv("LOOKALIKE_PGVECTOR", "postgresql://ann:s3cret@127.0.0.1:1/birds")
    with pytest.raises(RunError, match="LOOKALIKE_PGVECTOR") as caught:
        index.search(VECTORS[:1])
    assert "s3cret" not in str(caught.value)
    monkeypatch.setenv("LOOKALIKE_PGVECTOR", name)
    assert index.search(VECTORS[:1], 1).rows.tolist() == [[0]]
    built = Index.build(tmp_path / "iy", VECTORS, ITEMS, engine="pgvector")
    assert built.search(VECTORS[:1], 1).rows.tolist() == [[0]]
    monkeypatch.setenv("LOOKALIKE_PGVECTOR", "postgresql://ann:s3cret@[")
    with pytest.raises(ConfigError) as caught:
        index.search(VECTORS[:1])
    assert "s3cret" not in str(caught.value)


@BOTH
def test_what_is_not_as_it_was_is_said(build, engine, server, tmp_path):
    index = build()
    (table,) = tables(index)
    inner = servers.open_server(index.engine, table)
    stamp = index.manifest["server"]["stamp"]
    inner.undo(stamp)  # as if the server had lost it
    (lacks,) = index.verify()
    assert "lacks 20 items (first: #0, #1, #2)" in lacks
    with pytest.raises(DataError, match="lacks 20 items"):
        np.asarray(index.vectors)
    moved = np.roll(VECTORS, 1, axis=0)
    inner.write(servers.Change(stamp, index.ids, moved, ["x"] * 20, [{}] * 20))
    inner.finish(stamp, 0)
    (changed,) = index.verify()
    assert "20 vectors have changed" in changed
    inner.drop()
    with pytest.raises(DataError, match="no (table|collection) lookalike_.* of this index"):
        index.search(VECTORS[:1])


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        ("pgvector", {"server": "postgresql://ann@127.0.0.1:1/birds"}, "Cannot reach PostgreSQL"),
        ("qdrant", {"server": "http://127.0.0.1:1"}, "Cannot reach Qdrant"),
        ("pgvector", {"server": "mysql://a b"}, "not an address of PostgreSQL"),
        ("qdrant", {"server": "localhost"}, "write http://HOST:6333"),
        ("qdrant", {"server": "http://ann:s3cret@localhost"}, "QDRANT_API_KEY"),
        ("pgvector", {}, "LOOKALIKE_PGVECTOR"),
        ("qdrant", {"server": "http://127.0.0.1:1", "index": "hsnw"}, "exact or hnsw"),
        ("pgvector", {"server": "dbname=a", "index": "hnsw", "links": "many"}, "whole number"),
        ("pgvector", {"server": "dbname=a", "links": 3}, "no option 'links'"),
        ("exact", {"server": "dbname=a"}, "no option 'server'"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, engine, options, words):
    pytest.importorskip("psycopg" if engine == "pgvector" else "qdrant_client")
    with pytest.raises(LookalikeError, match=words) as caught:
        Index.build(tmp_path / "ix", VECTORS, ITEMS, engine=engine, engine_options=options)
    assert "s3cret" not in str(caught.value)
    assert not (tmp_path / "ix").exists()


@pytest.mark.parametrize("engine", ["pgvector"])
def test_other_storages_wide_graphs_and_moves_are_refused(build, tmp_path, server):
    given = {"engine": "pgvector", "engine_options": {"server": server}}
    with pytest.raises(ConfigError, match="float32 alone"):
        Index.build(tmp_path / "a", VECTORS, ITEMS, storage="int8", **given)
    wide = np.zeros((20, 2048), np.float32)
    given["engine_options"] = {"server": server, "index": "hnsw"}
    with pytest.raises(ConfigError, match="at most 2,000"):
        Index.build(tmp_path / "a", wide, ITEMS, **given)
    index = build()
    for other in (index, Index.build(tmp_path / "local", VECTORS, ITEMS)):
        moved = {"name": "exact"} if other is index else index.engine
        with pytest.raises(ConfigError, match="not moved"):
            other.use(moved)


@BOTH
def test_a_missing_package_is_named(engine, monkeypatch, tmp_path):
    package = {"pgvector": "psycopg", "qdrant": "qdrant_client"}[engine]
    for name in list(sys.modules):
        ours = ("pgvector", "postgresql", "qdrant")
        if name.split(".")[0] == package or name in {f"lookalike.search.remote.{n}" for n in ours}:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"lookalike\[{engine}\]"):
        Index.build(
            tmp_path / "ix", VECTORS, ITEMS, engine=engine, engine_options={"server": "http://a"}
        )


@pytest.mark.parametrize("engine", ["pgvector"])
def test_a_graph_is_made_measured_and_given_up(build):
    index = build(index="hnsw", links=4)
    curve, best = tune(index, recall=0.5, top=3, queries=8)
    assert [point.spec["index"] for point in curve] == ["exact", *["hnsw"] * 6]
    assert best in curve
    exact = index.use(curve[0].spec)
    assert exact.engine == {k: index.engine[k] for k in ("name", "server")} | {"index": "exact"}
    assert exact.search(VECTORS[[4]], 1).rows.tolist() == [[4]]
    again = exact.use(curve[-1].spec)
    assert again.search(VECTORS[[4]], 1).rows.tolist() == [[4]]
    assert again.verify() == []


@pytest.mark.parametrize("engine", ["pgvector"])
def test_a_server_that_goes_away_at_the_last_step_is_told_later(build, monkeypatch):
    index = build(slice(0, 10))
    table = servers._module("pgvector").Table

    def away(self, stamp, before):
        raise RunError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(table, "finish", away)
        with pytest.warns(LookalikeWarning, match="could not be told"):
            index = index.add(VECTORS[10:12], ITEMS[10:12])
    assert index.search(VECTORS[[11]], 1).rows.tolist() == [[11]]
    index = index.remove([0])
    assert index.verify() == []
    with monkeypatch.context() as patch:
        patch.setattr(table, "drop", lambda self: away(self, 0, 0))
        with pytest.warns(LookalikeWarning, match="could not be dropped"):
            Index.build(index.folder, VECTORS, ITEMS, overwrite=True)
    writing.drop_forgotten(index.folder)
    assert not (index.folder / "servers.json").exists()


def test_a_server_without_pgvector_is_told_how_to_get_it(postgres, tmp_path):
    import psycopg
    from psycopg.conninfo import make_conninfo

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare")
        connection.execute("CREATE ROLE ann LOGIN")
    with psycopg.connect(make_conninfo(postgres, dbname="bare"), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA without")
        connection.execute("GRANT USAGE ON SCHEMA without TO ann")
        connection.execute(
            "CREATE VIEW without.pg_available_extensions AS SELECT 'plpgsql' AS name"
        )
        connection.execute("GRANT SELECT ON without.pg_available_extensions TO ann")
    for options, words in (
        ("", "Let an administrator run CREATE EXTENSION vector"),
        ("-csearch_path=without,pg_catalog", "has no pgvector. Install it"),
    ):
        address = make_conninfo(postgres, dbname="bare", user="ann", options=options)
        with pytest.raises(RunError, match=words):
            Index.build(
                tmp_path / "ix", VECTORS, ITEMS, engine="pgvector",
                engine_options={"server": address},
            )  # fmt: skip
        assert not (tmp_path / "ix").exists()


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_qdrant_is_sent_its_key_and_what_it_refuses_is_said(tmp_path, monkeypatch):
    pytest.importorskip("qdrant_client", reason="pip install 'lookalike[qdrant]'")
    keys = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            keys.append(self.headers["api-key"])
            self.send_response(404 if "lookalike_" in self.path else 401)
            self.end_headers()

        do_POST = do_GET  # noqa: N815 (the name that http.server asks for)

        def log_message(self, *args):
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=web.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("QDRANT_API_KEY", "s3cret")
        address = f"http://127.0.0.1:{web.server_port}"
        with pytest.raises(RunError, match=r"refuses: 401 .*Set \$QDRANT_API_KEY") as caught:
            Index.build(
                tmp_path / "ix", VECTORS, ITEMS, engine="qdrant",
                engine_options={"server": address},
            )  # fmt: skip
        assert "s3cret" not in str(caught.value)
        spec = {"name": "qdrant", "server": address, "index": "exact"}
        with pytest.raises(DataError, match="no collection lookalike_1 of this index"):
            servers.open_server(spec, "lookalike_1").state()
        assert keys == ["s3cret", "s3cret"]
    finally:
        web.shutdown()
        web.server_close()
