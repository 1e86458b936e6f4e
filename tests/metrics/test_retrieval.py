"""`evaluate` against the slow reference: every metric, every tie rule, any tile."""

from __future__ import annotations

import json

import numpy as np
import pytest
import reference_metrics as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import ConfigError, DataError, NumericsError
from lookalike.metrics import evaluate as evaluate_usual
from lookalike.metrics import names
from lookalike.metrics.views import GRADED
from lookalike.ops import paths

TIES = ["stable", "optimistic", "pessimistic", "mean"]


def evaluate(query, query_labels, *gallery, **options):
    """Every metric there is, those of one protocol too, unless some are asked for."""
    columns = np.shape(query_labels)[1] if np.ndim(query_labels) == 2 else 1
    levels = np.atleast_1d(options.get("levels") or np.arange(columns))
    one_level = [f"{name}_level{i}" for name in GRADED for i in levels if columns > 1]
    options = {"metrics": [*names(), *one_level]} | options
    return evaluate_usual(query, query_labels, *gallery, **options)


def check(report, expected):
    assert set(report.per_query) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(
            report.per_query[name], values, rtol=1e-12, atol=1e-14, err_msg=name
        )
        counted = [v for v in values if v == v]
        assert report.skipped[name] == len(values) - len(counted)
        if counted:
            assert report.values[name] == pytest.approx(np.mean(counted), rel=1e-12)
        else:
            assert np.isnan(report.values[name])


@st.composite
def worlds(draw):
    """Vectors on a coarse grid (ties and duplicates abound), labels with singletons and -1."""
    size = draw(st.integers(1, 14))
    dims = draw(st.integers(1, 3))
    columns = draw(st.integers(1, 3))
    step = draw(st.sampled_from([1.0, 0.25, 0.1]))
    grid = st.integers(-2, 2)
    vectors = draw(
        st.lists(st.lists(grid, min_size=dims, max_size=dims), min_size=size, max_size=size)
    )
    label = st.integers(-1, 3)
    labels = draw(
        st.lists(st.lists(label, min_size=columns, max_size=columns), min_size=size, max_size=size)
    )
    if draw(st.booleans()):  # a nested hierarchy
        labels = [[row[0] // 2**c if row[0] >= 0 else -1 for c in range(columns)] for row in labels]
    return np.array(vectors, dtype=np.float32) * np.float32(step), np.array(labels)


@settings(max_examples=120, deadline=None)
@given(worlds(), st.sampled_from(TIES), st.sampled_from([1, 4096, None]))
def test_queries_as_gallery(world, ties, budget):
    x, labels = world
    expected = reference.evaluate(x, [tuple(row) for row in labels], ties=ties)
    check(evaluate(x, labels, ties=ties, byte_budget=budget), expected)


@settings(max_examples=80, deadline=None)
@given(worlds(), st.sampled_from(TIES), st.data())
def test_separate_gallery_with_sequences(world, ties, data):
    x, labels = world
    cut = data.draw(st.integers(1, len(x)))
    sequence = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=len(x), max_size=len(x))))
    rows = [tuple(row) for row in labels]
    own = np.array(
        data.draw(st.lists(st.integers(-1, len(x) - cut - 1), min_size=cut, max_size=cut)),
        dtype=int,
    )
    expected = reference.evaluate(
        x[:cut],
        rows[:cut],
        x[cut:],
        rows[cut:],
        own=own,
        sequences=(sequence[:cut], sequence[cut:]),
        ties=ties,
    )
    report = evaluate(
        x[:cut],
        labels[:cut],
        x[cut:],
        labels[cut:],
        exclude_self=own,
        sequences=(sequence[:cut], sequence[cut:]),
        ties=ties,
    )
    check(report, expected)


