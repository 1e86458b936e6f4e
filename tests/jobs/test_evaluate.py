"""`lookalike evaluate`: several data sets, two models, whitening, classes, published protocols."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lookalike.data import transforms
from lookalike.data.datasets.table_files import table_file
from lookalike.errors import ConfigError, DataError
from lookalike.jobs import evaluate
from lookalike.metrics import evaluate as evaluate_vectors
from lookalike.metrics import revisited
from lookalike.models import create_model, load, save
from lookalike.models.whitening import class_pairs, learned_whitening, whiten


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Another model of the same width, for larger images."""
    folder = tmp_path_factory.mktemp("models") / "teacher"
    options = {"options": {"width": 8}, "embedding_size": 8}
    save(create_model("conv4", pretrained=False, size=40, **options), folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of 40 noisy images."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(40):
        picture = random.integers(0, 256, (36, 44, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{number:02d}.png")
    return folder


def table(pictures, rows, name="table.csv"):
    file = pictures / name
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


def plain(pictures, splits=("test",), **more):
    labels = np.random.default_rng(1).integers(0, 6, 40)
    split = [splits[i % len(splits)] for i in range(40)]
    paths = [f"{i:02d}.png" for i in range(40)]
    return {"path": paths, "label": labels, "split": split} | more


def settings(file):
    return [f"dataset={file}", "workers=0"]


def vectors(folder, file, size=None):
    """What a model gives for the images of a table, without anything of the job."""
    model = load(folder)
    rows = table_file(file)
    step = transforms.evaluation(size or model.spec.size, **model.spec.evaluation)
    import torch

    batch = torch.stack(
        [
            step(torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1))
            for path in rows.paths
        ]
    )
    with torch.inference_mode():
        return model(batch).numpy(), rows


def test_several_data_sets_make_one_table(finished, pictures, capsys):
    a = table(pictures, plain(pictures), "a.csv")
    b = table(pictures, plain(pictures, splits=("test", "testing")), "b.csv")
    both = evaluate.run(finished, [f"dataset=[{a},{b}]", "workers=0"])
    assert list(both) == ["a/test", "b/test", "b/testing", "b/test (mean)"]
    printed = capsys.readouterr().out
    heads = [line for line in printed.splitlines() if line.split()[:1] == ["metric"]]
    assert len(heads) == 1 and "b/test (mean)" in heads[0]
    alone = evaluate.run(finished, settings(b), as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(alone))
    assert alone["test"]["values"] == both["b/test"]["values"]
    for name, value in both["b/test (mean)"]["values"].items():
        parts = [both[f"b/{split}"]["values"][name] for split in ("test", "testing")]
        assert value == pytest.approx(np.mean(parts))
    with pytest.raises(ConfigError, match="name each data set once"):
        evaluate.run(finished, [f"dataset=[{a},{a}]"])


def test_two_models_search_each_others_gallery(finished, teacher, pictures, capsys):
    file = table(pictures, plain(pictures))
    options = {"gallery": teacher, "gallery_image_size": 36, "symmetric": True}
    found = evaluate.run(finished, [*settings(file), "evaluation=raml"], **options)
    student, rows = vectors(finished, file)
    other, _ = vectors(teacher, file, size=36)
    pairs = {
        "test: toy → teacher": (student, other),
        "test: teacher → toy": (other, student),
        "test: toy → toy": (student, student),
        "test: teacher → teacher": (other, other),
    }
    assert list(found) == list(pairs)
    names = ["map_trapezoid", "map_trapezoid_at_k", "mp_at_k", "recall_at_k"]
    for title, (query, gallery) in pairs.items():
        expected = evaluate_vectors(
            query, rows.labels, gallery, rows.labels, exclude_self=True, metrics=names, k=[1, 4, 8]
        )
        assert found[title]["values"] == pytest.approx(dict(expected.values), abs=2e-3), title
        assert set(found[title]["intervals_over_queries"]) == set(found[title]["values"])
    assert "toy → teacher" in " ".join(capsys.readouterr().out.split())


def test_models_of_other_widths_are_refused(finished, pictures, tmp_path):
    save(create_model("conv4", pretrained=False, embedding_size=5, size=28), tmp_path / "wide")
    file = table(pictures, plain(pictures))
    with pytest.raises(ConfigError, match="5 wide, those of .*toy 8"):
        evaluate.run(finished, settings(file), gallery=tmp_path / "wide")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"symmetric": True}, "--symmetric needs --gallery"),
        ({"gallery_image_size": 3}, "--gallery-image-size needs --gallery"),
        ({"whitening_size": 3}, "--whitening-size needs --whitening pca or learned"),
        ({"whitening": "zca"}, "--whitening zca"),
        ({"over": "images"}, "--over images"),
        ({"image_size": 0}, "--image-size 0: give a side in pixels"),
    ],
)
def test_options_that_would_do_nothing_are_refused(finished, options, words):
    with pytest.raises(ConfigError, match=words):
        evaluate.run(finished, **options)


