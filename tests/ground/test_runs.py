from __future__ import annotations

import pytest

from lookalike.errors import RunError
from lookalike.runs import Run, environment, next_folder


def finished(folder):
    run = Run.create(folder)
    run.config.write_text("epochs: 1\n")
    return run


def test_create_refuses_what_is_in_the_way(tmp_path):
    finished(tmp_path / "x")
    with pytest.raises(RunError, match="--resume.*--overwrite"):
        Run.create(tmp_path / "x")
    Run.create(tmp_path / "x", overwrite=True)
    assert not Run(tmp_path / "x").config.exists()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with pytest.raises(RunError, match="holds no run"):
        Run.create(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "holiday.jpg").exists()


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(RunError, match="is a file"):
        Run.create(tmp_path / "x", overwrite=True)


def test_history_leaves_out_a_line_cut_short(tmp_path):
    run = finished(tmp_path / "x")
    run.log({"kind": "train", "step": 1, "loss": 0.5})
    with run.metrics.open("a") as file:
        file.write('{"kind":"train","st')
    assert run.history() == [{"kind": "train", "step": 1, "loss": 0.5}]


def test_rewind_drops_what_came_after_the_checkpoint(tmp_path):
    run = finished(tmp_path / "x")
    rows = [
        {"kind": "train", "step": 10, "loss": 1.0},
        {"kind": "evaluation", "step": 10, "values": {"a": float("nan")}},
        {"kind": "train", "step": 20, "loss": 0.5},
    ]
    for row in rows:
        run.log(row)
    run.rewind(10, evaluated=True)
    assert [r["kind"] for r in run.history()] == ["train", "evaluation"]
    run.rewind(10, evaluated=False)
    assert [r["kind"] for r in run.history()] == ["train"]


def test_manifest_merges(tmp_path):
    run = finished(tmp_path / "x")
    run.write_manifest(status="running", **environment())
    run.write_manifest(status="finished")
    assert run.read_manifest()["status"] == "finished"
    assert "torch" in run.read_manifest()["versions"]


def test_next_folder_counts_up(tmp_path):
    assert next_folder("a", tmp_path) == tmp_path / "a"
    (tmp_path / "a").mkdir()
    (tmp_path / "a-2").mkdir()
    assert next_folder("a", tmp_path) == tmp_path / "a-3"


def test_open_refuses_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"config\.yaml"):
        Run.open(tmp_path)
