"""`lookalike publish` and models of the Hugging Face hub, without a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard

import lookalike
from lookalike.errors import ConfigError, ModelError, RunError
from lookalike.jobs import publish
from lookalike.jobs.index import build
from lookalike.models import hub, weights
from lookalike.runs import Run

PICTURE = Path(__file__).parents[2] / "examples" / "picture.png"


@pytest.fixture(scope="module")
def published(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "shells"
    publish.run(finished, to=str(folder), licence="apache-2.0")
    return folder


def test_the_folder_is_a_model_with_its_card(published, finished):
    ours, theirs = lookalike.load(finished), lookalike.load(published)
    np.testing.assert_array_equal(ours.encode(PICTURE), theirs.encode(PICTURE))
    card = ModelCard.load(published / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "lookalike"
    report = json.loads((finished / "evaluation" / "test" / "report.json").read_text())
    found = {r.metric_type: r.metric_value for r in card.data.eval_results}
    name = "mean_average_precision_at_r_level0"
    assert found[name] == pytest.approx(report["values"][name], abs=1e-6)
    kept = json.loads((published / "evaluation" / "test.json").read_text())
    low, high = kept["intervals"][name]
    assert low <= kept["values"][name] <= high
    assert {r.dataset_name for r in card.data.eval_results} == {"toy, test"}
    assert f"| MAP@R, species | {found[name]:.3f} ({low:.2f}–{high:.2f}) |" in card.content
    assert "Tested on classes never seen in training" in card.content
    assert json.loads((published / "config.json").read_text())["num_features"] == 8


def test_no_folder_of_this_machine_is_told(published, finished):
    home = finished.parts[1]  # such as /tmp
    for file in published.rglob("*"):
        if file.is_file() and file.suffix != ".safetensors":
            assert f"/{home}/" not in file.read_text(), file
    assert "data_root" not in (published / "recipe.yaml").read_text()
    assert "loss:" in (published / "recipe.yaml").read_text()


def test_what_is_there_is_kept(published, finished, tmp_path):
    with pytest.raises(RunError, match="Add --overwrite"):
        publish.run(finished, to=str(published))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").touch()
    with pytest.raises(RunError, match="exists already. Choose another"):
        publish.run(finished, to=str(tmp_path / "photos"), overwrite=True)
    with pytest.raises(RunError, match="not a run folder"):
        publish.run(published, to=str(tmp_path / "x"))
    shutil.copytree(finished, tmp_path / "stopped")
    Run.open(tmp_path / "stopped").write_manifest(status="interrupted")
    with pytest.raises(RunError, match="is interrupted, so there is no final model"):
        publish.run(tmp_path / "stopped", to=str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@pytest.fixture
def cache(published, tmp_path, monkeypatch):
    """The hub's cache as a download leaves it, and no network."""
    revision = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--someone--shells"
    shutil.copytree(published, repo / "snapshots" / revision)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(revision)
    (repo / "blobs").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return repo / "snapshots" / revision


def test_an_address_loads_and_indexes(cache, published, tmp_path):
    ours = lookalike.load("hf://someone/shells").encode(PICTURE)
    np.testing.assert_array_equal(ours, lookalike.load(published).encode(PICTURE))
    index = build("hf://someone/shells", str(PICTURE.parent), tmp_path / "ix", workers=0)
    np.testing.assert_allclose(index.vectors[np.array([0])], ours, atol=1e-6)
    assert index.verify() == []


def test_a_stranger_runs_no_code_here(cache):
    about = json.loads((cache / "model.json").read_text())
    about["spec"] |= {"backbone": "os.system", "options": {"command": "true"}}
    (cache / "model.json").unlink()
    (cache / "model.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match=r"os\.system would run code .* --trust os"):
        weights.load("hf://someone/shells")


def test_what_cannot_be_fetched_says_what_to_do(cache):
    with pytest.raises(ModelError, match="cannot be fetched .* Check the name"):
        weights.load("hf://someone/else")
    with pytest.raises(ConfigError, match="write hf://OWNER/NAME"):
        weights.load("hf://shells")
    (cache / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        weights.load("hf://someone/shells")


def test_to_the_hub(finished, monkeypatch):
    told = {}

    class Api:
        def __init__(self, **options):
            pass

        def create_repo(self, repo, **options):
            told["made"] = repo, options

        def upload_folder(self, *, repo_id, folder_path, **options):
            told["files"] = {
                p.name: p.read_bytes() for p in Path(folder_path).iterdir() if p.is_file()
            }

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    publish.run(finished, to="hf://someone/shells")
    assert told["made"] == ("someone/shells", {"private": True, "exist_ok": True})
    assert {"README.md", "config.json", "model.json", "model.safetensors"} <= set(told["files"])
    assert b'lookalike.load("hf://someone/shells")' in told["files"]["README.md"]
    with pytest.raises(ConfigError, match="leave out @v1"):
        publish.run(finished, to="hf://someone/shells@v1")
    assert hub.parse("hf:/someone/shells@v1") == ("someone/shells", "v1")
