"""The numbers of the original systems, wherever they are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.config import EvaluationConfig
from lookalike.evaluation.averages import means
from lookalike.metrics import clustering, evaluate, formulas, kmeans, revisited

GOLDEN = Path(__file__).parents[1] / "golden"


def load(path):
    with np.load(GOLDEN / f"{path}.npz", allow_pickle=False) as file:
        return dict(file)


def case(file, number, prefix="c"):
    start = f"{prefix}{number}_"
    return {k.removeprefix(start): v for k, v in file.items() if k.startswith(start)}


def cases(path):
    file = load(path)
    return [case(file, i) for i in range(int(file["n_cases"]))]


def same(ours, theirs, rtol=1e-5):
    """Equal where the original gives a number and we count the query."""
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    assert both.any()
    np.testing.assert_allclose(ours[both], theirs[both], rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("number", range(5))
def test_suprank_per_query(number):
    c = cases("suprank/suprank_metrics")[number]
    report = evaluate(c["embeddings"], c["labels"], k=[1, 4, 5, 10])
    entries = report.per_query
    for level in range(c["labels"].shape[1]):
        for theirs, ours in {
            "ap": "mean_average_precision",
            "map_at_R": "map_at_r",
            "map_at_10": "map_at_10",
            "p1": "precision_at_1",
            "p5": "precision_at_5",
            "r4": "recall_at_4",
            "true_r5": "true_recall_at_5",
            "asi": "asi",
        }.items():
            name = f"{ours}_level{level}" if c["labels"].shape[1] > 1 else ours
            same(entries[name], c[f"l{level}_{theirs}"])
    same(entries["ndcg"], c["ndcg"])
    same(entries["asi"], c["asi"])


@pytest.mark.parametrize("system", ["suprank", "happier"])
@pytest.mark.parametrize("number", range(5))
def test_h_ap_per_query(system, number):
    # The original counts items twice where two levels of a row have equal relevance; the rows
    # where they differ follow the direct definition, which equals it on all the others.
    c = cases(f"suprank/{system}_metrics")[number]
    grade = c["sorted_target"]
    queries = len(grade)
    rows, places = np.nonzero(grade)
    ranking = formulas.Ranking(
        queries, rows, places + 1, grade[rows, places], int(c["relevance_table"].shape[1]) - 1
    )
    table = c["relevance_table"].astype(np.float64)
    with np.errstate(invalid="ignore"):
        ours = formulas.hierarchical_ap(ranking, table)
    distinct = [len(set(row[row > 0])) == (row > 0).sum() for row in c["relevance_table"]]
    distinct = np.array(distinct)
    same(ours[distinct], c["hap"][distinct])
    if "hap_lm" in c:  # relevances from the ranked items alone, as `evaluate` has them
        report = evaluate(c["embeddings"], c["labels"], metrics="h_ap")
        counted = ranking.of_grade[:, 1:]
        weight = np.arange(1, counted.shape[1] + 1) / np.maximum(counted, 1)
        alone = [
            len(set(np.float32(w[n > 0]))) == (n > 0).sum()
            for w, n in zip(weight, counted, strict=True)
        ]
        same(report.per_query["h_ap"][alone], c["hap_lm"][alone])


@pytest.mark.parametrize("number", range(5))
def test_average_precision_of_one_level_alone(number):
    for system in ("suprank", "happier"):
        c = cases(f"suprank/{system}_metrics")[number]
        columns = c["labels"].shape[1]
        report = evaluate(c["embeddings"], c["labels"], metrics="exclusive_average_precision")
        for level in range(columns):
            suffix = f"_level{level}" if columns > 1 else ""
            theirs = float(c[f"aph_{columns - level}"])
            ours = report.values[f"exclusive_average_precision{suffix}"]
            assert ours == pytest.approx(theirs, rel=1e-5)


NAMES = {
    "AP": "mean_average_precision",
    "mAP_at_R": "mean_average_precision_at_r",
    "mAP_at_5": "mean_average_precision_at_5",
    "P_at_1": "precision_at_1",
    "P_at_3": "precision_at_3",
    "R_at_2": "recall_at_2",
    "R_at_4": "recall_at_4",
    "R_at_10": "recall_at_10",
    "ASI": "asi",
    "NDCG": "ndcg",
}


@pytest.mark.parametrize("system", ["suprank", "happier"])
@pytest.mark.parametrize("number", range(24))
def test_whole_evaluations(system, number):
    c = cases(f"suprank/{system}_accuracy_calculator")[number]
    columns = c["labels"].shape[1]
    gallery = {}
    if "ref_features" in c:
        gallery = {"gallery": c["ref_features"], "gallery_labels": c["ref_labels"]}
    gallery_is_disjoint = int(c["kind"]) == 2
    own = True if int(c["kind"]) == 1 else None
    report = evaluate(
        c["features"], c["labels"], **gallery, exclude_self=own, k=[1, 2, 3, 4, 5, 10], empty="zero"
    )
    checked = 0
    for key, theirs in c.items():
        if not key.startswith("m_"):
            continue
        stem, _, level = key.removeprefix("m_").rpartition("_")
        if stem == "H_AP":
            continue  # inherits the double counting, see above
        cut = stem.startswith(("P_at", "R_at"))
        if gallery_is_disjoint and not cut:
            continue  # the original loses the last gallery item of every ranking
        name = NAMES[stem] + ("" if level == "multi" or columns == 1 else f"_{level}")
        zero = cut or (system == "suprank" and stem in ("AP", "mAP_at_R", "mAP_at_5"))
        if report.skipped[name] and not zero:
            continue  # the original drops the whole chunk of a query without a positive
        assert report.values[name] == pytest.approx(float(theirs), rel=1e-5), key
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("number", range(12))
def test_roadmap(number):
    c = cases("suprank/roadmap_accuracy_calculator")[number]
    gallery = {}
    if "reference" in c:
        gallery = {"gallery": c["reference"], "gallery_labels": c["reference_labels"]}
    cuts = [1, 2, 4, 8, 10, 16, 20, 30, 32, 100, 1000]
    report = evaluate(c["query"], c["query_labels"], **gallery, k=cuts)
    recall = evaluate(
        c["query"], c["query_labels"], **gallery, k=cuts, metrics="recall_at_k", empty="zero"
    )
    kept = int(c["hp_k"])
    everything = kept >= len(c.get("reference", c["query"][1:]))
    for key, theirs in c.items():
        if not key.startswith("m_"):
            continue
        name = key.removeprefix("m_")
        if name.startswith("recall"):
            # With fewer neighbours kept, the original's longer recalls stop there.
            if everything or int(name.rpartition("_")[2]) <= kept:
                assert recall.values[name] == pytest.approx(float(theirs), rel=1e-6), name
        elif everything or name == "precision_at_1":
            assert report.values[name] == pytest.approx(float(theirs), rel=1e-6), name


@pytest.mark.parametrize("number", range(3))
def test_raml_asymmetric_and_symmetric(number):
    file = load("raml_pp/raml_eval")
    c = case(file, number)
    cuts = [int(k) for k in file["kappas"]]
    for kind, gallery in (("asym", "teacher"), ("sym", "student")):
        report = evaluate(
            c["student"],
            c["labels"],
            c[gallery],
            c["labels"],
            metrics=["map_trapezoid", "recall_at_k", "map_trapezoid_at_k", "mp_at_k"],
            exclude_self=True,
            k=cuts,
        )
        for name, key in (("map_trapezoid_at", "mapk"), ("mp_at", "mpk")):
            ours = [report[f"{name}_{k}"] for k in cuts]
            np.testing.assert_allclose(ours, c[f"{kind}_{key}"], rtol=1e-12)
        same(report.per_query["map_trapezoid"], c[f"{kind}_aps"], rtol=1e-12)
        assert report["map_trapezoid"] == pytest.approx(float(c[f"{kind}_map"]), rel=1e-12)
        recalls = [report[f"recall_at_{k}"] for k in cuts]
        np.testing.assert_allclose(recalls, c[f"{kind}_rec"], rtol=1e-12)
        # The same protocol as landmarks with the query's own image as junk.
        truth = [
            {
                "ok": np.flatnonzero((c["labels"] == y) & (np.arange(len(c["labels"])) != i)),
                "junk": i,
            }
            for i, y in enumerate(c["labels"])
        ]
        found = revisited(c[f"{kind}_ranks"], truth, k=cuts)["original"]
        assert found["map"] == pytest.approx(float(c[f"{kind}_map"]), rel=1e-12)
        np.testing.assert_allclose(found["mp_at_k"], c[f"{kind}_mpk"], rtol=1e-12)


@pytest.mark.parametrize("number", range(4))
def test_revisited(number):
    c = case(load("raml_pp/revisitop_map"), number)
    truth = [
        {key: c[f"q{q}_{key}"] for key in ("easy", "hard", "junk")} for q in range(int(c["nq"]))
    ]
    found = revisited(c["ranks"], truth)
    for setup, letter in (("easy", "E"), ("medium", "M"), ("hard", "H")):
        assert found[setup]["map"] == pytest.approx(float(c[f"{letter}_map"]), rel=1e-12)
        np.testing.assert_allclose(found[setup]["mp_at_k"], c[f"{letter}_mpr"], rtol=1e-12)
        np.testing.assert_allclose(found[setup]["ap"], c[f"{letter}_aps"], rtol=1e-12)
        np.testing.assert_allclose(found[setup]["precision_at_k"], c[f"{letter}_prs"], rtol=1e-12)


def test_revisited_with_a_truncated_ranking():
    file = load("raml_pp/revisitop_map")
    truth = [{"ok": ok} for ok in file["trunc_ok"]]
    found = revisited(file["trunc_ranks"], truth)["original"]
    assert found["map"] == pytest.approx(float(file["trunc_map"]), rel=1e-12)
    np.testing.assert_allclose(found["ap"], file["trunc_aps"], rtol=1e-12)
    np.testing.assert_allclose(found["precision_at_k"], file["trunc_prs"], rtol=1e-12)


@pytest.mark.parametrize("number", range(6))
def test_trapezoidal_average_precision(number):
    c = case(load("raml_pp/revisitop_map"), number, prefix="ap")
    found = c["ranks"].astype(np.int64)
    missing = 1000 + np.arange(int(c["nres"]) - len(found))
    ranking = np.arange(found.max(initial=0) + 1)[:, None]
    truth = [{"ok": np.concatenate([found, missing])}]
    ours = revisited(ranking, truth)["original"]["map"]
    assert ours == pytest.approx(float(c["ap"]), rel=1e-12)


@pytest.mark.parametrize("number", range(4))
def test_landmarks_by_score(number):
    c = cases("suprank/landmark_map")[number]
    truth = [
        {
            name: np.flatnonzero(row == code)
            for code, name in ((1, "easy"), (2, "hard"), (3, "junk"))
        }
        for row in c["gnd_code"]
    ]
    found = revisited(c["scores_gallery_by_query"].T, truth)
    assert found["medium"]["map"] == pytest.approx(float(c["mapM"]), rel=1e-9)
    assert found["hard"]["map"] == pytest.approx(float(c["mapH"]), rel=1e-9)
    assert found["easy"]["map"] == pytest.approx(float(c["mapE_supplement"]), rel=1e-9)


@pytest.mark.parametrize("number", range(3))
def test_proxy_recall(number):
    c = case(load("raml_pp/pp_recall"), number)
    cuts = c["ranks"].tolist()
    report = evaluate(c["emb"], c["labels"], k=cuts, metrics="recall_at_k", empty="zero")
    np.testing.assert_allclose(list(report.values.values()), c["pp_recall"], rtol=1e-12)


def test_proxy_recall_of_a_query_with_negative_scores_only():
    # Setting the diagonal to 0 instead of excluding it made one original report 1.0 here.
    file = load("raml_pp/pp_recall")
    report = evaluate(file["q_emb"], file["q_labels"], metrics="recall_at_1", empty="zero")
    assert report["recall_at_1"] == pytest.approx(float(file["q_pp_recall"][0]))
    report = evaluate(
        file["g_query"],
        file["g_qlab"],
        file["g_gal"],
        file["g_glab"],
        metrics="recall_at_k",
        empty="zero",
    )
    assert report["recall_at_1"] == pytest.approx(float(file["g_recall"][0]), abs=1e-6)


@pytest.mark.parametrize("number", range(3))
def test_euclidean_recall(number):
    file = load(f"smoothap/eval_recall_{number}")
    x = file["x"].astype(np.float64)
    # Euclidean order as a dot product: <q, g> - |g|^2 / 2.
    query = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    gallery = np.concatenate([x, -(x**2).sum(axis=1, keepdims=True) / 2], axis=1)
    labels, cuts = file["labels"], file["ks"].tolist()
    report = evaluate(
        query,
        labels,
        gallery,
        labels,
        exclude_self=True,
        k=cuts,
        metrics="recall_at_k",
        empty="zero",
    )
    np.testing.assert_allclose(list(report.values.values()), file["recall"], rtol=1e-12)
    # k-means depends on the build of faiss, so its NMI is the published one to 0.02.
    found = clustering(kmeans(x, len(np.unique(labels))), labels)
    assert found["nmi"] == pytest.approx(float(file["nmi_kmeans_faiss_cpu"]), abs=0.02)


@pytest.mark.parametrize("number", range(6))
def test_clustering(number):
    file = load("smoothap/hl_cluster_metrics")
    found = clustering(file[f"pred{number}"], file[f"gt{number}"])
    assert found["nmi"] == pytest.approx(float(file[f"nmi{number}"]), abs=1e-9)
    for name in ("pairwise", "bcubed"):
        stem = "b_cubed" if name == "bcubed" else name
        ours = [found[f"{stem}_{part}"] for part in ("precision", "recall", "f")]
        known = ~np.isnan(file[f"{name}{number}"])
        np.testing.assert_allclose(
            np.array(ours)[known], file[f"{name}{number}"][known], rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("number", range(3))
def test_clustering_f1(number):
    file = load(f"smoothap/f1_kmeans_{number}")
    assert clustering(file["cluster"], file["labels"])["pairwise_f"] == pytest.approx(
        float(file["f1"]), rel=1e-9
    )


# ── whole evaluations beside the trained recipes ────────────────────────────────────────────────

SETS = {"sop": 2, "inat_base": 2, "inat_full": 7, "cub": 3}
OURS = {
    "NDCG": "ndcg",
    "H-AP": "h_ap_happier",
    "ASI": "asi",
    "AP": "mean_average_precision",
    "P@1": "precision_at_1",
    "mAP@R": "mean_average_precision_at_r",
}


def stated(system, name):
    """What a system's evaluation printed for a set: (metric, level) → number; None: all levels."""
    file = load("trajectories/evaluation")
    found = {}
    for key, value in file.items():
        if key.startswith(f"{system}|{name}:"):
            stem, _, level = key.partition(":")[2].rpartition("_")
            found[stem, None if level == "multi" else int(level[5:])] = float(value)
    return found


