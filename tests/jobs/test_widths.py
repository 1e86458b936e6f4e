"""One run whose embedding works at several widths."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lookalike.errors import ConfigError
from lookalike.jobs import evaluate, train
from lookalike.metrics import evaluate as evaluate_vectors
from lookalike.models import load


def test_every_width_is_trained_and_measured(toy, tmp_path):
    run = train.run(
        [*toy, "epochs=1", "model.widths=[2,4]", "loss=norm_softmax", f"run={tmp_path / 'run'}"],
        quiet=True,
    )
    assert load(run).spec.widths == [2, 4]
    stored = {p.name: json.loads((p / "report.json").read_text())["values"]
              for p in (run / "evaluation").iterdir()}  # fmt: skip
    assert set(stored) == {"test", "2d-test", "4d-test"}
    embeddings = np.load(run / "evaluation" / "test" / "embeddings.npy")[:, :4]
    narrow = np.load(run / "evaluation" / "4d-test" / "embeddings.npy")
    np.testing.assert_allclose(
        narrow, embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), rtol=1e-6
    )
    assert stored["4d-test"] != stored["test"]
    assert "4d-test" in (run / "report.html").read_text()
    again = evaluate.run(run, [])
    assert again["2d-test"]["values"] == pytest.approx(stored["2d-test"], nan_ok=True)
    rows = pd.read_parquet(run / "evaluation" / "4d-test" / "rows.parquet")
    labels = np.unique(rows["species"].astype(str), return_inverse=True)[1]
    report = evaluate_vectors(narrow, labels, metrics=["recall_at_1"], k=(1,))
    assert report.values["recall_at_1"] == pytest.approx(stored["4d-test"]["recall_at_1_level0"])


def test_a_width_beyond_the_embedding_is_refused(toy, tmp_path):
    with pytest.raises(ConfigError, match=r"model\.widths=\[16\].*below the embedding's 8"):
        train.run([*toy, "model.widths=[16]", f"run={tmp_path / 'run'}"], quiet=True)
