"""Requests made from the API's own description: none may end in a 5xx but "not ready"."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from running_server import start

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def description(shared_index, tmp_path_factory):
    """The OpenAPI description of a server that may change its own copy of the index."""
    folder = tmp_path_factory.mktemp("fuzz") / "ix"
    shutil.copytree(shared_index.folder, folder)
    process, url = start(folder, "--rate", "100000", "--changes")
    yield schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    assert process.poll() is None, "the server died"
    process.terminate()
    assert process.wait(timeout=30) == 0


def test_no_request_ends_in_an_error_of_ours(description):
    operations = [found.ok() for found in description.get_all_operations()]
    assert len(operations) == 11
    answers = set()
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(
            max_examples=15,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        def check(case):
            response = case.call()
            answers.add(response.status_code)
            assert response.status_code < 500 or response.status_code == 503, response.text

        check()
    assert {200, 404, 422} <= answers
