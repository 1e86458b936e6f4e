"""Files of strangers: paths, links, arrays, archives, and every key damaged in every way."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import sys
import tarfile
import typing
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.security.keys import places, put

from lookalike import documents
from lookalike.compose import compose, from_yaml, to_yaml
from lookalike.config import Config
from lookalike.data.archive import unpack
from lookalike.data.cache import CacheFile, build_cache, open_cache
from lookalike.data.datasets.folders import loose_folder
from lookalike.errors import ConfigError, DataError, LookalikeError, RunError
from lookalike.files import remove_tree
from lookalike.jobs import publish
from lookalike.models import weights
from lookalike.models.description import ModelFile
from lookalike.runs import Run, RunFile
from lookalike.search.blocks import write_sums
from lookalike.search.encoders import own_encoder
from lookalike.search.exported import ExportFile, read_about
from lookalike.search.index import Index
from lookalike.search.manifest import Manifest

# What may stand at a key of a damaged file.
DAMAGE = [None, "", "x", -1, 10**12, 1.5, True, [], {}, [[]], {"a": {}}, "../../x", "\0"]
MISSING = object()


def damaged(content, schema):
    """The content with each key damaged in each way, and missing."""
    for place in dict.fromkeys(place for place, _ in places(schema)):
        for value in [*DAMAGE, MISSING]:
            other = copy.deepcopy(content)
            if value is not MISSING:
                if put(other, place, value):
                    yield place, other
                continue
            node = other
            for key in place[:-1]:
                node = node.get(key) if isinstance(node, dict) else None
            if isinstance(node, dict) and place[-1] in node:
                del node[place[-1]]
                yield place, other


# ── the kind: a damaged file is a sentence ──────────────────────────────────────────────────────


def opened_index(folder):
    index = Index.open(folder)
    index.search(np.ones((1, index.vectors.width), "f4"), top=3)
    index.verify()
    if index.model_folder is not None:
        own_encoder(index)


@pytest.mark.slow
def test_an_index_json_damaged_at_any_key(given_index, tmp_path):
    folder = Path(shutil.copytree(given_index, tmp_path / "ix"))
    content = json.loads((folder / "index.json").read_text())
    for place, other in damaged(content, Manifest):
        (folder / "index.json").write_text(json.dumps(other))
        only_sentences(opened_index, folder, place)


@pytest.mark.slow
def test_a_model_json_damaged_at_any_key(trained, tmp_path):
    folder = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    content = json.loads((folder / "model.json").read_text())
    for place, other in damaged(content, ModelFile):
        (folder / "model.json").write_text(json.dumps(other))
        only_sentences(weights.load, folder, place)


@pytest.mark.slow
def test_a_configuration_damaged_at_any_key(toy):
    content, seen = yaml.safe_load(to_yaml(compose(toy))), Counter()
    for place, other in damaged(content, Config):
        seen[place] += 1
        if seen[place] > 2:
            continue  # every key, in two of the ways: each takes a while
        only_sentences(from_yaml, yaml.safe_dump(other), place)


def test_a_run_s_manifest_damaged_at_any_key(trained, tmp_path):
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    content = json.loads((trained / "manifest.json").read_text())
    for place, other in damaged(content, RunFile):
        (folder / "manifest.json").write_text(json.dumps(other))
        only_sentences(lambda run: Run(run).read_manifest(), folder, place)
        only_sentences(lambda run: publish.run(run, to=str(tmp_path / "out")), folder, place)


def test_a_cache_damaged_at_any_key(photos, tmp_path):
    build_cache(loose_folder(photos), tmp_path / "cache")
    file = tmp_path / "cache" / "cache.json"
    content = json.loads(file.read_text())
    for place, other in damaged(content, CacheFile):
        file.write_text(json.dumps(other))
        only_sentences(open_cache, tmp_path / "cache", place)


def test_an_export_damaged_at_any_key(tmp_path):
    content = {
        "format": 1, "kind": "onnx", "exported_from": "0" * 64, "teacher": None, "width": 4,
        "backbone": "x", "size": 8, "preprocessing": "p", "files": {"a.onnx": "0" * 64},
    }  # fmt: skip
    (tmp_path / "a.onnx").write_bytes(b"")
    for place, other in damaged(content, ExportFile):
        (tmp_path / "exported.json").write_text(json.dumps(other))
        only_sentences(read_about, tmp_path, place)


def only_sentences(act, folder, place):
    try:
        act(folder)
    except LookalikeError:
        pass
    except Exception as error:
        raise AssertionError(f"{place}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"), (b"\xff\xfe", "is not text"), (b"[" * 100_000, "nested too deeply"),
        (b'{"count": ' + b"9" * 5000 + b"}", "is not JSON"), (b"[]", "expected a mapping"),
        (b'{"count": "1"}', ": count: expected a whole number, got a text"),
        (b'{"count": 1, "b": -1, "c": 2}', ": b: expected"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_such_document(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.json.*{words}"):
        documents.read_json(tmp_path / "a.json", dict[str, documents.Count])


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"a": [], "b": [{"x": 1}, {"y": 1, "z": "q", "u": "r"}], "c": [{"x": "w"}]}, "b.1.z: "),
        ({"a": [], "../b": [], "c": 1}, "../b: is not such a name"),
        ({"a": [{"x": 1, 1: 1}]}, "a.0.1: expected a text"),
        ({"a.b": 1}, "a.b: expected a list"),
        ([], "expected a mapping"),
    ],
)
def test_the_entry_at_fault_is_named_at_any_depth(content, where):
    schema = dict[documents.PlainName, list[dict[str, int]]]
    with pytest.raises(DataError) as caught:
        documents.check(content, schema, "f.json")
    assert str(caught.value).startswith(f"f.json: {where}")


def test_files_that_cannot_be_read_and_too_large_ones(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path, words in (
        (tmp_path / "loop", "symbolic links"), (tmp_path, "directory"),
        (tmp_path / "no", "No such file"), (tmp_path / ("x" * 300), "too long"),
        (tmp_path / "a\0b", "null byte"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words):
            documents.read_json(path, dict)
    (tmp_path / "large").write_text(" " * 1000)
    with pytest.raises(DataError, match="is larger than"):
        documents.read_json(tmp_path / "large", dict, most=999)


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system [id]", "a: &a [1]\nb: *a", "[" * 5000, "a: [", "a: \x00",
     "? [a]: b", "<<: {a: 1}\na: 2: 3"],
)  # fmt: skip
def test_yaml_of_strangers_is_a_sentence(text):
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        from_yaml(text, source="config.yaml")


def test_nothing_reads_json_or_yaml_but_the_door():
    """Each place that parses by itself is known, and reads no file of an unknown shape."""
    known = {
        "documents.py", "records.py", "trust.py",  # the door; a log of checked lines; a mark
        "locks.py", "training/trace.py", "training/parting.py",  # shown only; lines, each checked
        "data/datasets/_split_dictionary.py",  # somebody's data, of a shape it checks itself
        "data/datasets/_hugging_face.py", "data/datasets/_inaturalist.py",
        "data/datasets/_dyml.py", "data/datasets/_gldv2.py",
        "models/embedding_store.py",  # texts inside its own arrays
        "search/remote/pgvector.py",  # a table's comment, checked by its schema there
        "runs.py",  # a line at a time, each checked
        "web/worker.py",  # between two processes of one program
        "compose.py", "evaluation/benchmarks.py",  # lookalike's own conf/
    }  # fmt: skip
    home = Path(documents.__file__).parent
    words = ("json.load", "yaml.load", "yaml.safe_load", "OmegaConf.load", "OmegaConf.create")
    found = {
        path.relative_to(home).as_posix()
        for path in home.rglob("*.py")
        if any(word in path.read_text() for word in words)
    }
    assert found <= known, found - known


# ── paths ───────────────────────────────────────────────────────────────────────────────────────


def names(schema):
    """Places of a schema whose values, or keys, are names of files right there."""
    plain = documents.PlainName
    for place, of in places(schema):
        inside = typing.get_args(of) if typing.get_origin(of) is not dict else ()
        if of is plain or plain in inside or "generation" in place:
            yield place


OUTSIDE = ["../../x", "/etc/passwd", "a/../../b", "..", ".", "", "a/b", "a\0", "~root", ".hidden"]


@pytest.mark.parametrize(
    ("schema", "where", "given", "act"),
    [
        (Manifest, "index.json", "given_index", Index.open),
        (CacheFile, "cache.json", "cached", open_cache),
    ],
)
def test_every_path_in_a_manifest_set_outside_is_refused(
    schema, where, given, act, request, tmp_path
):
    folder = Path(shutil.copytree(request.getfixturevalue(given), tmp_path / "copy"))
    content = json.loads((folder / where).read_text())
    tried = 0
    for place in names(schema):
        for value in OUTSIDE:
            other = copy.deepcopy(content)
            if put(other, place, value):
                (folder / where).write_text(json.dumps(other))
                with pytest.raises(DataError, match="is not such a name"):
                    act(folder)
                tried += 1
    assert tried >= 10
    for value in OUTSIDE if "files" in content else ():
        other = copy.deepcopy(content)
        other["files"][value] = {"bytes": 0, "sha256": "0" * 64}
        (folder / where).write_text(json.dumps(other))
        with pytest.raises(DataError, match=where):
            act(folder)


@pytest.fixture(scope="module")
def cached(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cached") / "c"
    build_cache(loose_folder(photos), folder)
    return folder


@pytest.mark.parametrize(
    "place", ["generations", "generations/000001", "generations/000001/vectors.npy", "models",
              "index.json", ".lock", "building", "servers.json", "models/SHA/model.json",
              "marks", "marks/marks.jsonl", "uploads"],
)  # fmt: skip
def test_a_link_inside_an_index_is_refused_by_all(strange_index, tmp_path, vectors, place):
    documents_of_mine = tmp_path / "Documents"
    if "SHA" in place:
        (model,) = (strange_index / "models").iterdir()
        place = place.replace("SHA", model.name)
    path = strange_index / place
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        path.rename(documents_of_mine)
    else:
        documents_of_mine.mkdir()
    (tmp_path / "taxes").mkdir()
    path.symlink_to(documents_of_mine)
    x, items = vectors
    kept = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(RunError, match="is a link"):
        Index.open(strange_index)
    with pytest.raises(RunError, match="is a link"):
        Index.build(strange_index, x, items, overwrite=True)
    assert kept == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("place", ["evaluation", "evaluation/test", "checkpoints", "unfinished"])
def test_a_link_inside_a_run_is_refused(strange_run, tmp_path, place):
    path = strange_run / place
    if path.exists():
        path.rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link"):
        Run.open(strange_run)


def test_nothing_is_removed_outside_a_folder(tmp_path):
    (tmp_path / "home" / "inner").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "home" / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "child").mkdir()
    home = tmp_path / "home"
    for path in (home / "link", home / "link" / "child", home / ".." / "mine", home, tmp_path):
        with pytest.raises(RunError, match="nothing was removed"):
            remove_tree(path, home)
    assert (tmp_path / "mine" / "child").is_dir()
    remove_tree(home / "inner", home)
    remove_tree(home / "inner", home)  # gone already: no error
    assert not (home / "inner").exists()


# ── arrays ──────────────────────────────────────────────────────────────────────────────────────


def arrays(x):
    """Other arrays of a file, by what is wrong with them."""
    return {
        "int32": x.view("i4"), "big endian": x.astype(">f4"), "by columns": np.asfortranarray(x),
        "float64": x.astype("f8"), "text": x.astype("S4"), "deep": x[None], "flat": x.ravel(),
        "wider": np.hstack([x, x]), "more": np.vstack([x, x]), "fewer": x[:5],
        "none": np.zeros((0, x.shape[1]), "f4"),
    }  # fmt: skip


@pytest.mark.parametrize("storage", ["float32", "float16", "int8", "binary"])
@pytest.mark.parametrize("file", ["vectors.npy", "ids.npy", "scales.npy"])
def test_another_array_than_the_manifest_says_is_refused(tmp_path, vectors, storage, file):
    x, items = vectors
    index = Index.build(tmp_path / "ix", x, items, storage=storage)
    path = index.generation / file
    if not path.exists():
        return
    kept = np.load(path)
    others = arrays(x) if kept.ndim == 2 else {
        "other": kept.astype("f8" if kept.dtype != "f8" else "f4"), "short": kept[:5],
        "big endian": kept.astype(kept.dtype.newbyteorder(">")), "deep": kept[None],
    }  # fmt: skip
    for name, other in others.items():
        if other.dtype == kept.dtype and other.shape == kept.shape and other.flags.c_contiguous:
            continue
        np.save(path, other)
        _as_said(index.folder, file)  # the manifest lies along
        with pytest.raises(DataError, match=rf"{file.replace('.', '[.]')} holds|vectors and items"):
            Index.open(index.folder)
            pytest.fail(name)
    path.write_bytes(b"PK\3\4" + b"x" * 60)
    _as_said(index.folder, file)
    with pytest.raises(DataError, match="cannot be read"):
        Index.open(index.folder)


def _as_said(folder, file):
    manifest = json.loads((folder / "index.json").read_text())
    (path,) = folder.glob(f"generations/*/{file}")
    write_sums(path)
    for one in (path, path.with_name(f"{file}.crc")):
        manifest["files"][one.name]["bytes"] = one.stat().st_size
    (folder / "index.json").write_text(json.dumps(manifest))


def test_a_header_that_lies_about_the_shape_costs_no_memory(tmp_path, vectors):
    x, items = vectors
    index = Index.build(tmp_path / "ix", x, items)
    path = index.generation / "ids.npy"
    data = path.read_bytes().replace(b"(40,)", b"(9" + b"9" * 12 + b",)")
    path.write_bytes(data)
    _as_said(index.folder, "ids.npy")
    with pytest.raises(DataError, match=r"ids\.npy"):
        Index.open(index.folder)


def test_bytes_changed_in_the_middle_are_told_on_request(tmp_path, vectors):
    x, items = vectors
    index = Index.build(tmp_path / "ix", x, items)
    path = index.generation / "vectors.npy"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    assert any("has changed" in one for one in Index.open(index.folder).verify())
    with pytest.raises(DataError, match="has changed"):
        Index.open(index.folder, sums=True)


def test_an_engine_of_other_vectors_is_refused(tmp_path):
    import pandas as pd

    x = np.random.default_rng(0).normal(size=(300, 8)).astype("f4")
    items = pd.DataFrame({"path": [f"{i}" for i in range(300)]})
    one = Index.build(tmp_path / "a", x, items, engine="hnsw")
    other = Index.build(tmp_path / "b", x[:100, :4], items[:100], engine="hnsw")
    for name in ("engine.faiss", "places.npy"):
        shutil.copy(one.generation / name, other.generation / name)
        _as_said(other.folder, name)
    with pytest.raises(DataError, match="is of other vectors"):
        Index.open(other.folder).open_engine()
    (other.generation / "places.npy").unlink()
    with pytest.raises(DataError, match="missing"):
        Index.open(other.folder)


# ── archives ────────────────────────────────────────────────────────────────────────────────────


def bomb(file: Path, kind: str, size: int, members: int = 1) -> Path:
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(members):
                archive.writestr(f"{number}", b"\0" * size)
    else:
        with tarfile.open(file, f"w:{kind}") as archive:
            for number in range(members):
                member = tarfile.TarInfo(f"{number}")
                member.size = size
                archive.addfile(member, io.BytesIO(b"\0" * size))
    return file


@pytest.mark.parametrize("kind", ["zip", "gz", "xz"])
def test_an_archive_that_would_swell_is_refused_before_anything_is_written(
    tmp_path, kind, monkeypatch
):
    monkeypatch.setattr("lookalike.data.archive.SMALL", 1 << 20)
    file = bomb(tmp_path / f"a.{kind}", kind, 3 << 20)
    with pytest.raises(DataError, match=r"swells to .* MB.* unpack it yourself"):
        unpack([file], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == [file.name]
    sound = bomb(tmp_path / f"b.{kind}", kind, 1000)
    unpack([sound], tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_too_many_members_and_too_small_a_disk(tmp_path, kind, monkeypatch):
    file = bomb(tmp_path / f"a.{kind}", kind, 10, members=30)
    monkeypatch.setattr("lookalike.data.archive.MOST_MEMBERS", 29)
    with pytest.raises(DataError, match="more than 29 members"):
        unpack([file], tmp_path / "out")
    monkeypatch.setattr("lookalike.data.archive.MOST_MEMBERS", 30)
    monkeypatch.setattr("lookalike.data.archive._free", lambda _: 100)
    with pytest.raises(DataError, match="are free"):
        unpack([file], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == [file.name]


@pytest.mark.skipif(os.name != "posix", reason="names that are not text")
def test_names_of_files_that_are_no_text_are_left_out_and_named(photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    image = next(Path(folder).rglob("*.png")).read_bytes()
    odd = os.fsencode(str(folder)) + b"/class0/\xff\xfe.png"
    Path(os.fsdecode(odd)).write_bytes(image)
    table = loose_folder(folder)
    assert len(table) == 24
    assert any(r"\xff\xfe.png" in note for note in table.notes)
    assert sys.getfilesystemencoding() == "utf-8"
