"""Hi-LANDER against the numbers of the original: graphs, network, decoding, levels, stop rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lookalike.discover import lander_training
from lookalike.discover.decode import parents, trees
from lookalike.discover.graph import Graph, knn_graph, predicted_density, true_density
from lookalike.discover.hierarchy import hilander, stops
from lookalike.discover.lander import Lander
from lookalike.discover.lander_files import load_lander, save_lander
from lookalike.discover.lander_loss import lander_loss, link_loss
from lookalike.discover.lander_training import TrainingOptions, train_lander
from lookalike.discover.levels import training_levels
from lookalike.discover.neighbours import nearest_neighbours, unit
from lookalike.errors import ConfigError, DataError, ModelError, NumericsError
from lookalike.metrics import clustering
from on_device import device


def load(golden, name):
    with np.load(golden / "smoothap" / f"{name}.npz") as file:
        return dict(file)


def graph_of(g, prefix="", dtype=None):
    share = g.get(f"{prefix}affine", g[f"{prefix}raw_affine"])
    real = [torch.from_numpy(a) for a in (g[f"{prefix}raw_affine"], share)]
    nodes = int(max(g[f"{prefix}src"].max(), g[f"{prefix}dst"].max())) + 1
    pair = (torch.from_numpy(g[f"{prefix}{end}"]) for end in ("src", "dst"))
    return Graph(nodes, *pair, *(r if dtype is None else r.to(dtype) for r in real))


def lander_of(g, width=None):
    state = {k[2:]: torch.from_numpy(v) for k, v in g.items() if k.startswith("w_")}
    fc = state.get("conv.0.gcn_layer.fc.weight")
    network = Lander(
        width or int(g["feature_dim"]) * (1 + int(g["use_cluster_feat"])),
        int(g["nhid"] if "nhid" in g else g["hidden"]),
        int(g["num_conv"]),
        attention=fc is not None,
        heads=int(g.get("K", 1)),
    ).to(next(iter(state.values())).dtype)
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize("case", [0, 1, 2])
def test_graphs_and_levels_are_those_of_the_original(golden, case):
    g = load(golden, f"hl_graph_{case}")
    levels = training_levels(unit(g["x"]), g["labels"], int(g["k"]), int(g["levels_requested"]))
    assert len(levels) == int(g["levels_built"])
    for number, level in enumerate(levels):
        want = {k.split("_", 1)[1]: v for k, v in g.items() if k.startswith(f"L{number}_")}
        np.testing.assert_array_equal(level.graph.source, want["src"])
        np.testing.assert_array_equal(level.graph.target, want["dst"])
        np.testing.assert_array_equal(level.labels, want["labels"])
        np.testing.assert_array_equal(level.same_class, want["labels_conn"].astype(bool))
        np.testing.assert_array_equal(level.uphill, want["mask_conn"])
        # The stored numbers are float32: these are its last digits.
        for ours, name in (
            (level.graph.cosine, "raw_affine"),
            (level.graph.share, "affine"),
            (level.density, "density"),
            (level.features, "features"),
            (level.cluster_features, "cluster_features"),
        ):
            np.testing.assert_allclose(ours, want[name], rtol=1e-6, atol=2e-7, err_msg=name)
        near = nearest_neighbours(level.features, int(g["k"]))
        np.testing.assert_array_equal(near.ids, want["nbrs"][:, 1:])
        np.testing.assert_allclose(1 - near.cosine, want["dists"][:, 1:], atol=2e-7)


@pytest.mark.parametrize("case", [0, 1, 2])
@pytest.mark.parametrize("tau", ["0.0", "0.3", "0.5", "0.8", "0.9"])
@pytest.mark.parametrize("measure", ["prob", "sim"])
@pytest.mark.parametrize("which", ["predden", "gtden"])
def test_decoding_one_level(golden, case, tau, measure, which):
    g = load(golden, f"hl_decode_{case}")
    graph = graph_of(g)
    density = torch.from_numpy(g["pred_den" if which == "predden" else "density"])
    distance = torch.from_numpy(g["prob_conn"][:, 0]) if measure == "prob" else 1 - graph.cosine
    parent = parents(graph, density, distance, float(tau))
    labels, peaks = trees(parent)
    key = f"tau{tau}_{measure}_{which}_"
    np.testing.assert_array_equal(labels, g[key + "labels"])
    np.testing.assert_array_equal(peaks, g[key + "peaks"])
    edges = {
        (int(a), int(b)) for a, b in zip(g[key + "tree_src"], g[key + "tree_dst"], strict=True)
    }
    children = np.flatnonzero(parent >= 0)
    assert edges == set(zip(parent[children].tolist(), children.tolist(), strict=True))


@pytest.mark.parametrize("kind", ["gat", "gcn", "gatK3", "gcn2"])
def test_the_network_its_losses_and_gradients(golden, kind):
    g = load(golden, f"hl_lander_{kind}")
    network, graph = lander_of(g), graph_of(g)
    shown = ["features", *(["cluster_features"] if int(g["use_cluster_feat"]) else [])]
    x = torch.from_numpy(np.concatenate([g[name] for name in shown], axis=1))
    found = network(graph, x)
    near = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(network.convolve(graph, x).detach(), g["conv_features"], **near)
    np.testing.assert_allclose(found.logits.detach(), g["pred_conn"], **near)
    np.testing.assert_allclose(found.linked.detach(), g["prob_conn"], **near)
    np.testing.assert_allclose(found.density.detach(), g["pred_den"], **near)
    same = torch.from_numpy(g["labels_conn"]).bool()
    counted = torch.from_numpy(g["mask_conn"])
    loss = lander_loss(found, torch.from_numpy(g["density"]), same, counted)
    assert loss.item() == pytest.approx(float(g["loss"]), rel=1e-9)
    focal = link_loss(found.logits[counted], same[counted], focal=True)
    assert focal.item() == pytest.approx(float(g["focal_loss_conn"]), rel=1e-9)
    loss.backward()
    for name, parameter in network.named_parameters():
        np.testing.assert_allclose(parameter.grad, g[f"gradw_{name}"], **near, err_msg=name)
    few = network.predict(graph, x, rows=5)
    torch.testing.assert_close(few.logits, found.logits.detach())
    torch.testing.assert_close(few.density, found.density.detach())


def test_the_stop_rule(golden):
    for row in load(golden, "hl_stop_rule")["columns_level_total_early_cur_last_k_stop"]:
        level, total, early, edges, before, k, stop = row
        found = stops(int(level), int(total), int(edges), before, int(k), early=bool(early))
        assert found == bool(stop), row


@pytest.mark.parametrize(
    "name", ["select_0.8_0.9", "select_0.6_0.8", "select_iter1_0.7_0.9", "recluster_k3"]
)
def test_the_whole_hierarchy(golden, name):
    g = load(golden, f"hl_pss_{name}")
    network = lander_of(g, width=g["features"].shape[1])
    rows = g["clustered_rows"]
    found = hilander(
        network,
        g["features"][rows],
        k=int(g["k"]),
        tau=float(g["tau"]),
        levels=int(g["levels"]),
    )
    np.testing.assert_allclose(found.density, g["pred_density_level0"], rtol=1e-5, atol=1e-6)
    assert len(found.facts["levels"]) - 1 == int(g["last_level"])
    np.testing.assert_array_equal(np.flatnonzero(found.parent < 0), g["global_peaks"])
    children = np.flatnonzero(found.parent >= 0)
    np.testing.assert_array_equal(children, np.sort(g["tree_edge_dst"]))
    want = dict(zip(g["tree_edge_dst"].tolist(), g["tree_edge_src"].tolist(), strict=True))
    for child in children.tolist():
        if found.parent[child] != want[child]:
            # Two parents with one neighbourhood are equally near but for the last digit.
            near = nearest_neighbours(unit(g["features"][rows]), int(g["k"]))
            vectors = torch.from_numpy(unit(g["features"][rows]))
            graph = knn_graph(near).to(device())
            linked = network.predict(graph, vectors).linked[graph.target == child, 0]
            assert float(linked.max() - linked.min()) < 1e-6


def blobs(classes=12, each=20, width=24, noise=0.35, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(classes).repeat(each)
    x = rng.normal(size=(classes, width))[labels] + noise * rng.normal(size=(len(labels), width))
    return unit(x), labels


def test_a_mini_batch_sees_what_the_whole_graph_sees():
    x, _ = blobs()
    graph = knn_graph(nearest_neighbours(x, 6)).to(device())
    for layers in (1, 2):
        network = Lander(x.shape[1], 16, layers).eval()
        whole = network(graph, torch.from_numpy(x))
        seeds = torch.tensor([3, 77, 150, 239])
        part, old = graph.around(seeds, layers + 1)
        is_seed = torch.isin(old, seeds)
        found = network(part, torch.from_numpy(x)[old], is_seed)
        torch.testing.assert_close(found.logits, whole.logits[torch.isin(graph.target, seeds)])
        torch.testing.assert_close(found.density[is_seed], whole.density[seeds])


def test_trained_on_some_classes_it_clusters_others():
    small = TrainingOptions(
        k=[8],
        levels=[2],
        inputs="vectors",
        hidden=32,
        epochs=120,
        batch_size=300,
        lr=0.1,
        optimizer="sgd",
        weight_decay=1e-5,
        attention=False,
        cluster_features=True,
    )
    network = train_lander(*blobs(60, 10, noise=0.45), small)
    x, labels = blobs(60, 10, noise=0.45, seed=1)
    torch.manual_seed(0)  # the network without training is drawn from the state of the moment
    untrained = Lander(network.width, 32, attention=small.attention).eval()
    before, after = (
        clustering(hilander(n, x, k=8, tau=0.5).labels, labels) for n in (untrained, network)
    )
    assert after["b_cubed_f"] > 0.7 > 0.5 > before["b_cubed_f"]


@pytest.mark.parametrize("inputs", ["vectors", "similarities"])
def test_training_is_the_same_twice_and_draws_nothing_from_outside(inputs):
    common = {"k": [5], "levels": [2], "hidden": 8, "epochs": 3, "batch_size": 64}
    small = TrainingOptions(**common, inputs=inputs)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, two = (train_lander(*blobs(), small) for _ in range(2))
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), state)


def test_networks_are_kept_and_published_checkpoints_read(tmp_path, golden):
    for name, kind in (("a.safetensors", "gatK3"), ("b.pth", "gcn2")):
        g = load(golden, f"hl_lander_{kind}")
        network = lander_of(g)
        if name.endswith(".pth"):
            torch.save({f"module.{k}": v for k, v in network.state_dict().items()}, tmp_path / name)
        else:
            save_lander(network, tmp_path / name)
        again = load_lander(tmp_path / name)
        for (key, a), b in zip(
            network.state_dict().items(), again.state_dict().values(), strict=True
        ):
            assert torch.equal(a, b), key


def test_a_file_that_is_no_lander_is_refused(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match=r"no LANDER: src_mlp.weight is missing"):
        load_lander(tmp_path / "x.pth")
    with pytest.raises(ModelError, match="no such file"):
        load_lander(tmp_path / "y.pth")

    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"weight": Evil()}, tmp_path / "z.pth")
    with pytest.raises(DataError, match="refused"):
        load_lander(tmp_path / "z.pth")


def test_vectors_that_point_apart_and_copies_are_no_trouble():
    x = np.concatenate([np.eye(6), -np.eye(6), np.ones((9, 6))]).astype("f4")
    network = Lander(6, 8).eval()
    found = hilander(network, x, k=4)
    assert len(found.labels) == 21 and np.isfinite(found.density).all()
    near = nearest_neighbours(unit(x), 4)
    assert (near.ids != np.arange(21)[:, None]).all() and (near.ids >= 0).all()


def test_inputs_that_cannot_be_are_refused():
    network = Lander(6, 8)
    with pytest.raises(DataError, match="takes vectors of 6 numbers, and the embeddings have 5"):
        hilander(network, np.ones((30, 5)))
    with pytest.raises(NumericsError, match=r"rows \[2\]"):
        unit([[1, 2], [3, 4], [np.nan, 0]])
    with pytest.raises(ConfigError, match="tau=2"):
        hilander(network, np.ones((30, 6)), tau=2)
    with pytest.raises(ConfigError, match="k=9"):
        nearest_neighbours(np.ones((9, 2), "f4"), 9)
    with pytest.raises(ConfigError, match="as many"):
        TrainingOptions(k=[3], levels=[1, 2])
    with pytest.raises(DataError, match="no two vectors"):
        train_lander(np.eye(20), np.arange(20))


def test_few_vectors_stay_single():
    found = hilander(Lander(4, 8), np.eye(4), k=10)
    assert found.labels.tolist() == [0, 1, 2, 3] and found.clusters == 4


def test_an_approximate_search_says_how_much_it_finds():
    x, _ = blobs(classes=60, each=50)
    exact = nearest_neighbours(x, 10, method="exact")
    found = nearest_neighbours(x, 10, method="ivf", probes=4)
    share = (found.ids[:, :, None] == exact.ids[:, None, :]).any(1).mean()
    assert found.recall == pytest.approx(share, abs=0.03) and 0.5 < found.recall <= 1
    everything = nearest_neighbours(x, 10, method="ivf", probes=10_000)
    assert everything.recall > 0.999


def test_densities_by_hand():
    x = unit([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    near = nearest_neighbours(x, 3)
    labels = np.array([0, 0, 1, 0])
    graph = knn_graph(near).to(device())
    want = [
        np.mean([max(x[i] @ x[j], 0) * (1 if labels[i] == labels[j] else -1) for j in near.ids[i]])
        for i in range(4)
    ]
    np.testing.assert_allclose(true_density(near, labels), want, atol=1e-6)
    linked = torch.rand(len(graph.source), 2)
    want = [
        sum(
            float(graph.cosine[e] * (linked[e, 1] - linked[e, 0]))
            for e in range(len(graph.source))
            if graph.target[e] == i
        )
        / 2
        for i in range(4)
    ]
    np.testing.assert_allclose(predicted_density(graph, linked), want, atol=1e-6)


PUBLISHED = TrainingOptions(
    inputs="vectors", hidden=32, epochs=8, lr=0.01, optimizer="sgd", weight_decay=1e-5,
    batch_size=4096, balance=False,
)  # fmt: skip


def recorded(golden, name, monkeypatch, **changes):
    """Our training from the first weights of a training by the original, and that record."""
    with np.load(golden / "trajectories" / f"{name}.npz") as file:
        g = dict(file)

    def first(width, options):
        network = Lander(width, options.hidden, options.layers)
        state = {k[5:]: torch.from_numpy(v) for k, v in g.items() if k.startswith("init.")}
        network.load_state_dict(state)
        return network

    monkeypatch.setattr(lander_training, "_untrained", first)
    epochs: list[float] = []
    network = train_lander(
        g["x"], g["y"], replace(PUBLISHED, **changes), on_epoch=lambda _, loss: epochs.append(loss)
    )
    return g, network.state_dict(), np.array(epochs)


def test_training_is_that_of_the_original(golden, monkeypatch):
    """In float32, 72 steps on nine graphs."""
    g, state, epochs = recorded(golden, "lander_nobal", monkeypatch)
    np.testing.assert_allclose(epochs, g["losses"][:, 0].reshape(8, 9).mean(1), rtol=2e-6)
    for name, ours in state.items():
        moved = g[f"final.{name}"] - g[f"init.{name}"]
        apart = np.linalg.norm(ours.numpy() - g[f"final.{name}"])
        assert apart <= 1e-4 * np.linalg.norm(moved) + 1e-6, name


def test_a_graph_without_a_link_teaches_densities_alone(golden, monkeypatch):
    """As published by one_kind=drop; which edges balance draws is each program's own."""
    seen: list[bool] = []
    real = lander_training.lander_loss

    def noted(found, density, same, counted, **options):
        seen.append(bool(counted.any()))
        return real(found, density, same, counted, **options)

    monkeypatch.setattr(lander_training, "lander_loss", noted)
    g, _, epochs = recorded(golden, "lander_bal", monkeypatch, balance=True, one_kind="drop")
    assert seen == (g["losses"][:, 2] > 0).tolist() and not all(seen)
    np.testing.assert_allclose(epochs, g["losses"][:, 0].reshape(8, 9).mean(1), rtol=0.02)
    seen.clear()
    recorded(golden, "lander_bal", monkeypatch, balance=True)
    assert all(seen)
    with pytest.raises(ConfigError, match="one_kind=drp: no such. Did you mean 'drop'"):
        TrainingOptions(one_kind="drp")
