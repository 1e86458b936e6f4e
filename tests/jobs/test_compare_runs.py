from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from lookalike import cli
from lookalike.errors import ConfigError, DataError, RunError
from lookalike.evaluation import seeds
from lookalike.evaluation.comparison import corrected_together, holm
from lookalike.jobs import compare, train
from lookalike.metrics import evaluate
from lookalike.metrics.compare import compare_entries


@pytest.fixture(scope="module")
def other(toy, tmp_path_factory) -> Path:
    """The run of `finished` with another seed."""
    folder = tmp_path_factory.mktemp("others") / "seeded"
    return train.run([*toy, "seed=1", "epochs=1", f"run={folder}"], quiet=True)


@pytest.fixture
def perfect(finished, tmp_path) -> Path:
    """A copy of a run in which every image lies at its species."""
    folder = shutil.copytree(finished, tmp_path / "perfect")
    kept = folder / "evaluation" / "test"
    codes = pd.factorize(pd.read_parquet(kept / "rows.parquet")["species"])[0]
    np.save(kept / "embeddings.npy", np.eye(codes.max() + 1, dtype=np.float32)[codes])
    return folder


def plain_holm(p_values: list[float]) -> list[float]:
    """Step down from the smallest, one at a time."""
    found = {}
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, (len(p_values) - rank) * p_values[place])
        found[place] = min(1.0, highest)
    return [found[place] for place in range(len(p_values))]


def test_holm_is_the_step_down_loop():
    generator = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        p_values = generator.uniform(0, 0.3, size).round(2).tolist()
        assert holm(p_values) == pytest.approx(plain_holm(p_values), abs=1e-15)
    assert holm([]) == []


def test_equal_tests_are_counted_once():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 50))
    one = compare_entries({"a": x, "b": x, "c": y}, {"a": y, "b": y, "c": x * 0.5}, permutations=99)
    tests, (corrected,) = corrected_together([one])
    p_values = [one.differences[name].p_value for name in ("a", "c")]
    assert tests == 2
    assert [corrected["a"], corrected["c"]] == pytest.approx(plain_holm(p_values))
    assert corrected["b"] == corrected["a"]
    assert corrected_together([one, one])[0] == 4, "two runs are never one test"


def test_figures_are_those_of_the_reports(finished, other):
    result = compare.run([finished, other], metrics=["all"], as_json=True)
    assert (result["baseline"], list(result["runs"])) == ("toy", ["seeded"])
    mine, theirs = (
        json.loads((run / "evaluation" / "test" / "report.json").read_text())["values"]
        for run in (finished, other)
    )
    differences = result["runs"]["seeded"]["differences"]
    assert list(differences) == list(mine)
    for name, one in differences.items():
        assert one["baseline"] == pytest.approx(mine[name], abs=1e-12)
        assert one["value"] == pytest.approx(theirs[name], abs=1e-12)
        assert one["difference"] == pytest.approx(theirs[name] - mine[name], abs=1e-12)
        assert one["interval"][0] <= one["difference"] <= one["interval"][1]
        assert one["corrected"] >= one["p_value"]


def test_a_real_difference_is_told_from_none(finished, perfect, tmp_path):
    same = shutil.copytree(finished, tmp_path / "same")
    result = compare.run([finished, perfect, same], over="queries", as_json=True)
    better = result["runs"]["perfect"]["differences"]["mean_average_precision_level0"]
    assert better["value"] == 1.0
    assert better["verdict"] == "better"
    assert "perfect is better than toy in" in result["runs"]["perfect"]["words"][0]
    nothing = result["runs"]["same"]
    assert {one["verdict"] for one in nothing["differences"].values()} == {"same"}
    assert {one["corrected"] for one in nothing["differences"].values()} == {1.0}
    assert nothing["changed"] == []
    worse = compare.run([perfect, finished], over="queries", metrics=["map_at_r"], as_json=True)
    one = worse["runs"]["toy"]["differences"]["mean_average_precision_at_r_level0"]
    assert (one["verdict"], one["better"]) == ("worse", 0)


def test_five_lead_where_none_are_named(finished, other):
    result = compare.run([finished, other], as_json=True)
    named = ["recall_at_1", "mean_average_precision_at_r", "mean_average_precision", "r_precision"]
    differences = list(result["runs"]["seeded"]["differences"])
    assert differences[:4] == [f"{name}_level0" for name in named] and len(differences) == 5
    assert "5 tests" in result["method"][3]