def test_whitening_is_learned_on_train_and_saved_in_the_model(teacher, pictures, tmp_path):
    file = table(pictures, plain(pictures, splits=("train", "test")))
    out = tmp_path / "whitened"
    asked = [*settings(file), "evaluation.metrics=[map,r_at_k]"]
    options = {"whitening": "learned", "whitening_size": 6, "save_model": out}
    found = evaluate.run(teacher, asked, **options)["test"]["values"]
    x, rows = vectors(teacher, file)
    train = (rows.frame["split"] == "train").to_numpy()
    pairs = class_pairs(rows.labels[train, 0])
    y = whiten(x, *learned_whitening(x[train], *pairs), 6).astype(np.float32)
    labels = rows.labels[~train]
    expected = evaluate_vectors(y[~train], labels, metrics=["map", "r_at_k"])
    assert found == pytest.approx(dict(expected.values), abs=0.05)
    assert load(out).width == 6
    assert evaluate.run(out, asked)["test"]["values"] == found
    with pytest.raises(DataError, match="has no train split to learn on"):
        no_train = table(pictures, plain(pictures), "no_train.csv")
        evaluate.run(teacher, settings(no_train), whitening="pca")


def test_scales_and_sizes_change_what_is_embedded(teacher, pictures):
    file = table(pictures, plain(pictures))
    asked = [*settings(file), "evaluation.metrics=[map]"]
    usual = evaluate.run(teacher, asked)["test"]["values"]
    model = load(teacher)
    rows = table_file(file)
    for overrides, options, x in (
        (["evaluation.scales=[1,0.5]"], {}, model.encode(rows, scales=[1, 0.5])),
        ([], {"image_size": 32}, vectors(teacher, file, size=32)[0]),
    ):
        found = evaluate.run(teacher, [*asked, *overrides], **options)["test"]["values"]
        expected = evaluate_vectors(x, rows.labels, metrics=["map"])
        assert found == pytest.approx(dict(expected.values), abs=1e-3)
        assert found != usual


def test_classes_one_by_one(finished, pictures, capsys):
    file = table(pictures, plain(pictures))
    found = evaluate.run(finished, settings(file), by_class=True)["test"]
    x, rows = vectors(finished, file)
    precision = evaluate_vectors(x, rows.labels).per_query["map"]
    labels = rows.frame["label"].to_numpy()
    for label in range(6):
        own = found["by_class"][str(label)]
        assert own["queries"] == (labels == label).sum()
        mean = precision[labels == label].mean()
        assert own["mean_average_precision"] == pytest.approx(mean, abs=1e-3)
    every = [own["mean_average_precision"] for own in found["by_class"].values()]
    assert found["class_means"]["mean_average_precision"] == pytest.approx(np.mean(every))
    assert "mean over classes" in capsys.readouterr().out


def test_revisited_landmarks_through_the_verb(finished, pictures, tmp_path, capsys):
    home = tmp_path / "data" / "roxford5k"
    (home / "jpg").mkdir(parents=True)
    names = [f"hall_{i:06d}" for i in range(3)] + [f"gate_{i:06d}" for i in range(12)]
    for number, name in enumerate(names):
        Image.open(pictures / f"{number:02d}.png").save(home / "jpg" / f"{name}.jpg")
    truth = [
        {"bbx": [4.0, 2.0, 40.0, 30.0], "easy": [0, 1], "hard": [2], "junk": [3]},
        {"bbx": [0.0, 0.0, 44.0, 36.0], "easy": [5], "hard": [], "junk": []},
        {"bbx": [0.0, 0.0, 30.0, 36.0], "easy": [], "hard": [7, 8], "junk": [9, 10]},
    ]
    truth = {"qimlist": names[:3], "imlist": names[3:], "gnd": truth}
    (home / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(truth))
    asked = ["dataset=roxford5k", f"data_root={tmp_path / 'data'}", "workers=0"]
    found = evaluate.run(finished, asked)["test"]
    x = load(finished).encode(table_with_boxes(home, truth))
    expected = revisited((x[:3] @ x[3:].T).astype(np.float64), truth["gnd"])
    assert found["queries"] == 3 and found["gallery_size"] == 12
    for setup, numbers in expected.items():
        assert found["values"][f"{setup}_map"] == pytest.approx(numbers["map"], abs=1e-6)
        for k, value in zip((1, 5, 10), numbers["mp_at_k"], strict=True):
            assert found["values"][f"{setup}_mp_at_{k}"] == pytest.approx(value, abs=1e-6)
    assert found["skipped"]["hard_map"] == 1 and found["skipped"]["medium_map"] == 0
    assert "1 query without a positive (hard)" in capsys.readouterr().out
    # A gallery image that cannot be read leaves the lists in order.
    (home / "jpg" / f"{names[3]}.jpg").write_bytes(b"broken")
    left = evaluate.run(finished, [*asked, "broken=skip"])["test"]
    without = [
        {key: [p - 1 for p in entry[key] if p] for key in ("easy", "hard", "junk")}
        for entry in truth["gnd"]
    ]
    expected = revisited((x[:3] @ x[4:].T).astype(np.float64), without)
    assert left["values"]["medium_map"] == pytest.approx(expected["medium"]["map"], abs=1e-6)


