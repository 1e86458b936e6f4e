"""Servers that files name: whom is asked, what is dropped, and filters over odd names."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.search.conftest import postgres, qdrant, server  # noqa: F401 (fixtures)

from lookalike import trust
from lookalike.errors import LookalikeWarning, RunError
from lookalike.search.index import Index
from lookalike.search.remote import writing
from lookalike.search.remote.server import ADDRESSES, open_server

BOTH = pytest.mark.parametrize("engine", ["pgvector", "qdrant"])
pytestmark = pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode)")
ODD = [
    "%s", "%(stamp)s", "cover %", "%%", "it's", 'a"b', "back\\slash", "semi; DROP TABLE x --",
    "{}", "{0}", "a.b[0]", "$1", ":x", "ünï çødé", "null", "columns", "born", "new\nline",
]  # fmt: skip
WORDS = ["fox", "Owl", "", "%", "'", '"', "a\\b", "${x}", "{}", "1"]


@pytest.fixture
def made(tmp_path, engine, server, vectors, monkeypatch):  # noqa: F811
    monkeypatch.delenv(ADDRESSES[engine], raising=False)
    x, items = vectors
    return Index.build(tmp_path / "ix", x, items, engine=engine, engine_options={"server": server})


@BOTH
def test_a_server_that_only_a_file_names_is_not_asked(made, engine, elsewhere, monkeypatch):
    monkeypatch.setattr(trust._said, "servers", set())
    address = made.engine["server"]
    monkeypatch.setattr(
        "lookalike.search.remote.server.open_server",
        lambda *_: pytest.fail("the server was asked"),
    )
    with pytest.raises(RunError, match="before you name it.*--server"):
        Index.open(made.folder)
    monkeypatch.undo()
    with trust.trusting(servers=[address]):
        assert len(Index.open(made.folder).search(np.eye(8, dtype="f4")[:1]).rows[0]) == 10


@BOTH
def test_an_index_of_somebody_else_is_not_changed_before_it_is_adopted(
    made, engine, elsewhere, vectors
):
    x, items = vectors
    with trust.trusting(servers=[made.engine["server"]]):
        index = Index.open(made.folder)
        with pytest.raises(RunError, match="lookalike index adopt"):
            index.add(x[:1], items[:1].assign(path="new.jpg"))
        writing.adopt(made.folder)
    index = Index.open(made.folder)
    assert index.is_own and index.vectors.server.is_own()
    assert len(index.add(x[:1], items[:1].assign(path="new.jpg"))) == 41


@BOTH
def test_only_a_table_that_bears_the_mark_is_dropped(made, engine, server, tmp_path):  # noqa: F811
    """`build --overwrite` of a folder whose servers.json names a table of mine, or a stranger's."""
    table = made.manifest["server"]["table"]
    theirs = tmp_path / "theirs"
    x, items = np.eye(3, dtype="f4"), pd.DataFrame({"path": ["a", "b", "c"]})
    Index.build(theirs, x, items)
    other = open_server(made.engine, f"customers_{engine}")
    other.create(3, {}, [])
    _unmarked(other, engine)
    for name in (table, other.name):
        entry = [{"engine": made.engine, "table": name}]
        (theirs / "servers.json").write_text(json.dumps(entry))
        # The server is named by this very command; still neither is dropped, or only its own.
        if name == other.name:
            with pytest.warns(LookalikeWarning, match="does not bear the mark"):
                Index.build(theirs, x, items, overwrite=True)
            assert json.loads((theirs / "servers.json").read_text()) == entry
            other.state()
    assert made.vectors.verify() == [] or engine == "pgvector"


def _unmarked(table, engine):
    """As an older lookalike, or another person, made it."""
    if engine == "pgvector":
        with table._connection() as connection:
            said = {k: v for k, v in table._said(connection).items() if k != trust.MARK}
            table._say(connection, said)
    else:
        from lookalike.search.remote.qdrant import _ABOUT

        with table._client() as client:
            client.delete_payload(table.name, [trust.MARK], points=[_ABOUT])


def test_a_table_that_is_none_of_lookalike_s_is_neither_read_nor_dropped(postgres):  # noqa: F811
    import psycopg

    from lookalike.errors import DataError
    from lookalike.search.engines import engine_spec

    spec = engine_spec("pgvector", 3, 3, server=postgres)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE people (id bigint, name text)")
        for comment in (None, "not JSON", "[[[]]]", json.dumps({"of": "lookalike"})):
            connection.execute(
                psycopg.sql.SQL("COMMENT ON TABLE people IS {}").format(
                    psycopg.sql.Literal(comment)
                )
            )
            table = open_server(spec, "people")
            with pytest.raises(RunError, match="not dropped"):
                table.drop()
            with pytest.raises(DataError, match="no table people"):
                table.state()
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (0,)
        connection.execute("DROP TABLE people")
    open_server(spec, "people").drop()  # none there: nothing to do


@pytest.fixture(scope="module")
def pairs():
    """By engine, an index in a server and the same in a folder; made when first asked for."""
    return {}


@BOTH
@pytest.mark.slow
def test_filters_agree_with_the_exact_engine_whatever_the_names(
    pairs,
    engine,
    server,  # noqa: F811
    vectors,
    tmp_path_factory,
):
    if engine not in pairs:
        x, items = vectors
        draw = np.random.default_rng(1)
        cells = {name: draw.choice(WORDS, len(items)) for name in ODD}
        numbers = {f"{name} n": draw.integers(-3, 4, len(items)) for name in ODD}
        items = items.assign(**cells, **numbers)
        home = tmp_path_factory.mktemp(engine)
        pairs[engine] = (
            Index.build(home / "a", x, items, engine=engine, engine_options={"server": server},
                        about={"levels": ODD[:6]}),
            Index.build(home / "b", x, items),
        )  # fmt: skip
    remote, local = pairs[engine]
    query = vectors[0][:1]

    @settings(max_examples=150, deadline=None, derandomize=True,
              suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
    @given(
        st.lists(
            st.one_of(
                st.tuples(
                    st.sampled_from(ODD),
                    st.sampled_from(["=", "!=", "~"]),
                    st.lists(st.sampled_from([*WORDS, "none"]), min_size=1, max_size=3).map(
                        "|".join
                    ),
                ),
                st.tuples(
                    st.sampled_from([f"{name} n" for name in ODD]),
                    st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
                    st.integers(-4, 4).map(str),
                ),
            ),
            min_size=1,
            max_size=3,
        )
    )
    def compared(conditions):
        where = ["".join(one) for one in conditions]
        there, here = (one.search(query, 40, where=where) for one in (remote, local))
        assert there.rows.tolist() == here.rows.tolist(), where

    compared()


def test_a_copy_of_one_s_own_index_keeps_its_mark(made_copy):
    assert made_copy.is_own


@pytest.fixture
def made_copy(tmp_path, vectors):
    x, items = vectors
    Index.build(tmp_path / "a", x, items)
    return Index.open(shutil.copytree(tmp_path / "a", tmp_path / "b"))
