"""A type checker sees through every door: mistakes in a small user program are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKER = Path(sys.executable).parent / "basedpyright"
PROGRAM = """
import lookalike as la
from lookalike.data.samplers import MPerClassSampler
from lookalike.losses import SmoothAP

loss = SmoothAP(tua=3)
la.losses.ROADMAP(wieghts=(1.0, 1.0))
report = la.evaluate([1], [2], metrix=["recall_at_1"])
model = la.create_model(bakbone="resnet18")
run = la.train("resnet18", "toy", "smooth_ap", epochs=1)
print(run.metrcs)
print(run.config.epohcs)
la.Index.open("x").search_images(["a.jpg"], topp=3)
hits = la.Index.open("x").search_images(["a.jpg"], top=3)
print(hits.to_frme())
MPerClassSampler(labels=[0], batch_size=2, mm=1)
la.data.folder("photos", test_clases=1)

print(run.metrics["recall_at_1"], run.config.epochs, hits.to_frame(), model.width)
"""
WRONG = (
    "tua", "wieghts", "metrix", "bakbone", "metrcs", "epohcs", "topp", "to_frme", "mm",
    "test_clases",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not CHECKER.is_file(), reason="basedpyright is not installed")
def test_every_mistake_is_seen_and_nothing_else(tmp_path):
    (tmp_path / "user.py").write_text(PROGRAM)
    told = subprocess.run(
        [CHECKER, "--pythonpath", sys.executable, "--level", "error", "user.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    errors = [line for line in told.splitlines() if " - error: " in line]
    for word in WRONG:
        assert any(f'"{word}"' in line for line in errors), f"{word} is not seen:\n{told}"
    assert len(errors) == len(WRONG), told


def test_a_public_function_stays_when_every_room_is_imported():
    import importlib
    import pkgutil

    import lookalike as la

    for found in pkgutil.iter_modules(la.__path__):
        if found.name not in ("__main__", "testing"):
            importlib.import_module(f"lookalike.{found.name}")
    for name in ("train", "evaluate", "create_model", "load"):
        assert callable(getattr(la, name)), name
    from lookalike.data import datasets

    for found in pkgutil.iter_modules(datasets.__path__):
        importlib.import_module(f"lookalike.data.datasets.{found.name}")
    for name in datasets.__all__:
        assert callable(getattr(datasets, name)), name