@pytest.mark.parametrize(("kind", "alpha"), [("pop", 1.0), ("pop", 0.5), ("map", [0.2, 0.3, 0.5])])
def test_relevances(kind, alpha):
    x, labels = random_world(40, columns=3)
    expected = reference.evaluate(x, [tuple(r) for r in labels], kind=kind, alpha=alpha)
    names = ["h_ap", "h_ap_happier"]
    report = evaluate(x, labels, relevance=kind, alpha=alpha, metrics=names)
    for name in names:
        np.testing.assert_allclose(report.per_query[name], expected[name], rtol=1e-12)
    assert abs(report["h_ap_happier"] - report["h_ap"]) > 0.01
    # A gallery that holds no query: the two are one.
    report = evaluate(x[:9], labels[:9], x[9:], labels[9:], metrics=names, empty="zero")
    assert report["h_ap_happier"] == report["h_ap"]


def random_world(size, columns=1, dims=16, seed=0):
    random = np.random.default_rng(seed)
    x = random.standard_normal((size, dims)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    fine = random.integers(0, max(1, size // 4), size)
    return x, np.stack([fine // 3**c for c in range(columns)], axis=1)


def test_same_bits_for_any_tile_and_thread_count():
    x, labels = random_world(301, columns=3, dims=64)
    x[150:200] = x[100:150]
    whole = evaluate(x, labels)
    threads = torch.get_num_threads()
    try:
        for budget, count in [(1, 1), (10_000, 1), (50_000, 2), (10**9, 2)]:
            torch.set_num_threads(count)
            other = evaluate(x, labels, byte_budget=budget)
            assert dict(other.values) == dict(whole.values)
            for name, entries in whole.per_query.items():
                assert entries.tobytes() == other.per_query[name].tobytes(), name
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(paths.native() is None, reason="the native kernels are not built")
@pytest.mark.parametrize("levels", [None, [1], [0, 2]])
@pytest.mark.parametrize("kind", ["pop", "map"])
def test_native_and_numpy_give_the_same_bits(levels, kind, monkeypatch):
    x, labels = random_world(301, columns=3, dims=64)
    x[150:200] = x[100:150]
    count = 3 if levels is None else len(levels)
    alpha = 1.0 if kind == "pop" else [0.3] * count
    options = {"levels": levels, "relevance": kind, "alpha": alpha, "k": [1, 3, 200]}
    for other in (labels, np.stack([labels[:, 0], labels[::-1, 1], labels[:, 2]], axis=1)):
        native = evaluate(x, other, **options)
        monkeypatch.setenv("LOOKALIKE_NATIVE", "0")
        plain = evaluate(x, other, **options)
        monkeypatch.delenv("LOOKALIKE_NATIVE")
        assert dict(native.values) == dict(plain.values)
        for name, entries in native.per_query.items():
            assert entries.tobytes() == plain.per_query[name].tobytes(), name


@pytest.mark.parametrize("native", ["0", "1"])
def test_a_level_of_hundreds_takes_a_float64_tile(native, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_NATIVE", native)
    x, _ = random_world(620, dims=24)
    labels = np.stack([np.arange(620) // 4, np.arange(620) // 310], axis=1)
    whole = evaluate(x, labels)
    expected = reference.evaluate(x[:3], [tuple(r) for r in labels[:3]], x, labels, own=[0, 1, 2])
    for name, values in expected.items():
        if not name.startswith("micro"):
            np.testing.assert_allclose(whole.per_query[name][:3], values, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("native", ["0", "1"])
def test_collapsed_vectors_switch_to_exact_tiles(native, monkeypatch):
    monkeypatch.setenv("LOOKALIKE_NATIVE", native)
    x = np.full((90, 8), 0.3, np.float32)
    x[60:] *= np.float32(1 + 1e-7)
    labels = np.arange(90) // 3
    seen = []
    report = evaluate(x, labels, byte_budget=10_000, progress=lambda done, _: seen.append(done))
    assert len(seen) > 3  # several tiles, the first in float32
    expected = reference.evaluate(x, [(int(c),) for c in labels])
    check(report, expected)


def test_a_permuted_gallery_gives_the_same_numbers():
    x, labels = random_world(120, columns=2)
    order = np.random.default_rng(1).permutation(len(x))
    one = evaluate(x, labels, x, labels, exclude_self=True)
    other = evaluate(x, labels, x[order], labels[order], exclude_self=np.argsort(order))
    assert dict(one.values) == dict(other.values)


def test_float64_and_half_inputs():
    x, labels = random_world(60)
    assert dict(evaluate(x.astype(np.float64), labels).values) == dict(evaluate(x, labels).values)
    half = torch.from_numpy(x).half()
    assert dict(evaluate(half, labels).values) == dict(evaluate(half.float(), labels).values)
    # Two vectors that differ only beyond float32 keep their order.
    near = np.array([[1.0], [1.0], [1.0 + 1e-12]])
    assert evaluate(near, [0, 1, 0], metrics="recall_at_1").per_query["recall_at_1"][0] == 1


def test_huge_and_tiny_norms():
    x, labels = random_world(60)
    want = dict(evaluate(x, labels).values)
    for scale in (2.0**90, 2.0**-60):
        assert dict(evaluate(x * np.float32(scale), labels).values) == want


def test_autocast_and_reduced_precision_change_nothing():
    x, labels = random_world(80, dims=64)
    want = dict(evaluate(x, labels).values)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert dict(evaluate(torch.from_numpy(x), labels).values) == want
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_labels_of_any_kind():
    x, labels = random_world(50, columns=2)
    want = dict(evaluate(x, labels).values)
    words = [[f"class {a}", f"kind {b}"] for a, b in labels.tolist()]
    assert dict(evaluate(x, words).values) == want
    assert dict(evaluate(x, torch.from_numpy(labels)).values) == want
    assert dict(evaluate(x, labels + 2**62).values) == want
    assert dict(evaluate(x, np.array(words, dtype=object)).values) == want
    mixed = np.array([[a, f"kind {b}"] for a, b in labels.tolist()], dtype=object)
    assert dict(evaluate(x, mixed).values) == want


def test_distractors_match_nothing_but_still_rank():
    x = np.array([[1, 0], [1, 0.1], [0.9, 0]], dtype=np.float32)
    labels, gallery = [5], [-1, 5]
    report = evaluate(x[:1], labels, x[1:], gallery)
    assert report["mean_average_precision"] == 0.5
    assert evaluate(x[:1], [""], x[1:], ["", "b"]).skipped["map"] == 1
    assert evaluate(x[:1], [-1], x[1:], gallery).skipped["map"] == 1


def test_queries_without_a_positive():
    x = np.eye(3, dtype=np.float32)
    labels = [0, 0, 1]
    skip = evaluate(x, labels)
    assert skip.skipped["recall_at_1"] == 1
    assert np.isnan(skip.per_query["recall_at_1"][2])
    zero = evaluate(x, labels, empty="zero")
    assert zero["recall_at_8"] == pytest.approx(2 / 3)
    assert zero.skipped["recall_at_8"] == 1
    assert "counted as 0" in zero.definitions["recall_at_8"].empty


def test_duplicates_do_not_stand_in_for_the_query():
    # Query 0 has an identical twin of another class: "drop the first hit" would keep the query.
    x = np.array([[1, 0], [1, 0], [0.5, 0.5]], dtype=np.float32)
    report = evaluate(x, [0, 1, 0])
    assert report.per_query["recall_at_1"][0] == 0
    assert report.per_query["mean_average_precision"][0] == 0.5


def test_names_select_and_expand():
    x, labels = random_world(30, columns=2)
    report = evaluate(x, labels, metrics=["MAP@R", "r_at_1", "ndcg", "asi_level1"])
    assert list(report.values) == [
        "mean_average_precision_at_r_level0",
        "mean_average_precision_at_r_level1",
        "recall_at_1_level0",
        "recall_at_1_level1",
        "ndcg",
        "asi_level1",
    ]
    assert list(evaluate(x, labels, metrics="recall_at_k", k=[3], levels=1).values) == [
        "recall_at_3_level1"
    ]
    assert report["map_at_r_level1"] == report.values["mean_average_precision_at_r_level1"]
    flat = evaluate(x, labels[:, 0], metrics=["mAP_at_R_level0", "precision_at_100"])
    assert list(flat.values) == ["mean_average_precision_at_r", "precision_at_100"]


def test_report_tells_its_story():
    x, labels = random_world(40)
    report = evaluate(x, labels, metrics=["map_at_r", "r_at_1"])
    stored = json.loads(json.dumps(report.to_dict()))
    assert stored["values"] == dict(report.values) == dict(report)
    assert list(report) == ["mean_average_precision_at_r", "recall_at_1"]
    assert "recall_at_1" in report and "recall_at_2" not in report
    assert "j / r_j" in stored["definitions"]["mean_average_precision_at_r"]["words"]
    frame = report.to_frame()
    assert frame.loc["recall_at_1", "value"] == report["recall_at_1"]
    assert len(report.to_frame(per_query=True)) == 40
    classes = report.by_class("map_at_r")
    assert np.mean(list(classes.values())) != report["map_at_r"]


def test_neighbours_are_the_exact_ones():
    x, labels = random_world(200)
    x[50:80] = x[20:50]
    report = evaluate(x, labels, metrics="r_at_1", sequences=np.arange(200) // 2)
    ids, scores = report.neighbours([3, 60, 199], 7)
    for row, q in enumerate([3, 60, 199]):
        items = [(-reference.dot(x[q], x[g]), g) for g in range(200) if g != q and g // 2 != q // 2]
        best = sorted(items)[:7]
        assert ids[row].tolist() == [g for _, g in best]
        assert scores[row].tolist() == [-s for s, _ in best]
    short, values = report.neighbours(0, 500)
    assert (
        short.shape == (1, 200) and (short[0, 198:] == -1).all() and np.isnan(values[0, 198:]).all()
    )


def test_errors_say_what_and_where():
    x, labels = random_world(10)
    bad = x.copy()
    bad[[3, 7]] = np.nan
    with pytest.raises(NumericsError, match=r"2 of 10 vectors.*rows 3, 7"):
        evaluate(bad, labels)
    with pytest.raises(DataError, match="10 vectors and 9 labels"):
        evaluate(x, labels[:9])
    with pytest.raises(DataError, match="gallery was given without gallery_labels"):
        evaluate(x, labels, x)
    with pytest.raises(DataError, match="16 dimensions, gallery ones 8"):
        evaluate(x, labels, x[:, :8], labels)
    with pytest.raises(DataError, match=r"row 2 is 0\.5"):
        evaluate(x, [0, 1, 0.5] + [0] * 7)
    with pytest.raises(DataError, match=r"exclude_self\[1\] is 12"):
        evaluate(x, labels, x, labels, exclude_self=np.array([0, 12] + [0] * 8))
    with pytest.raises(ConfigError, match="Did you mean 'mean_average_precision'"):
        evaluate(x, labels, metrics=["mean_avrage_precision"])
    with pytest.raises(ConfigError, match="ties='random'"):
        evaluate(x, labels, ties="random")
    with pytest.raises(ConfigError, match="columns 0 to 0"):
        evaluate(x, labels, levels=[1])
    with pytest.raises(ConfigError, match="whole numbers from 1"):
        evaluate(x, labels, k=0)
    with pytest.raises(ConfigError, match="coarsest first: 1 number;"):
        evaluate(x, labels, relevance="map")
    with pytest.raises(KeyError, match="was not evaluated"):
        evaluate(x, labels, metrics="map")["recall_at_1"]
