"""kill -9 and a full disk in the middle of ``discover`` and ``sweep``: the same command goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Files come into being by os.replace: the given one, counted from 1, kills, or meets a full disk.
PROGRAM = """
import os, signal, sys
from lookalike.cli import main

mode, number, count, original = sys.argv[1], int(sys.argv[2]), 0, os.replace

def replace(source, target, **more):
    global count
    count += 1
    if count >= number:
        if mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(28, "No space left on device", str(target))
    return original(source, target, **more)

os.replace = replace
sys.argv[:3] = ["lookalike"]
main()
"""


def run(mode: str, number: int, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, mode, str(number), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def hit(mode: str, number: int, *words: str) -> None:
    """Run into the fault, and see that it is one."""
    done = run(mode, number, *words)
    if mode == "kill":
        assert done.returncode == -signal.SIGKILL, done.stderr
        return
    assert done.returncode == 1, done.stdout + done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def leftovers(folder: Path, mode: str) -> list[str]:
    """Half-written files; a killed process cannot take its own away."""
    return (
        []
        if mode == "kill"
        else [str(p) for p in folder.rglob("*") if p.name.endswith((".part", ".before"))]
    )


DISCOVER = [
    "dataset=toy", "dataset.families=1", "dataset.genera=1", "dataset.species=8",
    "dataset.pictures=6", "dataset.size=32", "transform=figure", "transform.size=32", "model=conv4",
    "model.options.width=[4,4,4,4]", "model.embedding_size=8", "epochs=1", "batch_size=8",
    "sampler.m=2", "sampler.batches=2", "workers=0", "device=cpu", "discover.rounds=1",
    "discover.method=kmeans", "discover.method_options.classes=8", "discover.keep=false",
    "optimizer.lr=1e-3", "watch.every=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    home = tmp_path_factory.mktemp("unbroken")
    words = ["discover", *DISCOVER, f"dataset.root={home / 'toy'}"]
    done = run("kill", 10**9, *words, f"run={home / 'x'}", "--quiet")
    assert done.returncode == 0, done.stderr
    return words, home / "x"


@pytest.mark.parametrize(("mode", "number"), [("kill", 3), ("kill", 14), ("full", 20)])
def test_discover_goes_on(unbroken, tmp_path, mode, number):
    words, whole = unbroken
    words = [*words, f"run={tmp_path / 'x'}", "--resume=auto", "--quiet"]
    hit(mode, number, *words)
    done = run("kill", 10**9, *words)
    assert done.returncode == 0, done.stderr
    for round_ in (0, 1):
        for name in ("train.parquet", "embeddings.npy", "clusters.parquet", "metrics.json"):
            file = Path(f"round-{round_}") / name
            assert (tmp_path / "x" / file).read_bytes() == (whole / file).read_bytes(), file
    assert not leftovers(tmp_path / "x", mode)


@pytest.mark.parametrize(("mode", "number"), [("kill", 9), ("full", 9)])
def test_a_sweep_goes_on(toy, tmp_path, mode, number):
    optuna = pytest.importorskip("optuna", reason="the extra 'tune' is not installed")
    space = tmp_path / "search.yaml"
    space.write_text("optimizer.lr: {low: 1e-4, high: 3e-2, log: true}\n")
    short = ["evaluation.select=test", "epochs=1", "sampler.batches=2", "watch.every=0"]
    words = ["sweep", *toy, *short, str(space), "--trials", "2", "--out", str(tmp_path / "s")]
    hit(mode, number, *words)
    done = run("kill", 10**9, *words)
    assert done.returncode == 0, done.stderr
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "s" / "study.journal"))
    )
    trials = optuna.load_study(study_name="s", storage=storage).trials
    assert [t.state.name for t in trials] == ["COMPLETE"] * 2
    assert not leftovers(tmp_path / "s", mode)