@pytest.mark.parametrize("system", ["HAPPIER", "SupRank"])
@pytest.mark.parametrize("name", SETS)
def test_evaluations_of_happier_and_suprank(system, name):
    file, columns = load("trajectories/evaluation"), SETS[name]
    x = file[f"embeddings{columns}"].astype(np.float32)
    report = evaluate(x, file[f"labels{columns}"], metrics=list(OURS.values()), k=[1])
    expected = stated(system, name)
    checked = {stem for stem, _ in expected} & OURS.keys()
    for (stem, level), theirs in expected.items():
        if stem in OURS:
            suffix = "" if level is None else f"_level{level}"
            assert report[OURS[stem] + suffix] == pytest.approx(theirs, abs=2e-7), stem
    assert {"H-AP", "NDCG", "AP"} <= checked or not expected
    assert bool(expected) or system == "SupRank"


@pytest.mark.parametrize("system", ["HAPPIER", "SupRank"])
@pytest.mark.parametrize("name", ["vehicle", "product"])
def test_the_three_levels_of_dyml_and_their_mean(system, name):
    """Vehicle: three benchmarks whose galleries hold the queries; Product: one of three levels."""
    file = load("trajectories/evaluation")
    x, labels = file["embeddings3"].astype(np.float32), file["labels3"]
    asked = ["mean_average_precision", "asi_level0", "asi_level1", "asi_level2", "recall_at_k"]
    names = np.arange(len(x)).astype(str)
    table = {}
    for level, title in enumerate(("test_fine", "test_middle", "test_coarse")):
        if name == "product":
            continue
        alone = np.where(np.arange(3) == level, labels, -1)
        wanted = [one for one in asked if not one.startswith("asi") or one.endswith(str(level))]
        table[title] = evaluate(
            x[::3], alone[::3], x, alone, levels=[level], metrics=wanted, k=[10, 20],
            sequences=(names[::3], names),
        ).values  # fmt: skip
    if name == "product":
        table["test"] = evaluate(x, labels, metrics=asked, k=[10, 20]).values
    c = EvaluationConfig(average_levels=True)
    whole = means(table, c)["test (all levels)"]
    theirs = load("trajectories/evaluation")
    start, suffix = f"{system}|{name}:test", "_level0" if name == "vehicle" else ""
    for stem, ours in {
        "AP": "mean_average_precision",
        "ASI": "asi",
        "R@10": "recall_at_10",
    }.items():
        levels = []
        for level, title in enumerate(table if name == "vehicle" else ["test"] * 3):
            key = f"{start}_level{level}:{stem}_level0"
            key = key if name == "vehicle" else f"{start}:{stem}_level{level}"
            mine = table[title][f"{ours}_level{level}"]
            assert mine == pytest.approx(float(theirs[key]), abs=2e-7), key
            levels.append(mine)
        if (name, stem) != ("product", "ASI"):  # theirs averages the ASI of all levels in
            mean = float(theirs[f"{start}_overall:{stem}{suffix}"])
            assert whole[ours] == pytest.approx(mean, abs=2e-7)
        assert whole[ours] == pytest.approx(np.mean(levels))


