"""The examples of extending lookalike from outside run as they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

import lookalike
from lookalike.jobs import train
from lookalike.testing import check_dataset, check_loss

EXAMPLES = Path(__file__).parents[2] / "examples"
OWN = sorted(EXAMPLES.glob("own_*.py"))


@pytest.fixture
def photos(tmp_path):
    """Three species in two places, four images each, under names as the example reads them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for species in ("crow", "robin", "wren"):
        for place in ("garden", "wood"):
            for number in range(4):
                small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
                small.resize((32, 32)).save(folder / f"{species}_{place}_{number:04d}.png")
    return folder


def run(*words, program=sys.executable):
    done = subprocess.run(
        [program, *map(str, words)], cwd=EXAMPLES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def words(photos, tmp_path):
    return [
        "dataset=own_dataset.by_file_name", f"dataset.root={photos}",
        "loss=own_loss.Lifted", "loss.margin=0.8",
        "model=own_network.Patches", "model.pretrained=false", "model.options.width=8",
        "transform.size=32", "transform.train.extra=[{name: own_network.hide, share: 0.3}]",
        "sampler.m=2", "batch_size=6", "workers=0", "epochs=1", f"run={tmp_path / 'run'}",
    ]  # fmt: skip


@pytest.mark.slow
def test_an_own_dataset_loss_network_and_step_train_together(photos, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    made = train.run(words(photos, tmp_path), quiet=True)
    assert (made / "report.html").is_file()
    assert lookalike.load(made).width == 128  # the stored model finds the network again
    from own_dataset import by_file_name
    from own_loss import Lifted

    check_dataset(lambda: by_file_name(str(photos)))
    check_loss(Lifted)  # its law for two processes too


@pytest.mark.slow
def test_the_command_finds_what_lies_where_it_is_called(photos, tmp_path):
    out = run(
        "train", "--quiet", *words(photos, tmp_path),
        program=Path(sys.executable).with_name("lookalike"),
    )  # fmt: skip
    assert "by_file_name" in out and "own_network.Patches" in out


@pytest.mark.slow
def test_the_examples_check_themselves(photos):
    assert "24 images" in run(EXAMPLES / "own_dataset.py", photos)
    assert "'gradient': 'holds'" in run(EXAMPLES / "own_loss.py")


def test_an_example_is_short():
    assert len(OWN) == 3
    for file in OWN:
        assert len(file.read_text().splitlines()) < 60


@pytest.mark.slow
def test_the_notebook_trains_looks_searches_and_plots(tmp_path):
    notebook = nbformat.read(EXAMPLES / "first_steps.ipynb", 4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=500, resources=place).execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    kinds = [kind for out in shown for kind in out.get("data", ())]
    assert kinds.count("image/png") == 2  # the plot and the contact sheet
    assert any("recall_at_1" in out["data"].get("text/html", "") for out in shown if "data" in out)
    told = "".join(out["text"] for out in shown if out["output_type"] == "stream")
    assert "raw pixels" in told