def test_an_interval_over_seeds_is_that_of_scipy():
    values = [[0.5, 0.52, 0.47], [0.55, 0.58]]
    mean, *ends = seeds.interval(values[0])
    found = stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    assert [mean, *ends] == pytest.approx([np.mean(values[0]), found.low, found.high])
    assert np.isnan(seeds.interval([0.5])[1:]).all()
    entries = {"a": np.linspace(-1, 1.2, 50)}, {"a": np.linspace(-1, 1.3, 50)}
    one = compare_entries(*entries, permutations=999)
    before = one.differences["a"]
    both = seeds.with_seeds(one, {"a": values[0]}, {"a": values[1]}).differences["a"]
    welch = stats.ttest_ind(values[1], values[0], equal_var=False)
    limits = welch.confidence_interval(0.95)
    assert both.p_value == pytest.approx(max(before.p_value, welch.pvalue))
    own, other = before.high - before.difference, (limits.high - limits.low) / 2
    assert both.high - both.difference == pytest.approx(np.hypot(own, other))
    alone = seeds.with_seeds(one, {"a": values[0]}, {"a": [0.5]})
    assert alone.differences["a"] == before, "one run says nothing of seeds"


def test_runs_that_differ_in_their_seed_alone_go_together(finished, other, tmp_path):
    def copy(name: str, seed: int, **changes) -> Path:
        folder = shutil.copytree(finished, tmp_path / name)
        changes |= {"seed": seed}
        lines = (folder / "config.yaml").read_text().splitlines()
        kept = [line for line in lines if line.partition(":")[0] not in changes]
        text = "\n".join([*kept, *(f"{k}: {v}" for k, v in changes.items())])
        (folder / "config.yaml").write_text(text)
        return folder

    a0, a1, b = copy("a0", 0), copy("a1", 1), copy("b", 0, epochs=9)
    found = seeds.group([b, a0, a1])
    assert [list(one.runs) for one in found] == [[b], [a0, a1]]
    assert len(seeds.group([a0, a1])) == 2, "then the seeds are what is compared"
    again = copy("again", 0)
    assert [list(one.runs) for one in seeds.group([a0, again, b])] == [[a0], [again], [b]]
    result = compare.run([other, a0, a1], as_json=True)
    assert result["seeds"] == {"seeded": 1, "a0": 2}
    assert "a0: 2 runs that differ in their seed alone" in result["method"][-2]
    single = compare.run([other, a0], as_json=True)["runs"]["a0"]["differences"]
    assert result["runs"]["a0"]["differences"] == single, "copies have the same mean"


@pytest.mark.slow
def test_several_seeds_are_trained_and_told_together(toy, tmp_path, capsys):
    words = [*toy, "epochs=1", "seed=[0,3]", f"run={tmp_path / 'x'}"]
    base = train.run(words, quiet=True)
    about = json.loads((base / "seeds.json").read_text())
    values = about["splits"]["test"]["recall_at_1_level0"]
    reports = [base / f"seed-{n}" / "evaluation" / "test" / "report.json" for n in (0, 3)]
    figures = [json.loads(f.read_text())["values"]["recall_at_1_level0"] for f in reports]
    assert values["values"] == figures and values["mean"] == pytest.approx(np.mean(figures))
    page = (base / "report.html").read_text()
    assert 'href="seed-3/report.html"' in page and "interval over seeds" in page
    with pytest.raises(RunError, match=r"is not empty. Go on with its seeds with --resume=auto"):
        train.run(words, quiet=True)
    capsys.readouterr()
    assert train.run(words, auto_resume=True, quiet=True) == base
    assert capsys.readouterr().out.count("is finished; nothing is left to do") == 2
    result = compare.run([base / "seed-0", base], as_json=True)
    assert result["seeds"] == {"seed-0": 1, "x": 2}
    with pytest.raises(ConfigError, match="write different whole numbers"):
        train.run([*toy, "seed=[0,0]"])
    with pytest.raises(ConfigError, match="--trace follows one run"):
        train.run(words, trace=tmp_path / "t.jsonl")


def test_few_classes_are_said_to_be_too_few(finished, perfect):
    whole = compare.run([finished, perfect], as_json=True)
    assert "6 classes are too few" in whole["notes"][0]
    assert compare.run([finished, perfect], over="queries", as_json=True)["notes"] == []


