"""An evaluation that dies goes on where it was, with any number of processes, to the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from lookalike.errors import DataError
from lookalike.evaluation import progress, resume
from lookalike.jobs import evaluate
from lookalike.metrics import resuming, retrieval
from lookalike.models.embedding_store import EmbeddingStore

# Notes how much it does, and dies where DIES says, after that many calls.
PROGRAM = """
import os, signal, sys
from lookalike.models import embedding_store
from lookalike.metrics import resuming, retrieval
resuming.SECONDS, retrieval._PROBE = 0.0, 8
embedding_store.EmbeddingStore.__init__.__defaults__ = (0.0,)
where, _, calls = os.environ.get("DIES", "").partition(" ")
def counted(cls, name):
    add, count = cls.add, 0
    def watched(self, *given):
        nonlocal count
        add(self, *given)
        count += 1
        with open(os.environ["NOTES"], "a") as notes:
            print(name, len(getattr(given[-1], "rows", given[-1])), file=notes)
        if name == where and count == int(calls):
            os.kill(os.getpid(), signal.SIGKILL)
    cls.add = watched
counted(embedding_store.EmbeddingStore, "vectors")
counted(resuming.Finished, "queries")
from lookalike.cli import main
main()
"""


ASKED = ["evaluation.batch_size=8", "workers=0"]


class Killed(BaseException):
    """Stands for a death from which nothing is tidied up."""


@pytest.fixture
def often(monkeypatch):
    """Everything is written at once, and ranked a few queries at a time."""
    monkeypatch.setattr(resuming, "SECONDS", 0.0)
    monkeypatch.setattr(EmbeddingStore.__init__, "__defaults__", (0.0,))
    monkeypatch.setattr(retrieval, "_PROBE", 8)


def dying(monkeypatch, cls, calls):
    """Let an evaluation die in its so-and-so-manieth call of ``add``; the calls so far."""
    add, seen = cls.add, []

    def watched(self, *given):
        add(self, *given)
        seen.append(len(getattr(given[-1], "rows", given[-1])))
        if len(seen) == calls:
            raise Killed

    monkeypatch.setattr(cls, "add", watched)
    return seen


def test_a_second_call_goes_on_where_the_first_died(finished, often, monkeypatch, capsys):
    whole = evaluate.run(finished, ASKED)
    assert not (finished / resume.FOLDER).exists()
    for cls, calls in ((EmbeddingStore, 2), (resuming.Finished, 1)):
        with monkeypatch.context() as patch:
            dying(patch, cls, calls)
            with pytest.raises(Killed):
                evaluate.run(finished, ASKED)
    capsys.readouterr()
    with monkeypatch.context() as patch:
        embedded = dying(patch, EmbeddingStore, None)
        ranked = dying(patch, resuming.Finished, None)
        assert evaluate.run(finished, ASKED) == whole
    size = whole["test"]["queries"]
    assert embedded == [] and sum(ranked) == size - 8
    assert f"resumed  {size} of {size} images were embedded before" in capsys.readouterr().out
    assert not (finished / resume.FOLDER).exists()


def test_other_pictures_or_settings_find_nothing(finished, often, monkeypatch):
    with monkeypatch.context() as patch:
        dying(patch, EmbeddingStore, 2)
        with pytest.raises(Killed):
            evaluate.run(finished, ASKED)
    embedded = dying(monkeypatch, EmbeddingStore, None)
    size = evaluate.run(finished, [*ASKED, "evaluation.scales=[1,0.5]"])["test"]["queries"]
    assert sum(embedded) == size
    embedded.clear()
    (damaged, *_) = (finished / resume.FOLDER).glob("vectors-*/*.npz")
    damaged.write_bytes(b"damaged")
    with pytest.raises(DataError, match=rf"{damaged.name} is damaged.*delete the file"):
        evaluate.run(finished, ASKED)
    damaged.unlink()
    evaluate.run(finished, ASKED)
    assert sum(embedded) == size - 8


def test_what_a_long_ranking_says(finished, often, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LONG", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    size = evaluate.run(finished, ASKED)["test"]["queries"]
    lines = capsys.readouterr().out.splitlines()
    plan = next(i for i, line in enumerate(lines) if line.startswith("ranking test: "))
    assert f"{size - 8} queries against {size} items: about a second" in lines[plan]
    assert lines[plan + 1].startswith(f"ranking test: 8 of {size}")
    assert any(line.startswith("embedding toy test: 8 of ") for line in lines[:plan])


def test_a_folder_that_cannot_be_written_to_is_said(finished, capsys):
    (finished / resume.FOLDER).write_text("in the way")
    try:
        evaluate.run(finished, ASKED)
    finally:
        (finished / resume.FOLDER).unlink()
    assert "cannot be written to (File exists)" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_outright_and_finished_by_another_number_of_processes(finished, tmp_path, capsys):
    evaluate.run(finished, ASKED, as_json=True)
    whole = capsys.readouterr().out
    size = json.loads(whole)["test"]["queries"]
    program, notes = tmp_path / "program.py", tmp_path / "notes"
    program.write_text(PROGRAM)

    def lookalike(*start, dies=""):
        """What became of it, and how many rows it embedded and ranked."""
        notes.write_text("")
        done = subprocess.run(
            [sys.executable, *start, str(program), "evaluate", str(finished), *ASKED, "--json"],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "DIES": dies, "NOTES": str(notes)},
            timeout=500,
        )
        work = {"vectors": 0, "queries": 0}
        for line in notes.read_text().splitlines():
            work[line.split()[0]] += int(line.split()[1])
        return done, work

    killed, work = lookalike(dies="vectors 2")
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    assert work == {"vectors": 16, "queries": 0}
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    done, work = lookalike(*two)
    assert done.returncode == 0, done.stderr[-3000:]
    # Two processes share what the one left, and only the first of them speaks.
    assert work == {"vectors": size - 16, "queries": size}
    assert done.stdout == whole
    assert not (finished / resume.FOLDER).exists()
