"""Rivals, selection, gate, number of classes and the files between, by hand and by golden file."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from typer.main import get_command

from lookalike import cli
from lookalike.data.embedding_file import Embeddings
from lookalike.discover.class_count import (
    _counts,
    _weighted_f,
    classes_from_clusters,
    estimate_classes,
)
from lookalike.discover.clusterers import METHODS, as_partition, check_options, cluster
from lookalike.discover.neighbours import unit
from lookalike.discover.pss_pickles import PSSFile, selected_labels
from lookalike.discover.selection import (
    ClassMeans,
    _parting,
    auroc,
    far_from_known,
    known_gate,
    select_by_density,
)
from lookalike.errors import ConfigError, DataError
from lookalike.jobs import cluster as verb
from lookalike.metrics import clustering


def blobs(classes=12, each=20, width=24, noise=0.2, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(classes).repeat(each)
    x = rng.normal(size=(classes, width))[labels] + noise * rng.normal(size=(len(labels), width))
    return unit(x), labels


@pytest.mark.parametrize("name", ["select_0.8_0.9", "select_0.6_0.8", "select_iter1_0.7_0.9"])
def test_selection_is_that_of_the_original(golden, name):
    with np.load(golden / "smoothap" / f"hl_pss_{name}.npz") as g:
        masks = (
            np.where(g["masks_in"] == 1, 2, g["masks_in"]) if "iter1" not in name else g["masks_in"]
        )
        masks = np.where(masks == 1, 2, masks)
        rows = np.flatnonzero(masks != 0)
        np.testing.assert_array_equal(rows, g["clustered_rows"])
        parent = np.full(len(rows), -1)
        parent[g["tree_edge_dst"]] = g["tree_edge_src"]
        from lookalike.discover.decode import trees

        clusters, _ = trees(parent)
        chosen = select_by_density(clusters, g["pred_density_level0"], float(g["thresh"]))
        labels, new_masks = selected_labels(g["labels_in"], masks, clusters, chosen)
        np.testing.assert_array_equal(labels, g["pred_labels_out"])
        np.testing.assert_array_equal(new_masks, g["masks_out"])


def test_reclustering_keeps_all(golden):
    with np.load(golden / "smoothap" / "hl_pss_recluster_k3.npz") as g:
        from lookalike.discover.decode import trees

        rows = np.flatnonzero(g["masks_in"] == 1)
        np.testing.assert_array_equal(rows, g["clustered_rows"])
        parent = np.full(len(rows), -1)
        parent[g["tree_edge_dst"]] = g["tree_edge_src"]
        clusters, _ = trees(parent)
        training = len(np.unique(g["labels_in"][g["masks_in"] == 0]))
        np.testing.assert_array_equal(g["pred_labels_out"][rows], clusters + training)


OPTIONS = {
    "hdbscan": {},
    "agglomerative": {"distance": 0.4},
    "kmeans": {"classes": 12},
    "components": {"cosine": 0.6},
}


@pytest.mark.parametrize("method", OPTIONS)
def test_every_clusterer_finds_what_is_plain(method):
    x, labels = blobs()
    found = cluster(x, method, **OPTIONS[method])
    assert clustering(as_partition(found.labels), labels)["b_cubed_f"] > 0.9
    assert found.clusters == pytest.approx(12, abs=2) and found.density.mean() > 0.5


def test_what_cannot_be_clustered_is_said():
    x, _ = blobs()
    assert set(METHODS) == {"hilander", *OPTIONS}
    with pytest.raises(ConfigError, match="Did you mean 'kmeans'"):
        cluster(x, "kmean")
    with pytest.raises(ConfigError, match=r"kmeans.clases: .*Did you mean 'classes'"):
        cluster(x, "kmeans", clases=3)
    with pytest.raises(ConfigError, match="classes=None"):
        cluster(x, "kmeans")
    with pytest.raises(ConfigError, match="trained network"):
        cluster(x, "hilander")


def test_the_help_of_cluster_names_options_that_there_are():
    (words,) = (
        p.help for p in get_command(cli.app).commands["cluster"].params if p.name == "words"
    )
    options = re.findall(r"(\w+)=[\d.]+(?: and (\w+)=[\d.]+)? of\s+(\w+)", words)
    assert {method for *_, method in options} == set(METHODS)
    for *names, method in options:
        check_options(method, [name for name in names if name])


def test_options_are_refused_before_the_embeddings_are_read(tmp_path):
    with pytest.raises(ConfigError, match=r"hdbscan.k: hdbscan takes no such argument"):
        verb.run(tmp_path / "none.npy", ["k=10"], method="hdbscan")
    with pytest.raises(ConfigError, match=r"lander.epoch: no such option"):
        verb.run(tmp_path / "none.npy", ["lander.epoch=1"])


def test_the_number_of_classes_is_estimated_from_the_labelled_half():
    x, labels = blobs(classes=40, each=12, seed=3)
    known = [int(label) if label < 20 else None for label in labels]
    found = estimate_classes(x, known)
    assert found.low <= found.value <= found.high
    assert 30 <= found.value <= 52 and found.low <= 40 <= found.high * 1.1
    with pytest.raises(DataError, match="two labelled"):
        estimate_classes(x, [None] * len(x))


def test_the_number_of_classes_is_what_clusters_stand_for():
    x, labels = blobs(classes=60, each=12, seed=3)
    known = labels < 20
    # Cut finely, every class falls into several clusters, labelled or not.
    heap, labelled = (
        cluster(x[part], "agglomerative", distance=0.05, linkage="complete").labels
        for part in (~known, known)
    )
    pieces = (np.bincount(heap) > 1).sum()
    found = classes_from_clusters(heap, labelled, labels[known])
    assert pieces > 60 and 34 <= found.value <= 46 and found.low <= 40 <= found.high
    with pytest.raises(DataError, match="no two labelled"):
        classes_from_clusters(heap, np.arange(4), [0, 0, 1, 1])


def test_the_weighted_f_of_every_class_once_is_the_metric():
    rng = np.random.default_rng(0)
    code, part = rng.integers(5, size=60), rng.integers(7, size=60)
    want = clustering(part, code)["pairwise_f"]
    assert _weighted_f(_counts(part, code, 5), np.ones(5, int)) == pytest.approx(want)


def test_the_gate_finds_known_classes():
    x, labels = blobs(classes=20, each=30)
    known = labels < 10
    labelled = known & (np.arange(len(x)) % 2 == 0)
    rest = ~labelled
    gate = known_gate(x[labelled], labels[labelled])
    inside, label, cosine = gate(x[rest])
    assert auroc(known[rest], cosine) > 0.99
    assert (inside == known[rest]).mean() > 0.95
    assert (label[known[rest]] == labels[rest][known[rest]]).mean() > 0.99
    far = far_from_known(x[rest], gate.known, least=0.15)
    np.testing.assert_array_equal(far, (1 - cosine) / 2 >= 0.15)
    assert ClassMeans.of(x, labels).means.shape == (20, 24)


def test_the_parting_threshold_is_the_best_of_all():
    rng = np.random.default_rng(1)
    high, low = rng.normal(1, 1, 50), rng.normal(0, 1, 70)
    found = _parting(high, low)
    score = lambda t: (high >= t).mean() + (low < t).mean()  # noqa: E731
    assert score(found) == pytest.approx(max(score(t) for t in np.concatenate([high, low])))


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_embeddings_come_back(tmp_path, suffix):
    x, labels = blobs()
    rows = pd.DataFrame({"path": [f"{i}.png" for i in range(len(x))], "label": labels})
    Embeddings(x, rows).save(tmp_path / f"a{suffix}")
    again = Embeddings.load(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(again.vectors, x)
    pd.testing.assert_frame_equal(again.rows, rows, check_dtype=False)
    (tmp_path / "a.parquet").unlink()
    assert list(Embeddings.load(tmp_path / f"a{suffix}").rows) == ["row"]


def test_embeddings_that_are_none_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(DataError, match=r"must hold numbers \(N, D\)"):
        Embeddings.load(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"b.npy: cannot be read"):
        Embeddings.load(tmp_path / "b.npy")
    with pytest.raises(DataError, match=r"\.npy or \.safetensors"):
        Embeddings.load(tmp_path / "b.txt")


def test_pickles_of_pss_come_and_go(tmp_path, golden):
    with np.load(golden / "smoothap" / "dump_iter1_testing.npz") as g:
        paths = [f"a/{i}.jpg" for i in g["file_index_of_row"]]
        held = PSSFile(
            paths, g["features"], g["third_target_labels"], g["fourth_gt_labels"], g["fifth_masks"]
        )
    held.save(tmp_path / "f.pkl")
    again = PSSFile.load(tmp_path / "f.pkl")
    assert again.paths == paths
    np.testing.assert_array_equal(again.labels, held.labels)
    np.testing.assert_array_equal(again.masks, held.masks)
    # What the original reads: five things in this order, of these types.
    places, features, *rest = pickle.loads((tmp_path / "f.pkl").read_bytes())
    assert places[paths[3]] == 3 and features.dtype == np.float32
    assert [a.dtype for a in rest] == [np.int64, np.int64, np.float64]


def test_a_pickle_that_runs_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    (tmp_path / "x.pkl").write_bytes(pickle.dumps([{}, Evil(), 1, 2, 3]))
    with pytest.raises(DataError, match="refused"):
        PSSFile.load(tmp_path / "x.pkl")
    (tmp_path / "y.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="list of five"):
        PSSFile.load(tmp_path / "y.pkl")
