"""`make gpu SMOKE=1` where only what a bare GPU machine has can be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BARE = f"import sys; sys.path.insert(0, {str(HERE)!r}); import bare_machine; bare_machine.hide()"


def run(*command, site, **more):
    """A program every process of which is as bare."""
    (site / "sitecustomize.py").write_text(BARE)
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"} | more
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=500,
        cwd=HERE.parents[1],
    )  # fmt: skip


def test_what_is_hidden_is_not_found_and_what_is_packed_is(tmp_path):
    code = """
import importlib.util as u
from importlib.metadata import PackageNotFoundError, version
hidden, there = ("sklearn", "scipy", "fastapi", "torchmetrics"), ("torch", "timm", "hydra", "faiss")
assert not any(map(u.find_spec, hidden)) and all(map(u.find_spec, there))
try:
    version("scikit-learn")
except PackageNotFoundError:
    print(version("timm"))
"""
    done = run(sys.executable, "-c", code, site=tmp_path)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


@pytest.mark.slow
def test_every_part_runs_with_what_was_packed(tmp_path):
    out = tmp_path / "out"
    words = ["--out", str(out), "--scale", "4"]
    done = run(
        "sh", "scripts/gpu.sh", *words, site=tmp_path, SMOKE="1", PYTHON=sys.executable,
        CUDA_VISIBLE_DEVICES="",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((out / "gpu.json").read_text())["parts"]
    assert set(parts) == {"losses", "evaluation", "search", "training", "right"}
    for name, rows in parts.items():
        assert rows, f"{name} says nothing:\n{done.stdout}"
        for row in rows:
            assert row["what"] not in ("left out", "the part itself"), f"{name}: {row}"
            assert row["met"] is not False or "aim" in row, f"{name}: {row}"
