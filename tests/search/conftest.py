from __future__ import annotations

import os
import tempfile

import pytest


@pytest.fixture(scope="session")
def postgres():
    """The address of a PostgreSQL with pgvector that is started for the tests."""
    pgserver = pytest.importorskip("pgserver", reason="pgserver brings a PostgreSQL to test on")
    pytest.importorskip("psycopg", reason="pip install 'lookalike[pgvector]'")
    # A socket's path may be 107 characters long; pytest's own folders are not that short.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        try:
            server = pgserver.get_server(folder)
        except Exception as error:  # whatever keeps a server from starting on this machine
            pytest.skip(f"PostgreSQL does not start here: {error}")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def qdrant():
    """The address of a Qdrant: that of $LOOKALIKE_TEST_QDRANT, else of the client's local mode."""
    pytest.importorskip("qdrant_client", reason="pip install 'lookalike[qdrant]'")
    address = os.environ.get("LOOKALIKE_TEST_QDRANT")
    if address:
        yield address
        return
    from qdrant_client import QdrantClient

    from lookalike.search.remote import qdrant as engine

    address = "http://in-memory.example"
    client = QdrantClient(":memory:")
    with pytest.MonkeyPatch.context() as patch:
        real = engine.client
        patch.setattr(engine, "client", lambda given: client if given == address else real(given))
        yield address


@pytest.fixture
def server(request):
    """The address of the server that an engine needs, by its name; None where it needs none."""
    name = request.getfixturevalue("engine")
    fixtures = {"pgvector": "postgres", "qdrant": "qdrant"}
    return request.getfixturevalue(fixtures[name]) if name in fixtures else None
