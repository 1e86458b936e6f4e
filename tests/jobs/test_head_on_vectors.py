"""Any embedding file is a data set for a head."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import lookalike as la
from lookalike.errors import DataError
from lookalike.jobs import compare, embed, evaluate, train
from lookalike.runs import Run

WORDS = ["workers=0", "epochs=8", "batch_size=32", "sampler.m=4", "model.embedding_size=12",
         "optimizer.lr=0.01"]  # fmt: skip


@pytest.fixture
def vectors(tmp_path):
    """60 kinds of six vectors: eight directions tell them apart, the others are noise."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(60, 8)).repeat(6, axis=0)
    x = np.concatenate([centres + draw.normal(size=(360, 8)) * 0.2, draw.normal(size=(360, 8))], 1)
    np.save(tmp_path / "clip.npy", x.astype(np.float32))
    labels = [f"kind {kind:02d}" for kind in range(60) for _ in range(6)]
    pd.DataFrame({"label": labels}).to_csv(tmp_path / "clip.csv", index=False)
    return tmp_path / "clip.npy"


def test_a_head_learns_on_vectors_and_finds_better_than_they_do(vectors, tmp_path, capsys):
    run = Run(train.run([*WORDS, f"dataset={vectors}", f"run={tmp_path / 'x'}"], quiet=True))
    kept = json.loads((run.evaluation("test") / "baselines.json").read_text())
    report = json.loads((run.evaluation("test") / "report.json").read_text())
    assert [*kept] == ["vectors as they are"]
    name = "mean_average_precision_at_r"
    assert report["values"][name] > kept["vectors as they are"][name] + 0.05
    x = np.load(vectors)
    table = la.data.datasets.embedding_file(vectors)
    rows = table.split("test")
    own = x[[int(path.rpartition("#")[2]) for path in rows.paths]]
    own = own / np.linalg.norm(own, axis=1, keepdims=True)
    by_hand = la.metrics.evaluate(own, rows.labels)
    assert kept["vectors as they are"][name] == pytest.approx(by_hand[name], abs=1e-6)
    model = la.load(run.folder)
    assert (model.spec.backbone, model.width) == ("vectors", 12)
    again = evaluate.run(run.folder, ["workers=0"])
    assert again["test"]["values"] == pytest.approx(report["values"], abs=1e-6)
    np.testing.assert_allclose(
        model.encode(rows), np.load(run.evaluation("test") / "embeddings.npy"), atol=1e-6
    )
    assert "16-d vectors" in capsys.readouterr().out
    other = Run(
        train.run([*WORDS, f"dataset={vectors}", "seed=1", f"run={tmp_path / 'y'}"], quiet=True)
    )
    compare.run([run.folder, other.folder])


def test_what_embed_writes_is_a_data_set_with_its_images_in_the_report(tmp_path):
    toy = la.data.toy(families=2, genera=2, species=3, pictures=4, size=32)
    model = la.create_model("conv4", pretrained=False, embedding_size=None, size=32)
    la.models.save(model, tmp_path / "model")
    frame = pd.DataFrame({"path": toy.paths, "label": toy.frame["species"]})
    frame.to_csv(tmp_path / "toy.csv", index=False)
    embed.run(tmp_path / "model", str(tmp_path / "toy.csv"), tmp_path / "toy.npy", ["workers=0"])
    words = [*WORDS, "batch_size=8", "sampler.m=2", f"dataset={tmp_path / 'toy.npy'}"]
    run = Run(train.run([*words, f"run={tmp_path / 'x'}"], quiet=True))
    assert "data:image" in run.report.read_text()


def test_vectors_without_labels_or_sound_numbers_are_refused(vectors, tmp_path):
    vectors.with_suffix(".csv").unlink()
    words = [*WORDS, f"dataset={vectors}", f"run={tmp_path / 'x'}"]
    with pytest.raises(DataError, match=r"has no column label\. Put a clip\.csv"):
        train.run(words, quiet=True)
    broken = np.load(vectors)
    broken[0, 0] = np.nan
    np.save(vectors, broken)
    pd.DataFrame({"label": np.arange(360) // 6}).to_csv(vectors.with_suffix(".csv"), index=False)
    with pytest.raises(DataError, match=r"clip\.npy#0: holds NaN"):
        train.run([*words, "dataset.test_classes=[11]"], quiet=True)
