"""One process a run folder, and one command that a scheduler may repeat."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lookalike.errors import Busy, ConfigError, DataError
from lookalike.jobs import discover, export, publish, train
from lookalike.jobs import index as index_jobs
from lookalike.locks import only_writer
from lookalike.runs import Run
from lookalike.training.callback import Callback
from lookalike.training.given import Given
from lookalike.training.run import run_training

HOLD = """
import sys, time
from pathlib import Path
from lookalike.locks import only_writer
with only_writer(Path(sys.argv[1]), "run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes to tmp_path / 'x'."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "x")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in (".lock", ".holder.json")
    }


@pytest.mark.parametrize("options", [{}, {"overwrite": True}])
@pytest.mark.parametrize("verb", [train, discover])
def test_a_second_writer_says_who_holds_the_folder(toy, holder, tmp_path, verb, options):
    with pytest.raises(Busy, match=f"process {holder.pid} on .*since 2") as told:
        verb.run([*toy, f"run={tmp_path / 'x'}"], quiet=True, **options)
    assert "choose another folder" in str(told.value)
    assert contents(tmp_path / "x") == {}


def test_a_finished_run_is_not_touched_while_another_writes(toy, finished):
    before = contents(finished)
    with only_writer(finished, "run"):
        for options in ({"overwrite": True}, {"resume": True}):
            words = [f"run={finished}"] if "resume" in options else [*toy, f"run={finished}"]
            with pytest.raises(Busy, match=f"process {os.getpid()}"):
                train.run(words, quiet=True, **options)
    assert contents(finished) == before


def test_links_in_the_place_of_a_lock_are_not_followed(tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("mine")
    for name in (".lock", ".holder.json"):
        folder = tmp_path / name.strip(".")
        folder.mkdir()
        (folder / name).symlink_to(own)
        if name == ".lock":
            with pytest.raises(DataError, match="is a link"), only_writer(folder, "run"):
                pass
        else:
            with only_writer(folder, "run"):
                pass
        assert own.read_text() == "mine"


def test_the_lock_of_a_killed_process_is_free(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with only_writer(tmp_path / "x", "run"):
        said = json.loads((tmp_path / "x" / ".holder.json").read_text())
        assert said["pid"] == os.getpid()
    assert not (tmp_path / "x" / ".holder.json").exists()


FORK = """
import os, sys, time
from pathlib import Path
from lookalike.locks import only_writer
with only_writer(Path(sys.argv[1]), "run"):
    if os.fork() == 0:  # as the processes that read images do, it outlives its parent a moment
        time.sleep(1.5)
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_dying_child_of_a_killed_run_is_waited_for(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", FORK, str(tmp_path / "x")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    began = time.monotonic()
    with only_writer(tmp_path / "x", "run"):
        assert time.monotonic() - began < 10


def test_a_failed_start_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path / "a" / "b", "run"):
        1 / 0  # noqa: B018
    assert not (tmp_path / "a" / "b").exists()


# ── --resume=auto ───────────────────────────────────────────────────────────────────────────────
@pytest.mark.slow
def test_one_command_begins_goes_on_and_is_done(toy, tmp_path, capsys):
    words = [*toy, f"run={tmp_path / 'x'}", "epochs=2"]

    class Stops(Callback):
        def on_evaluation(self, moment, metrics, monitored):
            raise KeyboardInterrupt

    given = Given(callbacks=[Stops()])
    with pytest.raises(KeyboardInterrupt):
        run_training([*words, "evaluation.select=test"], resume="auto", quiet=True, given=given)
    run = Run(tmp_path / "x")
    assert run.read_manifest()["status"] == "failed"
    words.append("evaluation.select=test")
    assert train.run(words, resume="auto", quiet=True) == run.folder
    assert run.finished
    before = contents(run.folder)
    capsys.readouterr()
    assert train.run(words, resume="auto", quiet=True) == run.folder
    assert "is finished; nothing is left to do" in capsys.readouterr().out
    assert contents(run.folder) == before


def test_other_options_are_another_run(toy, trained):
    with pytest.raises(ConfigError, match=r"was begun with epochs=3, this command says epochs=4"):
        train.run([*toy, f"run={trained}", "epochs=4"], resume="auto", quiet=True)
    with pytest.raises(ConfigError, match="needs the run's folder"):
        train.run(toy, resume="auto", quiet=True)
    assert train.run([*toy, f"run={trained}", "workers=1"], resume="auto", quiet=True) == trained


@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["--resume=auto", "--auto-resume"])
def test_the_command_line_understands_it(toy, trained, spelling):
    command = [sys.executable, "-m", "lookalike", "train", *toy, f"run={trained}", spelling]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing is left to do" in done.stdout


# ── an empty folder is free ─────────────────────────────────────────────────────────────────────
@pytest.mark.slow
def test_an_empty_folder_is_free_for_every_verb(toy, trained, tmp_path, capsys):
    def empty(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    inode = {}
    for name in ("index", "cache", "publish", "export", "run"):
        inode[name] = empty(name).stat().st_ino
    rows = trained / "evaluation" / "test" / "rows.parquet"
    index_jobs.build(trained, str(rows), tmp_path / "index", workers=0)
    publish.run(trained, to=str(tmp_path / "publish"), licence="apache-2.0")
    export.run(trained, out=tmp_path / "export", pictures=str(rows), count=20)
    train.run([*toy, "epochs=1", f"run={tmp_path / 'run'}"], quiet=True)
    command = ["data", "cache", str(rows), "--out", str(tmp_path / "cache"), "--shorter", "32"]
    done = subprocess.run(
        [sys.executable, "-m", "lookalike", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, was in inode.items():
        assert (tmp_path / name).stat().st_ino == was  # filled where it is: it may be a mount
        left = [p.name for p in (tmp_path / name).iterdir()]
        assert len(left) > 1
        assert not [one for one in left if re.search(r"\.(part|before)$", one)]
