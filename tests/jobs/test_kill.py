"""kill -9 at any moment, then --resume: what a run leaves equals the unbroken run's, but clocks."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lookalike.jobs import train
from lookalike.runs import Run

# Proxies, a memory bank, an average, a loss scale, checkpoints within epochs: all have a state.
OPTIONS = [
    "loss=cross_batch_memory",
    "loss.loss={name: proxy_anchor}",
    "loss.memory_size=30",
    "loss.batch_weight=1.0",
    "optimizer.loss.name=adam",
    "optimizer.loss.lr=0.1",
    "optimizer.freeze=[backbone]",
    "optimizer.freeze_epochs=1",
    "average.name=ema",
    "average.decay=0.9",
    "evaluation.select=test",
    "checkpoint.steps=3",
    "update_every=2",
    "precision=fp16",
]

PROGRAM = """
import os, signal, sys
from pathlib import Path
import torch
from lookalike.jobs import train
from lookalike.evaluation import evaluator as measuring
from lookalike.training import trainer as training

moment, number, count = sys.argv[1], int(sys.argv[2]), 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying(function, half=False):
    def wrapped(*words, **options):
        global count
        count += 1
        if count < number:
            return function(*words, **options)
        if half:  # a checkpoint half written
            function(*words, **options)
            os.truncate(words[1], os.path.getsize(words[1]) // 2)
        die()
    return wrapped

if moment == "step":
    training.SupervisedStep.backward = dying(training.SupervisedStep.backward)
elif moment == "evaluation":
    measuring.embed_table = dying(measuring.embed_table)
elif moment == "checkpoint":
    torch.save = dying(torch.save, half=True)
train.run(sys.argv[3:], quiet=True)
"""


def everything(run: Run) -> dict[str, object]:
    """All that a run leaves, without clock readings."""
    rows = [
        {k: v for k, v in row.items() if k not in ("seconds_per_step", "clock")}
        for row in run.history()
    ]
    return {
        "state": torch.load(run.checkpoints / "last.pt", weights_only=True),
        "rows": rows,
        "model": (run.model / "model.safetensors").read_bytes(),
        "vectors": np.load(run.evaluation("test") / "embeddings.npy").tobytes(),
        "measured": (run.evaluation("test") / "report.json").read_bytes(),
        "page": timeless(run.report.read_text(), run.folder),
    }


def timeless(page: str, folder: Path) -> list[str]:
    """The report without its command, clocks and plots of clocks."""
    clocks = re.compile(
        r"command|second|clock|Time|Started|started|\d{4}-\d\d-\d\dT|<pre class=.wrap.>",
        re.IGNORECASE,
    )
    lines = page.replace(str(folder), "FOLDER").splitlines()
    return [line for line in lines if not clocks.search(line)]


def assert_same(a, b, where=""):
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for number, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_same(one, other, f"{where}[{number}]")
    else:
        assert a == b, where


@pytest.fixture(scope="module")
def unbroken(toy, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("unbroken") / "x"
    return Run(train.run([*toy, *OPTIONS, f"run={folder}"], quiet=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("step", 1),  # before the first checkpoint
        ("step", 9),
        ("evaluation", 2),
        ("evaluation", 4),  # the one after training, for the report
        ("checkpoint", 4),
    ],
)
def test_a_killed_run_ends_as_the_unbroken_one(toy, unbroken, tmp_path, moment, number):
    folder = tmp_path / "x"
    words = [sys.executable, "-c", PROGRAM, moment, str(number), *toy, *OPTIONS, f"run={folder}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run = Run(train.run([f"run={folder}"], resume=True, quiet=True))
    assert_same(everything(run), everything(unbroken))


@pytest.mark.slow
def test_a_flipped_byte_in_the_last_checkpoint_costs_steps_and_no_bits(
    toy, unbroken, tmp_path, capsys
):
    folder = tmp_path / "x"
    words = [sys.executable, "-c", PROGRAM, "step", "14", *toy, *OPTIONS, f"run={folder}"]
    subprocess.run(words, capture_output=True, check=False)
    last = Run(folder).checkpoints / "last.pt"
    damaged = bytearray(last.read_bytes())
    damaged[len(damaged) // 3] ^= 4
    last.write_bytes(damaged)
    run = Run(train.run([f"run={folder}"], resume=True, quiet=True))
    said = capsys.readouterr().out
    assert f"{last} is damaged" in said and "previous.pt, step" in said
    assert_same(everything(run), everything(unbroken))
