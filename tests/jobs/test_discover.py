"""The open-world loop on a few drawn images: its files, its resume, its verbs one by one."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from lookalike.compose import compose
from lookalike.data.build import build_table
from lookalike.data.embedding_file import Embeddings
from lookalike.discover import round_metrics, rounds
from lookalike.discover.decisions import Decision, decide, read_decisions
from lookalike.discover.hierarchy import hilander
from lookalike.discover.lander_files import load_lander
from lookalike.discover.neighbours import unit
from lookalike.discover.open_world import open_world_rows
from lookalike.discover.pss_pickles import PSSFile
from lookalike.errors import ConfigError, DataError, RunError
from lookalike.jobs import cluster, discover, embed, review, select
from lookalike.metrics import clustering

SMALL = [
    "dataset=toy",
    "dataset.families=2",
    "dataset.genera=1",
    "dataset.species=8",
    "dataset.pictures=8",
    "dataset.size=32",
    "transform=figure",
    "transform.size=32",
    "model=conv4",
    "model.options.width=[8,8,8,8]",
    "model.embedding_size=16",
    "epochs=1",
    "batch_size=16",
    "workers=0",
    "device=cpu",
    "discover.rounds=1",
    "discover.lander.hidden=8",
    "discover.lander.epochs=20",
    "discover.density=-1",
    'discover.finetune=["optimizer.lr=1e-3"]',
]


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    home = tmp_path_factory.mktemp("loop")
    # A tiny network's vectors are too poor for Hi-LANDER to join any.
    rival = ["discover.method=kmeans", "discover.method_options.classes=16", "discover.keep=false"]
    words = [*SMALL, *rival, f"dataset.root={home / 'toy'}", f"run={home / 'x'}"]
    return discover.run(words, quiet=True), words


def test_every_arrow_is_a_file(loop):
    folder, _ = loop
    for number in (0, 1):
        home = folder / f"round-{number}"
        for name in ("train.parquet", "embeddings.npy", "embeddings.parquet", "clusters.parquet"):
            assert (home / name).is_file(), name
        for name in ("metrics.json", "report.html", "train/report.html"):
            assert (home / name).is_file(), name
    rows = pd.read_parquet(folder / "rows.parquet")
    # Of 8 images of each of 8 known species: ⌊0.6 · 8⌋ + 1 = 5 are labelled.
    assert rows["set"].tolist() == ["l_in"] * 40 + ["u_in"] * 24 + ["u_out"] * 64
    assert (folder / "round-1" / "train" / "config.yaml").read_text().count("lr: 0.001") == 1


def test_true_and_pseudo_labels_are_never_mixed(loop):
    folder, _ = loop
    rows = pd.read_parquet(folder / "rows.parquet").set_index("path")
    first = pd.read_parquet(folder / "round-0" / "train.parquet")
    second = pd.read_parquet(folder / "round-1" / "train.parquet")
    true = second[second["origin"] == "true"]
    pseudo = second[second["origin"] == "cluster"]
    assert len(pseudo) and set(true["path"]) == set(first["path"]) == set(
        rows.index[rows["set"] == "l_in"]
    )
    assert not set(true["label"]) & set(pseudo["label"])
    assert not set(pseudo["label"]) & set(rows["label"])
    assert (true["label"].to_numpy() == rows["label"][true["path"]].to_numpy()).all()
    assert (pseudo["label"].value_counts() > 1).all()
    assert not second["path"].duplicated().any()


def test_the_numbers_of_a_round(loop):
    folder, _ = loop
    found = json.loads((folder / "round-1" / "metrics.json").read_text())
    assert set(found["retrieval"]) == {"l_in", "u_in", "u_out"}
    assert set(found["clustering"]) == {"u", "u_in", "u_out"}
    assert found["clustering"]["u"]["classes"] == 16 == found["classes"]["true"]
    assert 0 <= found["gate"]["auroc"] <= 1
    assert found["trained_on"]["true"] == 40 and 0 < found["trained_on"]["purity"] <= 1
    page = (folder / "round-1" / "report.html").read_text()
    assert "Most mixed" in page and "Since the last round" in page and "round 1" in page


def test_one_graph_network_may_serve_all_rounds(tmp_path):
    words = [*SMALL, f"dataset.root={tmp_path / 'toy'}", f"run={tmp_path / 'x'}"]
    words += ["discover.method_options.k=4", "discover.relearn=false"]
    folder = discover.run(words, quiet=True)
    network, home = folder / "round-0" / "lander.safetensors", folder / "round-1"
    assert network.is_file() and not (home / network.name).exists()
    found, vectors = (
        pd.read_parquet(home / "clusters.parquet"),
        Embeddings.load(home / "embeddings.npy"),
    )
    here = hilander(load_lander(network), unit(vectors.vectors[found["row"]]), k=4)
    assert found["cluster"].tolist() == here.labels.tolist()
    (home / "clusters.parquet").unlink()
    network.unlink()
    with pytest.raises(RunError, match="round-0/lander.safetensors is missing"):
        discover.run([f"run={folder}"], resume=True, quiet=True)


def test_what_is_there_is_not_made_again(loop, capsys):
    folder, words = loop
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("train/model/*")}
    (folder / "round-1" / "metrics.json").unlink()
    (folder / "round-1" / "clusters.parquet").unlink()
    old = (folder / "round-1" / "report.html").read_text()
    discover.run([f"run={folder}"], resume=True, quiet=True)
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("train/model/*")}
    new = (folder / "round-1" / "report.html").read_text()
    assert old.split("Round by round", 2)[2] == new.split("Round by round", 2)[2]
    with pytest.raises(RunError, match="holds a loop already"):
        discover.run(words)
    with pytest.raises(ConfigError, match="keeps its options"):
        discover.run([f"run={folder}", "epochs=2"], resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("last", ["", "embeddings.parquet", "clustering.json"])
def test_killed_after_any_file_the_loop_ends_with_the_same_bits(loop, tmp_path, last):
    """Files are whole or not there, so a kill leaves a beginning of this list."""
    folder = tmp_path / "y"
    shutil.copytree(loop[0], folder)
    made = ["train", "embeddings.parquet", "embeddings.npy", "clustering.json", "clusters.parquet"]
    made += ["metrics.json", "report.html"]
    for name in made[made.index(last) + 1 if last else 0 :]:
        path = folder / "round-1" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    discover.run([f"run={folder}"], resume=True, quiet=True)
    for number in (0, 1):
        for name in ("train.parquet", "embeddings.npy", "clusters.parquet", "metrics.json"):
            file = f"round-{number}/{name}"
            assert (folder / file).read_bytes() == (loop[0] / file).read_bytes(), file
        assert (folder / f"round-{number}" / "report.html").is_file()


def test_a_person_decides(loop, tmp_path, monkeypatch):
    folder, _ = loop
    shutil.copytree(folder, tmp_path / "y")
    folder = tmp_path / "y"
    clusters = pd.read_parquet(folder / "round-1" / "clusters.parquet")
    fresh = clusters[clusters["clustered"]]
    first, *others = fresh["cluster"].value_counts().index.tolist()
    lines = ["cluster,action,into", f"{first},rename,a new name"]
    lines += [f"{other},reject," for other in others]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="add discover.rounds=2"):
        discover.run([f"run={folder}"], resume=True, decisions=tmp_path / "d.csv")
    monkeypatch.setattr(rounds, "run_training", _stop)
    with pytest.raises(RuntimeError, match="here training begins"):
        discover.run(
            [f"run={folder}", "discover.rounds=2"], resume=True, decisions=tmp_path / "d.csv"
        )
    table = pd.read_parquet(folder / "round-2" / "train.parquet")
    added = table[table["round"] == 2]
    want = set(fresh["path"][fresh["cluster"] == first])
    assert set(added["path"]) == (want if len(want) > 1 else set())
    assert set(added["label"]) <= {"a new name"} and set(added["origin"]) <= {"person"}


def _stop(words, **_):
    raise RuntimeError("here training begins")


def test_verbs_one_by_one(loop, tmp_path, capsys):
    folder, _ = loop
    held = Embeddings.load(folder / "round-0" / "embeddings.npy")
    heap, known = tmp_path / "heap.npy", tmp_path / "known.npy"
    rows, options = str(folder / "rows.parquet"), ["device=cpu", "workers=0"]
    for out, splits in ((known, ["train"]), (heap, ["u_in", "u_out"])):
        embed.run(folder / "round-0" / "train", rows, out, options, splits=splits)
    parts = [Embeddings.load(file) for file in (known, heap)]
    np.testing.assert_array_equal(np.concatenate([p.vectors for p in parts]), held.vectors)
    assert [*parts[0].rows["path"], *parts[1].rows["path"]] == held.rows["path"].tolist()
    words = ["k=4", "tau=0.3", "lander.k=[4]", "lander.levels=[2]", "lander.epochs=3"]
    found = cluster.run(heap, [*words, "lander.hidden=8"], learn_from=known)
    assert "classes  estimated " in capsys.readouterr().out
    clusters = tmp_path / "heap.clusters.parquet"
    assert clusters.is_file() and (tmp_path / "heap.clusters.lander.safetensors").is_file()
    lander = tmp_path / "heap.clusters.lander.safetensors"
    again = cluster.run(heap, ["k=4", "tau=0.3"], lander=lander, out=tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(found, again)
    table = select.run(
        clusters,
        tmp_path / "pseudo.parquet",
        density=-1.0,
        labelled=known,
        embeddings=heap,
        far=0.0,
        pickle=tmp_path / "c.pkl",
    )
    alone = ~found["cluster"].duplicated(keep=False)
    assert len(table) == len(held.rows) - alone.sum() and (table["origin"] == "true").sum() == 40
    pickled = PSSFile.load(tmp_path / "c.pkl")
    np.testing.assert_array_equal(pickled.masks, [0] * 40 + [1] * 88)
    assert set(pickled.labels[:40].tolist()) == set(range(8)) and pickled.labels[40:].min() >= 8
    PSSFile(pickled.paths, pickled.features, pickled.labels, pickled.truth, pickled.masks).save(
        tmp_path / "features.pkl"
    )
    assert len(cluster.run(tmp_path / "features.pkl", ["distance=0.3"], method="agglomerative"))
    theirs = select.run(tmp_path / "c.pkl", tmp_path / "theirs.parquet")
    assert theirs["path"].tolist() == table["path"].tolist()
    assert theirs["origin"].tolist() == table["origin"].tolist()
    names = set(zip(theirs["label"], table["label"], strict=True))  # one partition, other names
    assert len(names) == theirs["label"].nunique() == table["label"].nunique()
    with pytest.raises(ConfigError, match="selected already"):
        select.run(tmp_path / "c.pkl", tmp_path / "theirs.parquet", gate=True)
    by_hand = select.run(
        folder / "round-0" / "clusters.parquet",
        tmp_path / "next.parquet",
        density=-1.0,
        labelled=known,
        embeddings=heap,
    )
    pd.testing.assert_frame_equal(by_hand, pd.read_parquet(folder / "round-1" / "train.parquet"))
    gated = select.run(
        clusters, tmp_path / "g.parquet", density=2.0, labelled=known, embeddings=heap, gate=True
    )
    assert set(gated["origin"]) == {"true", "gate"}
    assert set(gated["label"]) == set(gated["label"][gated["origin"] == "true"])


def test_the_rows_of_a_loop_are_a_data_set_where_nobody_knows(loop, tmp_path, monkeypatch):
    rows = pd.read_parquet(loop[0] / "rows.parquet")
    rows["label"] = rows["label"].where(rows["set"] != "u_out", "-1")
    rows.drop(columns="set").to_parquet(tmp_path / "mine.parquet")
    monkeypatch.setattr(rounds, "run_training", _stop)
    words = ["device=cpu", "workers=0", f"run={tmp_path / 'y'}"]
    with pytest.raises(RuntimeError, match="here training begins"):
        discover.run([f"dataset={tmp_path / 'mine.parquet'}", *words])
    kept = tmp_path / "y" / "rows.parquet"
    table = build_table(compose([f"dataset={kept}"]))
    assert table.splits == ["train", "u_in", "u_out"]
    assert (table.split("u_out").labels == -1).all()
    again = open_world_rows(table)
    assert again["label"].isna().sum() == 64
    assert again["set"].tolist() == rows["set"].tolist()


def test_the_review_page_offers_every_cluster(loop):
    folder, _ = loop
    page = review.run(folder / "round-1" / "clusters.parquet")
    text = page.read_text()
    clusters = pd.read_parquet(folder / "round-1" / "clusters.parquet")
    several = clusters[clusters["clustered"]]["cluster"].value_counts()
    for number in several.index[several > 1]:
        assert f'data-cluster="{number}"' in text
    assert "decisions.csv" in text and "://" not in text.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_a_person_judges_in_a_browser_and_the_loop_obeys(loop, chromium, tmp_path, monkeypatch):
    folder = tmp_path / "y"
    shutil.copytree(loop[0], folder)
    clusters = pd.read_parquet(folder / "round-1" / "clusters.parquet")
    members = clusters.groupby("cluster")["path"].agg(set)
    kept, named, parted, gone, refused = members.map(len).nlargest(5).index.tolist()
    url = review.run(folder / "round-1" / "clusters.parquet").as_uri()
    for scheme, width in (("dark", 360), ("light", 1200)):
        page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        complaints = []
        page.on("console", lambda message, to=complaints: to.append(message.text))
        page.on("pageerror", lambda error, to=complaints: to.append(str(error)))
        page.goto(url)
        assert complaints == []
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not page.evaluate(wide), "the page scrolls sideways"
        # No word of a heading is broken, however narrow the page.
        assert page.locator(".choice b").first.bounding_box()["height"] < 40
    for cluster_, action, into in (
        (kept, "accept", None),
        (named, "rename", 'a "new", name'),
        (parted, "split", "2"),
        (gone, "merge", "not a number"),
        (refused, "reject", None),
    ):
        box = page.locator(f'[data-cluster="{cluster_}"]')
        box.locator("select").select_option(action)
        assert box.locator("input").is_disabled() == (into is None)
        if into is not None:
            box.locator("input").fill(into)
    assert page.locator("#count").inner_text() == "5"
    page.locator("#download").click()
    assert page.evaluate("document.activeElement.validity.patternMismatch")
    page.locator(f'[data-cluster="{gone}"] input').fill(str(kept))
    with page.expect_download() as download:
        page.locator("#download").click()
    download.value.save_as(tmp_path / "decisions.csv")
    page.close()
    monkeypatch.setattr(rounds, "run_training", _stop)
    words = [f"run={folder}", "discover.rounds=2"]
    with pytest.raises(RuntimeError, match="here training begins"):
        discover.run(words, resume=True, decisions=tmp_path / "decisions.csv")
    table = pd.read_parquet(folder / "round-2" / "train.parquet")
    label = table[table["round"] == 2].groupby("path")["label"].first()
    together = members[kept] | members[gone]
    assert label[list(together)].nunique() == 1
    assert set(label[list(members[named])]) == {'a "new", name'}
    # A part of one image is not a class.
    assert label.reindex(list(members[parted])).fillna("alone").nunique() == 2
    assert not members[refused] & set(label.index)


def test_decisions_by_hand(tmp_path):
    x = np.eye(4, dtype="f4").repeat(2, axis=0)
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    found = decide(
        x,
        labels,
        [
            Decision(1, "merge", "0"),
            Decision(2, "split", "2"),
            Decision(0, "rename", "fox"),
        ],
    )
    assert found.labels[:4].tolist() == [0] * 4 and found.names == {0: "fox"}
    assert found.labels[4] == found.labels[5] != found.labels[6] == found.labels[7]
    assert found.accepted.all() and not found.rejected.any()
    with pytest.raises(DataError, match="cluster 9"):
        decide(x, labels, [Decision(9, "accept")])
    file = tmp_path / "d.csv"
    for text, words in (
        ("cluster,action,into\n1,acept,", "line 2: action 'acept'. Did you mean 'accept'"),
        ("cluster,action,into\n1,merge,fox", "line 2: merge needs a cluster"),
        ("cluster,into\n1,2", "no column 'action'"),
        ("cluster,action,into\n1,split,1", "2 or more"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=words):
            read_decisions(file)


def test_the_intervals_of_a_partition():
    rng = np.random.default_rng(0)
    true = rng.integers(40, size=800)
    guess = np.where(rng.random(800) < 0.6, true, rng.integers(40, size=800))
    want = clustering(guess, true)
    found = round_metrics.jackknife(guess, true)
    for score in round_metrics.SCORES:
        low, high = found[score]
        assert low < want[score] < high and 0 < high - low < 0.3, score
    # A partition that is right in every class is so whatever classes are drawn.
    same = round_metrics.jackknife(true, true)
    assert all(interval == pytest.approx((1, 1)) for interval in same.values())


def test_options_that_cannot_be_are_refused_before_anything_is_trained():
    for words, said in (
        (["discover.method=kmean"], "Did you mean 'kmeans'"),
        (["discover.method=components", "discover.method_options.tau=1"], "no such argument"),
        (["discover.lander.epoch=3"], "discover.lander.epoch: no such option"),
        (["discover.method=hdbscan", "discover.relearn=false"], "hdbscan learns nothing"),
        (["discover.rounds=-1"], "at least 0"),
        (["discover.method_options.taw=1"], r"method_options.taw: .*'tau'"),
    ):
        with pytest.raises(ConfigError, match=said):
            discover.run([*SMALL, *words])
