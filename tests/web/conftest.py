from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from running_server import start
from served import index, model, photos, query, site

from lookalike.jobs import index as jobs

__all__ = ["index", "model", "photos", "query", "site"]


@pytest.fixture(scope="session")
def shared_index(model, photos, tmp_path_factory):
    return jobs.build(model, str(photos), tmp_path_factory.mktemp("shared") / "ix", workers=0)


@pytest.fixture(scope="session")
def address(shared_index):
    """A real server over the shared index."""
    process, url = start(shared_index.folder, "--rate", "100000", "--changes")
    yield url
    process.terminate()
    assert process.wait(timeout=20) == 0
