"""Queries shared among processes: every one returns the report of a single process, bit for bit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu("two gloo processes")
SCRIPT = Path(__file__).with_name("sharded_evaluation.py")


def digests(processes, size):
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*start, str(SCRIPT), str(size)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    # Two processes share one output: a line may hold the words of both.
    return re.findall(r"digest ([0-9a-f]{64})", done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("size", [61, 1])
def test_two_processes_equal_one(size):
    one = digests(1, size)
    assert len(one) == 1
    assert digests(2, size) == one * 2
