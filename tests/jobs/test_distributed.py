"""Two processes with b pictures each train what one process with 2·b trains."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from lookalike.jobs import train
from lookalike.runs import Run


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["smooth_ap", "proxy_anchor"])
def test_two_gloo_processes_train_as_one(toy, tmp_path, loss):
    # Batch norm sees its own process's pictures; frozen, it is out of the comparison.
    options = [
        *toy,
        f"loss={loss}",
        "model.freeze_batch_norm=true",
        "epochs=2",
        "optimizer.lr=1e-3",
    ]
    alone = Run(train.run([*options, f"run={tmp_path / 'alone'}"], quiet=True))
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    program += ["--standalone", "-m", "lookalike", "train"]
    done = subprocess.run(
        [*program, *options, f"run={tmp_path / 'two'}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    two = Run(tmp_path / "two")
    assert two.read_manifest()["status"] == "finished"
    losses = [row["loss"] for row in alone.history() if row["kind"] == "train"]
    assert [r["loss"] for r in two.history() if r["kind"] == "train"] == pytest.approx(
        losses, rel=1e-5
    )
    states = [torch.load(run.checkpoints / "last.pt", weights_only=True) for run in (alone, two)]
    for part in ("model", "loss"):
        for key, value in states[0]["parts"][part].items():
            torch.testing.assert_close(
                states[1]["parts"][part][key], value, rtol=1e-4, atol=1e-5, msg=key
            )
