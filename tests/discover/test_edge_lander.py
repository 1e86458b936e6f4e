"""LANDER over similarities: its traits by hand, few classes, another width, the file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookalike.discover.clusterers import cluster
from lookalike.discover.edge_lander import EdgeLander
from lookalike.discover.graph import knn_graph
from lookalike.discover.hierarchy import hilander
from lookalike.discover.lander_files import load_lander, save_lander
from lookalike.discover.lander_training import TrainingOptions, train_lander
from lookalike.discover.neighbours import nearest_neighbours, unit
from lookalike.discover.traits import TRAITS, edge_traits
from lookalike.errors import ConfigError
from lookalike.metrics import clustering
from on_device import device


def blobs(classes, each, *, width=32, noise=0.4, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(classes).repeat(each)
    x = rng.normal(size=(classes, width))[labels]
    return unit(x + 2 * noise * rng.normal(size=x.shape)), labels


def traits_by_hand(graph, x):
    """Edge by edge, from the words of the docstring."""
    towards = [
        [e for e in range(len(graph.source)) if graph.target[e] == node]
        for node in range(graph.nodes)
    ]
    near = [[int(graph.source[e]) for e in edges] for edges in towards]
    cosines = [[float(graph.cosine[e]) for e in edges] or [0.0] for edges in towards]
    middle = [x[[node, *near[node]]].mean(axis=0) for node in range(graph.nodes)]
    rows = []
    for e in range(len(graph.source)):
        j, i, c = int(graph.source[e]), int(graph.target[e]), float(graph.cosine[e])
        m_i, m_j = (middle[n] / np.linalg.norm(middle[n]) for n in (i, j))
        row = [c]
        for summary in (np.mean, max, min):
            row += [c - summary(cosines[i]), c - summary(cosines[j])]
        row += [x[i] @ m_j, x[j] @ m_i, m_i @ m_j]
        row += [len(set(near[i]) & set(near[j])) / len(near[i]), i in near[j]]
        row += [np.mean(cosines[i]), np.mean(cosines[j])]
        rows.append([*row, np.linalg.norm(middle[i]), np.linalg.norm(middle[j])])
    return np.float32(rows)


def test_traits_are_what_the_words_say(monkeypatch):
    monkeypatch.setattr("lookalike.discover.traits._ROWS", 7)
    x = np.abs(blobs(6, 5, width=4)[0])
    # A vector that points away from all others has neighbours of negative cosine, so no edges.
    x = np.concatenate([x, unit(-x.mean(axis=0, keepdims=True))])
    graph = knn_graph(nearest_neighbours(x, 5))
    assert len(graph.source) == 4 * (len(x) - 1)
    found = edge_traits(graph.to(device()), torch.from_numpy(x)).numpy()
    assert found.shape == (len(graph.source), TRAITS)
    np.testing.assert_allclose(found, traits_by_hand(graph, x), atol=1e-6)
    turned, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))
    again = edge_traits(graph.to(device()), torch.from_numpy(np.float32(x @ turned))).numpy()
    np.testing.assert_allclose(found, again, atol=1e-5)


def test_few_classes_are_enough_where_vectors_are_learnt_by_heart(tmp_path):
    short = {"k": [8], "levels": [2], "hidden": 32, "epochs": 60}
    known, labels = blobs(40, 10)
    x, truth = blobs(80, 10, seed=1)
    scores = {}
    for inputs in ("similarities", "vectors"):
        network = train_lander(known, labels, TrainingOptions(**short, inputs=inputs))
        found = hilander(network, x, k=8, tau=0.5)
        scores[inputs] = clustering(found.labels, truth)["b_cubed_f"]
        if inputs == "similarities":
            save_lander(network, tmp_path / "x.safetensors")
            again = load_lander(tmp_path / "x.safetensors")
            assert isinstance(again, EdgeLander)
            same = cluster(x, "hilander", network=again, k=8, tau=0.5)
            np.testing.assert_array_equal(same.labels, found.labels)
            np.testing.assert_allclose(same.density, found.density, atol=1e-5)
            # Nothing in it belongs to one space: embeddings of another width will do.
            wide, other = blobs(60, 10, width=96, seed=2)
            assert clustering(hilander(again, wide, k=8, tau=0.5).labels, other)["ami"] > 0.8
    assert scores["similarities"] > 0.85 > scores["vectors"] + 0.1


def test_options_of_the_other_network_are_refused():
    with pytest.raises(ConfigError, match=r"heads=2 is of inputs=vectors"):
        TrainingOptions(heads=2)
    with pytest.raises(ConfigError, match=r"inputs=vector: .*'vectors'"):
        TrainingOptions(inputs="vector")
    with pytest.raises(ConfigError, match=r"hilander.taw: .*'tau'"):
        cluster(np.eye(20), "hilander", network=EdgeLander(), taw=0.5)
    with pytest.raises(ConfigError, match=r"optimizer=adam: .*'adamw'"):
        TrainingOptions(optimizer="adam")
    assert TrainingOptions(inputs="vectors", heads=2).heads == 2
