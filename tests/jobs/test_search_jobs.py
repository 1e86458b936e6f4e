"""The verbs of search, from a finished run to an answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import lookalike
from lookalike.errors import ConfigError, DataError, ModelError, RunError
from lookalike.jobs import index as jobs
from lookalike.jobs import index_changes as changes
from lookalike.jobs import search
from lookalike.models import weights
from lookalike.search import Index

CONV4 = {"pretrained": False, "embedding_size": 8, "size": 32, "options": {"width": 8}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A model: search asks of it only that near images have near vectors."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    weights.save(lookalike.create_model("conv4", **CONV4), folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    """Three images of each of six kinds, in a folder a kind."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for kind in range(6):
        small = draw.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        (folder / f"kind{kind}").mkdir(parents=True)
        for number in range(3):
            moved = np.clip(small + draw.integers(-40, 40, small.shape), 0, 255).astype(np.uint8)
            picture = Image.fromarray(moved).resize((64, 48), Image.Resampling.BICUBIC)
            picture.save(folder / f"kind{kind}" / f"{number}.png")
    return folder


@pytest.fixture
def index(finished, photos, tmp_path):
    return jobs.build(finished, str(photos), tmp_path / "ix", workers=0)


def test_update_embeds_what_is_new_or_changed_and_drops_what_is_gone(index, photos, capsys):
    paths = sorted(photos.rglob("*.*"))
    paths[0].unlink()
    Image.new("RGB", (50, 50), (250, 0, 0)).save(paths[1])
    Image.new("RGB", (50, 50), (0, 250, 0)).save(photos / "new.png")
    before = index.items["path"].tolist()
    changed = changes.update(index.folder, workers=0)
    assert "1 new, 1 changed, 1 gone, 16 as they were" in capsys.readouterr().out
    assert sorted(changed.items["path"]) == sorted(
        {*before, str(photos / "new.png")} - {str(paths[0])}
    )
    old = index.vectors[np.array([before.index(str(paths[1]))])]
    row = changed.items["path"].tolist().index(str(paths[1]))
    assert np.abs(changed.vectors[np.array([row])] - old).max() > 1e-3
    anew = jobs.build(changed.model_folder, str(photos), index.folder.parent / "anew", workers=0)
    order = np.argsort(changed.items["path"].to_numpy(str))
    again = np.argsort(anew.items["path"].to_numpy(str))
    ours, theirs = np.asarray(changed.vectors)[order], np.asarray(anew.vectors)[again]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    again = changes.update(index.folder, workers=0)
    assert again.manifest["generation"] == changed.manifest["generation"]


def test_add_remove_verify(index, photos, tmp_path, capsys):
    more = tmp_path / "more"
    more.mkdir()
    Image.new("RGB", (30, 30), (9, 9, 250)).save(more / "blue.png")
    (more / "broken.jpg").write_bytes(b"\xff\xd8 no")
    grown = changes.add(index.folder, str(more), workers=0)
    assert len(grown) == len(index) + 1
    assert "broken.jpg" in capsys.readouterr().out
    assert len(changes.add(index.folder, str(photos), workers=0)) == len(grown)
    jobs.verify(index.folder)
    species = index.items["label"].iloc[0]
    count = (index.items["label"] == species).sum()
    alone = changes.remove(index.folder, [str(more / "blue.png")], where=[f"label={species}"])
    assert len(alone) == len(grown), "with both, what is named and fits"
    changes.remove(index.folder, [str(more / "blue.png")])
    left = changes.remove(index.folder, where=[f"label={species}"])
    assert len(left) == len(index) - count
    with pytest.raises(DataError, match="holds no image"):
        changes.remove(index.folder, ["nowhere.png"])
    with pytest.raises(ConfigError, match="name images"):
        changes.remove(index.folder)
    for word in ("nowhere", "./no.where", "cubb"):
        with pytest.raises(DataError, match="no such folder or table, and no data set"):
            changes.add(index.folder, word)
    file = left.generation / "ids.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    with pytest.raises(RunError, match="ids.npy: its content has changed"):
        jobs.verify(index.folder)


