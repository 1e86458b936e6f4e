"""An evaluation holds at most twice its gallery and 100 MB, however large its similarity matrix."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
import torch
from lookalike.metrics import evaluate

torch.set_num_threads(1)
size = int(sys.argv[1])
x = np.random.default_rng(0).standard_normal((size, 256), dtype=np.float32)
labels = np.stack([np.arange(size) // 5, np.arange(size) // (size // 8)], axis=1)
evaluate(x[:200], labels[:200, : int(sys.argv[2])])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
evaluate(x, labels[:, : int(sys.argv[2])])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, x.nbytes / 2**20)
"""


@pytest.mark.slow
@pytest.mark.cpu("memory of the process")
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts kilobytes on Linux only")
@pytest.mark.parametrize("native", ["0", "1"])
@pytest.mark.parametrize("levels", [1, 2])
def test_peak_memory(levels, native):
    size = 6000 if native == "0" else 12000
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(size), str(levels)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "LOOKALIKE_NATIVE": native},
    )
    grown, gallery = map(float, done.stdout.split())
    assert grown <= 2 * gallery + 100
    assert grown < size * size * 4 / 2**20 or size < 8000  # never the whole matrix
