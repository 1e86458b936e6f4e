"""Many clients at a time, on a real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.slow


def test_many_clients_are_answered_without_error(address, shared_index):
    data = Path(shared_index.items["path"].iloc[3]).read_bytes()

    def client(number: int) -> list[tuple[int, int]]:
        answers = []
        with httpx.Client(timeout=120) as session:
            for _ in range(5):
                reply = session.post(f"{address}/api/search", files={"picture": data})
                answers.append((reply.status_code, reply.json()["hits"][0]["id"]))
        return answers

    with ThreadPoolExecutor(16) as pool:
        found = [answer for answers in pool.map(client, range(16)) for answer in answers]
    assert found == [(200, 3)] * 80