def test_search_by_item_box_several_and_filter(index, tmp_path, capsys):
    path = index.items["path"].iloc[4]
    (by_id,) = search.run(index.folder, ["#4"], top=3)
    assert all(hit["id"] != 4 for hit in by_id["hits"])
    assert capsys.readouterr().out.count("✓") + sum(not h["right"] for h in by_id["hits"]) == 3
    (by_path,) = search.run(index.folder, [path], top=4)
    assert [hit["id"] for hit in by_path["hits"][1:]] == [hit["id"] for hit in by_id["hits"]]
    assert by_path["hits"][0]["right"] is True
    width, height = Image.open(path).size
    (whole,) = search.run(index.folder, [path], box=(0, 0, width, height), top=4)
    assert whole["hits"] == by_path["hits"]
    (part,) = search.run(index.folder, [path], box=(0, 0, width // 3, height // 3), top=4)
    assert part["hits"] != by_path["hits"]
    with pytest.raises(DataError, match="leaves the image"):
        search.run(index.folder, [path], box=(0, 0, 9999, 10))
    label = index.items["label"].iloc[9]
    (only,) = search.run(index.folder, [path], where=[f"label={label}"], top=99)
    assert {hit["labels"]["label"] for hit in only["hits"]} == {label}
    (sure,) = search.run(index.folder, [path], min_score=0.999999, top=99)
    assert [hit["id"] for hit in sure["hits"]] == [4]
    (one,) = search.run(index.folder, ["#4", "#5"], fuse="average", top=20)
    x = np.asarray(index.vectors)
    scores = x @ (x[4] + x[5])
    scores[[4, 5]] = -np.inf
    assert [hit["id"] for hit in one["hits"]] == np.argsort(-scores)[:-2].tolist()
    (one,) = search.run(index.folder, ["#4", "#5"], fuse="best", top=5)
    scores = np.maximum(x @ x[4], x @ x[5])
    scores[[4, 5]] = -np.inf
    assert [hit["id"] for hit in one["hits"]] == np.argsort(-scores)[:5].tolist()
    (moved,) = search.run(index.folder, ["#4"], rerank="k_reciprocal", top=3)
    assert len(moved["hits"]) == 3
    with pytest.raises(ConfigError, match="average or best"):
        search.run(index.folder, ["#4", "#5"], fuse="avrage")


def test_why_paints_the_region_that_holds_the_likeness(index, tmp_path):
    from lookalike.search.encoders import own_encoder
    from lookalike.search.explain import occlusion

    encoder = own_encoder(index)
    picture = encoder.prepare(np.full((64, 64, 3), 200, np.uint8))
    half = picture.copy()
    half[:, : half.shape[1] // 2] = np.random.default_rng(0).integers(
        0, 255, half[:, : half.shape[1] // 2].shape
    )
    heat = occlusion(encoder, half, encoder.embed(half[None])[0])
    assert np.abs(heat[:, :3]).mean() > 2 * np.abs(heat[:, 5:]).mean()
    sheet = tmp_path / "why.png"
    search.run(index.folder, ["#4"], why=sheet, top=2)
    assert Image.open(sheet).height > 300


def test_a_stranger_is_refused_and_a_declared_student_accepted(index, finished, tmp_path):
    path = index.items["path"].iloc[0]
    stranger = lookalike.create_model("conv4", **CONV4)
    weights.save(stranger, tmp_path / "stranger")
    with pytest.raises(ModelError, match="made by another model"):
        search.run(index.folder, [path], model=tmp_path / "stranger")
    assert search.run(index.folder, [path], model=tmp_path / "stranger", student=True)
    assert search.run(index.folder, [path], model=finished)[0]["hits"][0]["path"] == path
    said = json.loads((tmp_path / "stranger" / "model.json").read_text())
    said["teacher"] = index.manifest["model"]["sha256"]
    (tmp_path / "stranger" / "model.json").write_text(json.dumps(said))
    assert search.run(index.folder, [path], model=tmp_path / "stranger")
    wide = lookalike.create_model("conv4", pretrained=False, embedding_size=16, size=32)
    weights.save(wide, tmp_path / "wide")
    with pytest.raises(ModelError, match="16-d"):
        search.run(index.folder, [path], model=tmp_path / "wide", student=True)


@pytest.mark.slow
def test_a_killed_build_goes_on_where_it_stopped(finished, photos, tmp_path, capsys):
    program = (
        "import sys, os, signal\n"
        "from lookalike.jobs import index\n"
        "from lookalike.models.embedding_store import EmbeddingStore\n"
        "write, count = EmbeddingStore.write, 0\n"
        "def die_after_two(self):\n"
        "    global count\n"
        "    write(self)\n"
        "    count += 1\n"
        "    if count == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "EmbeddingStore.write = die_after_two\n"
        "EmbeddingStore.__init__.__defaults__ = (0.0,)\n"
        "index.build(sys.argv[1], sys.argv[2], sys.argv[3], batch_size=4, workers=0)\n"
    )
    out = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", program, finished, photos, out], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(DataError, match="is not an index"):
        Index.open(out)
    index = jobs.build(finished, str(photos), out, workers=0)
    assert "8 of 18 images were embedded before" in capsys.readouterr().out
    whole = jobs.build(finished, str(photos), tmp_path / "whole", workers=0)
    np.testing.assert_allclose(np.asarray(index.vectors), np.asarray(whole.vectors), atol=1e-6)
    assert index.items["path"].tolist() == whole.items["path"].tolist()
    assert not (out / "building").exists()


def test_a_store_of_other_images_is_not_used(finished, photos, tmp_path, capsys):
    from lookalike.models.embedding_store import Embedded, EmbeddingStore

    out = tmp_path / "ix"
    store = EmbeddingStore.of_plan(out / "building", {"model": "another"}, 18)
    store.add(Embedded(np.zeros((3, 8), np.float32), np.arange(3), {}))
    store.write()
    assert list((out / "building").rglob("rows-*.npz"))
    assert len(jobs.build(finished, str(photos), out, workers=0)) == 18
    assert "resumed" not in capsys.readouterr().out


def test_two_builds_into_one_folder_are_kept_apart(index, finished, photos):
    from lookalike.search.generations import writing

    with writing(index.folder), pytest.raises(RunError, match="another process"):
        jobs.build(finished, str(photos), index.folder, workers=0, overwrite=True)


def test_tune_takes_the_engine_it_prints(index, capsys):
    jobs.tune(index.folder, recall=0.5, dry_run=True)
    assert Index.open(index.folder).manifest["generation"] == index.manifest["generation"]
    jobs.tune(index.folder, recall=0.5)
    out = capsys.readouterr().out
    now = Index.open(index.folder).engine
    assert f"now uses {now['name']}" in out
    assert "recall@10" in out


def test_a_file_of_the_index_finds_itself_unless_it_is_left_out(index, photos, tmp_path, capsys):
    """As the search of Positive Proxy, which prints as many others."""
    file = str(sorted(photos.rglob("*.png"))[4])
    plain, without = (
        search.run(index.folder, [file], top=5, exclude_self=flag)[0]["hits"]
        for flag in (False, True)
    )
    assert plain[0]["path"] == file and len(without) == 5
    assert [hit["id"] for hit in without[:4]] == [hit["id"] for hit in plain[1:]]
    fused = search.run(index.folder, [file, file], top=5, fuse="average", exclude_self=True)
    assert fused[0]["hits"] == without
    copy = tmp_path / "copy.png"
    copy.write_bytes((photos / "kind1" / "1.png").read_bytes())
    capsys.readouterr()
    assert len(search.run(index.folder, [copy], top=5, exclude_self=True)[0]["hits"]) == 5
    assert f"not in the index, so nothing left out for: {copy}" in " ".join(
        capsys.readouterr().out.split()
    )
