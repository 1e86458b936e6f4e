"""``train --trace`` and ``compare --trace``: where two trainings part."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lookalike.cli import app
from lookalike.config import Config
from lookalike.errors import ConfigError, Interrupted, LookalikeError
from lookalike.jobs import train
from lookalike.runs import Run
from lookalike.training import run as training_run
from lookalike.training.parting import compare_traces as compare
from lookalike.training.parting import read_trace
from lookalike.training.trace_report import compare_trace_files

FAST = ["evaluation.every=0", "precision=fp64", "loss=proxy_anchor", "optimizer.loss.lr=0.1"]


def traced(toy, folder: Path, *words: str, name: str = "trace.jsonl", **options) -> Path:
    file = folder / name
    run = f"run={folder / name}-run"
    training_run.run_training([*toy, *FAST, run, *words], silent=True, trace=file, **options)
    return file


def test_a_trace_holds_every_step(toy, tmp_path):
    file = traced(toy, tmp_path, "update_every=2")
    about, rows = read_trace(file)
    assert about["precision"] == "fp64" and about["data"]
    assert list(rows) == list(range(1, 10))  # three epochs of five batches, two to a step
    assert [len(row["losses"]) for row in rows.values()] == [2, 2, 1] * 3
    assert [len(batch) for batch in rows[1]["batches"]] == [8, 8]
    for row in rows.values():
        for quantity in ("rates", "gradient_norms", "weight_norms"):
            assert row[quantity].keys() == {"backbone", "head", "loss"}
            assert all(math.isfinite(value) for value in row[quantity].values())
    assert rows[1]["rates"]["loss"] == pytest.approx(0.1)
    logged = [row for row in Run(tmp_path / "trace.jsonl-run").history() if row["kind"] == "train"]
    assert not logged or logged[0]["lr"] == rows[logged[0]["step"]]["rates"]


def test_two_trainings_that_agree_and_two_that_part(toy, tmp_path, capsys):
    one = traced(toy, tmp_path, name="a")
    same = traced(toy, tmp_path, name="b")
    other = traced(toy, tmp_path, "optimizer.head.lr=0.006", name="c")
    longer = traced(toy, tmp_path, "epochs=2", "optimizer.schedule=constant", name="d")

    def said(*files):
        done = CliRunner().invoke(app, ["compare", "--trace", *map(str, files)])
        return done.exit_code, " ".join(done.output.split())

    code, words = said(one, same)
    assert code == 0
    assert words == "The two trainings agree over 15 steps to 0.0e+00 (tolerance 1e-09)."
    code, words = said(one, other)
    assert code == 1
    assert words.startswith(
        "The two trainings part at step 1: the learning rate of head: 0.003 and 0.006 "
        "(5.0e-01 apart). also there: the weight norm of head:"
    )
    code, words = said(one, longer)
    assert code == 1
    assert "part at step 2: the learning rate" in words and "Before it they agree to 0.0e" in words
    assert words.endswith(f"They are of different length: {one} 15 steps, {longer} 10.")
    found = compare_trace_files([one, other], tolerance=0.9, as_json=True)
    assert found.first is None and found.equal
    assert found.largest["rates"].relative == pytest.approx(0.5)
    capsys.readouterr()
    compare_trace_files([one, traced(toy, tmp_path, "seed=5", name="e")], as_json=True)
    said_json = json.loads(capsys.readouterr().out)
    assert said_json["first"]["quantity"] == "batches" and said_json["first"]["relative"] is None


def test_a_resumed_run_goes_on_in_its_trace(toy, tmp_path, monkeypatch):
    whole = traced(toy, tmp_path, name="whole")
    from lookalike.training.trainer import Training

    real = Training.step_done

    def stop(self, progress):
        real(self, progress)
        if progress.step == 9:
            raise Interrupted("asked to")

    words = ["checkpoint.steps=4"]
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Training, "step_done", stop)
        traced(toy, tmp_path, *words, name="parts")
    file = tmp_path / "parts"
    assert len(read_trace(file)[1]) == 9  # one step more than the last checkpoint has
    with file.open("a") as stream:
        stream.write('{"step": 10, "epo')  # a crash within a line
    run = f"run={file}-run"
    train.run([run], resume=True, quiet=True, trace=file)
    assert read_trace(file)[1] == read_trace(whole)[1]
    # From a file that is not there, a resumed run writes what is left.
    assert compare_trace_files([whole, file], tolerance=0.0).equal


def test_what_cannot_be(toy, tmp_path):
    file = traced(toy, tmp_path, "epochs=1")
    with pytest.raises(ConfigError, match="is there already; name another file, or --overwrite"):
        train.run([*toy, f"run={tmp_path / 'other'}"], trace=file)
    with pytest.raises(ConfigError, match="does not go with fsdp=true"):
        training_run._trace(tmp_path / "new", Config(fsdp=True), replace=False)
    for text, why in (
        ("", "no step is in it"),
        ('{"step": 1}\nnothing\n', "line 2: no row of a trace"),
    ):
        (tmp_path / "odd").write_text(text)
        with pytest.raises(ConfigError, match=why):
            compare_trace_files([file, tmp_path / "odd"])
    for words, code in (
        ([str(file), str(tmp_path / "none")], 1),
        ([str(file)], 2),
        ([str(file), str(file), "--over", "queries"], 2),
    ):
        done = CliRunner().invoke(app, ["compare", "--trace", *words])
        assert isinstance(done.exception, LookalikeError) and done.exception.exit_code == code


def test_traces_of_other_programs():
    """Losses alone are enough, and a number on one side alone is a difference."""
    ours = {1: {"step": 1, "losses": [1.0], "rates": {"head": 1.0}}}
    theirs = {1: {"step": 1, "losses": [1.0 + 1e-12]}}
    found = compare(ours, theirs, 1e-9)
    assert found.equal and found.largest["losses"].relative == pytest.approx(1e-12, rel=1e-3)
    found = compare(ours, {1: {"step": 1, "rates": {"head": 1.0, "pool": 1.0}}}, 1e-9)
    assert found.first is not None and found.first.part == "pool"
    found = compare(ours, {1: {"step": 1, "losses": [math.nan]}}, 1e-9)
    assert found.first is not None and found.first.relative == math.inf
    with pytest.raises(ConfigError, match="no step in common"):
        compare(ours, {2: ours[1]}, 0.0)
    with pytest.raises(ConfigError, match="no quantity in common"):
        compare(ours, {1: {"step": 1}}, 0.0)