@pytest.mark.parametrize("number", [0, 1])
def test_the_protocols_of_positive_proxy_smooth_ap_and_raml(number):
    """On the same vectors; in the second set some classes have one image, a miss for two."""
    file = load("trajectories/protocols")
    x, t, y = (file[f"{name}_{number}"] for name in "xty")
    x, t = x.astype(np.float32), t.astype(np.float32)
    for name, k in (
        ("pp_recall_1_2_4_8", (1, 2, 4, 8)),
        ("smoothap_recall_1_4_16_32", (1, 4, 16, 32)),
    ):
        report = evaluate(x, y, metrics="recall_at_k", k=k, empty="zero")
        ours = [report[f"recall_at_{one}"] for one in k]
        np.testing.assert_allclose(ours, file[f"{name}_{number}"], atol=1e-6)
    asked = {
        "map": "mean_average_precision_trapezoid",
        "mP_1_4_8": "mean_precision_at_k",
        "mAPk_1_4_8": "mean_average_precision_trapezoid_at_k",
        "R_1_4_8": "recall_at_k",
    }
    every = np.arange(len(x))
    for way, gallery in (
        ("sym", {}),
        ("asym", {"gallery": t, "gallery_labels": y, "exclude_self": every}),
    ):
        report = evaluate(x, y, **gallery, metrics=list(asked.values()), k=(1, 4, 8))
        for stem, name in asked.items():
            theirs = np.atleast_1d(file[f"raml_{way}_{stem}_{number}"])
            cuts = [name] if stem == "map" else [name[:-1] + str(k) for k in (1, 4, 8)]
            ours = [report[one] for one in cuts]
            np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=f"{way} {stem}")