def test_changed_queries_are_those_of_a_plain_loop(finished, perfect):
    changed = compare.run([finished, perfect], as_json=True)["runs"]["perfect"]["changed"]
    kept = finished / "evaluation" / "test"
    rows = pd.read_parquet(kept / "rows.parquet")
    report = evaluate(np.load(kept / "embeddings.npy"), rows["species"].to_numpy())
    before = dict(zip(rows["path"], report.per_query["mean_average_precision"], strict=True))
    assert len(changed) == min(20, sum(value < 1 for value in before.values()))
    gains = [one["after"] - one["before"] for one in changed]
    assert gains == sorted(gains, reverse=True)
    assert min(gains) > 0
    for one in changed:
        assert one["before"] == pytest.approx(before[one["picture"]], abs=1e-12)
        assert one["after"] == 1.0


def test_tables_and_sheets_are_written(monkeypatch, capsys, finished, other, perfect, tmp_path):
    out = tmp_path / "out"
    words = ["compare", finished, other, perfect, "--metric", "map_at_r", "--out", out]
    monkeypatch.setattr(sys, "argv", ["lookalike", *map(str, words)])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert not leaving.value.code
    printed = capsys.readouterr().out
    assert "seeded against toy" in printed
    assert "MAP@R, species" in printed
    names = {file.name for file in out.iterdir()}
    assert names == {
        "comparison.html", "comparison.md", "comparison.json", "changed-1.png", "changed-2.png"
    }  # fmt: skip
    assert json.loads((out / "comparison.json").read_text())["split"] == "test"
    markdown = (out / "comparison.md").read_text()
    assert "(changed-2.png)" in markdown
    assert "Holm" in markdown
    page = (out / "comparison.html").read_text()
    assert "after, perfect" in page
    assert str(finished) not in page.partition("<h3>Command</h3>")[0]
    assert Image.open(out / "changed-1.png").width > 600


def test_other_rows_are_refused(finished, other, tmp_path):
    kept = other / "evaluation" / "test"
    rows = pd.read_parquet(kept / "rows.parquet")

    def altered(name: str, frame: pd.DataFrame) -> Path:
        folder = shutil.copytree(other, tmp_path / name)
        frame.attrs = rows.attrs
        frame.to_parquet(folder / "evaluation" / "test" / "rows.parquet")
        vectors = np.load(kept / "embeddings.npy")[: len(frame)]
        np.save(folder / "evaluation" / "test" / "embeddings.npy", vectors)
        return folder

    species = rows["species"].to_numpy(object).copy()
    species[3] = species[-1]
    with pytest.raises(DataError, match="'species' differs in 1 of 36, first in row 3"):
        compare.run([finished, altered("label", rows.assign(species=species))], as_json=True)
    with pytest.raises(DataError, match="measured on 36 rows, fewer on 30"):
        compare.run([finished, altered("fewer", rows.iloc[:30])], as_json=True)
    with pytest.raises(DataError, match="'path' differs"):
        compare.run([finished, altered("order", rows.iloc[::-1])], as_json=True)
    moved = rows.assign(path=rows["path"].str.replace("/", "/elsewhere/", n=1))
    assert compare.run([finished, altered("moved", moved)], as_json=True)["runs"]["moved"]


def test_mistakes_are_named(finished, other, tmp_path):
    with pytest.raises(ConfigError, match="two runs or more, got 1"):
        compare.run([finished])
    with pytest.raises(ConfigError, match="named twice"):
        compare.run([finished, other, finished])
    with pytest.raises(ConfigError, match="--metric: .*Did you mean"):
        compare.run([finished, other], metrics=["map_at_rr"])
    with pytest.raises(ConfigError, match="Did you mean 'classes'"):
        compare.run([finished, other], over="class")
    with pytest.raises(RunError, match="no evaluation of 'tset'. Did you mean 'test'"):
        compare.run([finished, other], split="tset")
    with pytest.raises(RunError, match="not a run folder"):
        compare.run([finished, tmp_path])
    broken = shutil.copytree(other, tmp_path / "broken")
    np.save(broken / "evaluation" / "test" / "embeddings.npy", np.zeros((3, 8), np.float32))
    with pytest.raises(RunError, match=r"36 rows, but vectors of shape \(3, 8\)"):
        compare.run([finished, broken])


def test_runs_of_one_name_are_told_apart_by_their_paths(finished, tmp_path):
    twin = shutil.copytree(finished, tmp_path / "toy")
    result = compare.run([finished, twin], as_json=True)
    assert (result["baseline"], list(result["runs"])) == (str(finished), [str(twin)])