def table_with_boxes(home, truth):
    from lookalike.data.datasets import revisited as read

    rows = read(home)
    assert len(rows) == len(truth["qimlist"]) + len(truth["imlist"])
    return rows


def test_an_option_of_a_data_set_is_of_the_runs_own(tmp_path):
    """Without `dataset=` it used to choose the default data set, whose figures then came back."""
    from lookalike.compose import compose, write_config
    from lookalike.evaluation.benchmarks import benchmarks

    write_config(tmp_path / "config.yaml", compose([f"dataset={tmp_path}", "dataset.seed=3"]))
    (one,) = benchmarks(tmp_path, ["dataset.test_classes=0.25"])
    assert one.is_runs and not one.own
    assert one.config.dataset["root"] == str(tmp_path)
    assert (one.config.dataset["seed"], one.config.dataset["test_classes"]) == (3, 0.25)
    (strict,) = benchmarks(tmp_path, ["dataset.strays=refuse"])
    assert (one.config.dataset["strays"], strict.config.dataset["strays"]) == (
        "leave_out",
        "refuse",
    )
    (other,) = benchmarks(tmp_path, ["dataset=toy"])
    assert not other.is_runs


def test_the_three_benchmarks_of_dyml_become_one_figure(teacher, pictures):
    fine = np.random.default_rng(2).integers(0, 4, 40)
    rows = plain(pictures, splits=("test_fine", "test_middle", "test_coarse"))
    part = np.array(rows["split"])
    rows |= {"fine": np.where(part == "test_fine", fine, -1)}
    rows |= {"middle": np.where(part == "test_middle", fine // 2, -1)}
    rows |= {"coarse": np.where(part == "test_coarse", fine // 3, -1)}
    file = table(pictures, rows, "dyml.csv")
    asked = [*settings(file), "dataset.levels=[fine,middle,coarse]", "evaluation=dyml"]
    found = evaluate.run(teacher, asked)
    assert list(found) == [
        "test_fine",
        "test_middle",
        "test_coarse",
        "test (all levels)",
    ]
    x, _ = vectors(teacher, file)
    figures = {"mean_average_precision": [], "asi": [], "recall_at_10": []}
    for split, labels in (
        ("test_fine", fine),
        ("test_middle", fine // 2),
        ("test_coarse", fine // 3),
    ):
        own = part == split
        report = evaluate_vectors(x[own], labels[own], k=10)
        for name, values in figures.items():
            values.append(report[name])
    whole = found["test (all levels)"]["values"]
    assert set(whole) == {*figures, "recall_at_1", "recall_at_20"}
    for name, values in figures.items():
        assert whole[name] == pytest.approx(np.mean(values), abs=2e-3), name


def test_queries_and_gallery_of_their_own(teacher, pictures):
    """In-shop and Google Landmarks: no query is in the gallery, and some find nothing."""
    query = np.arange(40) < 12
    file = table(pictures, plain(pictures, is_query=query, is_gallery=~query), "shop.csv")
    gallery = ["evaluation=gldv2", "evaluation.k=[5]"]
    found = evaluate.run(teacher, [*settings(file), *gallery])["test"]
    x, rows = vectors(teacher, file)
    labels = rows.labels
    expected = evaluate_vectors(
        x[query], labels[query], x[~query], labels[~query], k=5, metrics=["map_at_k", "micro_ap"]
    )
    assert found["values"] == pytest.approx(dict(expected.values), abs=2e-3)
    assert (found["queries"], found["gallery_size"]) == (12, 28)


def test_every_flag_reaches_the_job(finished, teacher, pictures, tmp_path):
    from typer.testing import CliRunner

    from lookalike.cli import app

    def lookalike(*words):
        return CliRunner().invoke(app, ["evaluate", *map(str, words)])

    a = table(pictures, plain(pictures, splits=("train", "test")), "a.csv")
    b = table(pictures, plain(pictures, splits=("train", "test", "val")), "b.csv")
    done = lookalike(
        teacher,
        f"dataset=[{a},{b}]",
        "workers=0",
        *("--split", "test", "--image-size", 32, "--whitening", "pca", "--whitening-size", 4),
        *("--save-model", tmp_path / "white", "--by-class", "--over", "queries", "--json"),
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert list(found) == ["a/test", "b/test"] and "class_means" in found["a/test"]
    model = load(tmp_path / "white")
    assert (model.width, model.spec.size) == (4, 32)
    sizes = ("--image-size", 32, "--gallery-image-size", 36)
    done = lookalike(
        finished, f"dataset={a}", "workers=0", "--gallery", teacher, "--symmetric", *sizes
    )
    assert done.exit_code == 0, done.output
    assert "train" not in done.output.split("metric")[0]
    titles = [line for line in done.output.splitlines() if line.startswith("test: ")]
    assert len(titles) == 4
