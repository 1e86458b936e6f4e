"""An evaluation killed outright goes on where it was and ends with the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import DataError
from lookalike.metrics import evaluate, resuming

KILLED = """
import os, signal, sys
import numpy as np
from lookalike.metrics import evaluate, resuming

resuming.SECONDS = 0.0
sys.path.insert(0, sys.argv[1])
from test_resuming import world

def halfway(done, total):
    if done >= total // 2:
        os.kill(os.getpid(), signal.SIGKILL)

x, labels = world()
evaluate(x, labels, byte_budget=200_000, resume=sys.argv[2], progress=halfway)
"""


def world(seed=0):
    random = np.random.default_rng(seed)
    labels = np.stack([np.arange(240) // 4, np.arange(240) // 40], axis=1)
    return random.standard_normal((240, 12)).astype("f4"), labels


def same(one, other):
    assert dict(one.values) == dict(other.values)
    for name in one.values:
        np.testing.assert_array_equal(one.per_query[name], other.per_query[name])


@pytest.mark.slow
@pytest.mark.cpu("processes of their own")
def test_killed_and_resumed(tmp_path):
    here, folder = str(Path(__file__).parent), tmp_path / "kept"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, here, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    x, labels = world()
    seen = []
    resumed = evaluate(
        x, labels, byte_budget=200_000, resume=folder, progress=lambda done, _: seen.append(done)
    )
    assert seen[0] > 120  # the first half was not done again
    assert seen[-1] == 240
    same(resumed, evaluate(x, labels))
    # Finished: nothing is left to rank.
    seen.clear()
    same(evaluate(x, labels, resume=folder, progress=lambda done, _: seen.append(done)), resumed)
    assert seen == []


def test_any_stretch_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "SECONDS", 0.0)
    x, labels = world()
    whole = evaluate(x, labels, byte_budget=100_000, resume=tmp_path)
    pieces = sorted(tmp_path.glob("queries-*.npy"))
    assert len(pieces) > 3
    for piece in pieces[::2]:
        piece.unlink()
    same(evaluate(x, labels, byte_budget=150_000, resume=tmp_path), whole)


def test_another_evaluation_is_refused(tmp_path):
    x, labels = world()
    evaluate(x, labels, metrics="ndcg", resume=tmp_path)
    for other in (
        lambda: evaluate(world(1)[0], labels, metrics="ndcg", resume=tmp_path),
        lambda: evaluate(x, labels[::-1], metrics="ndcg", resume=tmp_path),
        lambda: evaluate(x, labels, metrics="asi", resume=tmp_path),
        lambda: evaluate(x, labels, metrics="ndcg", ties="mean", resume=tmp_path),
    ):
        with pytest.raises(DataError, match="holds an evaluation of other"):
            other()


def test_a_damaged_piece_is_named(tmp_path):
    x, labels = world()
    evaluate(x, labels, metrics="ndcg", resume=tmp_path)
    piece = next(tmp_path.glob("queries-*.npy"))
    np.save(piece, np.zeros((3, 1)))
    with pytest.raises(DataError, match=piece.name):
        evaluate(x, labels, metrics="ndcg", resume=tmp_path)


def test_the_outlook_comes_before_the_work():
    x, labels = world()
    heard = []
    evaluate(
        x,
        labels,
        byte_budget=200_000,
        on_plan=heard.append,
        progress=lambda done, _: heard.append(done),
    )
    outlook = heard[0]
    assert [h for h in heard if not isinstance(h, int)] == [outlook]
    assert outlook.queries == 240 - heard[1]
    assert outlook.items == 240
    assert 0 < outlook.seconds < 600
    assert f"{outlook.queries} queries against 240 items" in str(outlook)
