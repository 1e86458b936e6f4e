"""A writer killed at any of its steps leaves the last good index."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pandas as pd
import pytest

from lookalike.search import Index

VECTORS = np.eye(20, dtype=np.float32)
ITEMS = pd.DataFrame({"path": [f"{i}.jpg" for i in range(20)]})
STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.fsync")


def _killed_at(step: int, work) -> bool:
    """Run ``work`` in a child that is killed before its ``step``-th act on a file."""
    child = os.fork()
    if child == 0:
        seen = 0

        def watch(event: str, args: tuple) -> None:
            nonlocal seen
            if event in STEPS:
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(watch)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["exact", "hnsw"])
def test_killed_at_every_step(tmp_path, engine):
    folder = tmp_path / "ix"
    index = Index.build(folder, VECTORS[:10], ITEMS[:10], engine=engine)
    index = index.add(VECTORS[10:11], ITEMS[10:11])  # every module is loaded before the fork
    before, after = 11, 19
    outcomes = []
    for step in range(1, 400):

        def work() -> None:
            Index.open(folder).change(add=(VECTORS[10:], ITEMS[10:]), remove=[0, 10])

        killed = _killed_at(step, work)
        index = Index.open(folder)
        assert index.verify() == []
        assert len(index) in (before, after)
        assert index.search(VECTORS[5:6], top=1).rows.shape == (1, 1)
        outcomes.append(len(index))
        if len(index) == after:  # start over
            extra = index.ids[9:].tolist()
            first = Index.build(folder, VECTORS[:10], ITEMS[:10], engine=engine, overwrite=True)
            assert extra
            first.add(VECTORS[10:11], ITEMS[10:11])
        if not killed:
            break
    else:
        pytest.fail("the writer never got to its end")
    assert before in outcomes, "no kill came before the commit"
    assert outcomes.count(after) > 1, "no kill came after the commit"
    # What the dead left is gone after the next change.
    Index.open(folder).remove([1])
    assert len(list((folder / "generations").iterdir())) == 1
    assert not list(folder.glob(".index.json*"))
