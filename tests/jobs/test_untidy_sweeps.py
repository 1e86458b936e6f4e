"""What a sweep checks before its first trial, over data and words as people have them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lookalike.data.build import build_table
from lookalike.errors import LookalikeError
from lookalike.sweep import trials as sweep
from lookalike.training import checks


def images(root, *files):
    for number, file in enumerate(files):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(root / file)
    return root


def classes(split, *names):
    return [f"{split}/{name}/{i}.png" for name in names for i in range(2)]


def check(folder, *words):
    """As `run_sweep` until its study is opened; the table that the trials would train on."""
    space = folder.parent / "search.yaml"
    space.write_text("optimizer.lr: {low: 1e-4, high: 3e-2, log: true}\n")
    overrides, name = sweep._split([*words, str(space)])
    config = sweep.check_space(sweep.read_space(name), overrides)
    checks.check(config)
    sweep._check_judge(config)
    return config, build_table(config)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_split_words_in_capitals(data):
    images(data, *classes("Train", "a", "b"), *classes("Validation", "c"))
    _, table = check(data, f"dataset={data}")
    assert set(table.splits) == {"train", "validation"}


@pytest.mark.parametrize("said", ["Did you mean 'train'"])
def test_a_misspelt_split(data, said):
    images(data, *classes("tran", "a", "b"), *classes("test", "c"))
    with pytest.raises(LookalikeError, match=said):
        check(data, f"dataset={data}")


def test_no_split_to_judge_by(data):
    images(data, *classes("train", "a", "b"), *classes("test", "c"))
    with pytest.raises(LookalikeError, match="evaluation.select=test"):
        check(data, f"dataset={data}")


HEAD = "path{0}label{0}split\n"
ROWS = "a/0.png{0}1_0{0}train\na/1.png{0}1_0{0}train\nb/0.png{0}007{0}Val\nb/1.png{0}7{0}Val\n"


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_of_any_sign_and_encoding_is_read_or_refused_in_words(data, sign, encoding):
    images(data, "a/0.png", "a/1.png", "b/0.png", "b/1.png")
    file = data / "t.csv"
    file.write_bytes((HEAD + ROWS).format(sign).encode(encoding))
    if sign != "," or encoding == "utf-16":
        with pytest.raises(LookalikeError, match="t.csv"):
            check(data, f"dataset={file}")
        return
    _, table = check(data, f"dataset={file}")
    assert sorted(set(table.frame["label"].astype(str))) == ["007", "1_0", "7"]
    assert set(table.splits) == {"train", "val"}


@pytest.mark.parametrize("empty", ["", "-1"])
def test_rows_without_a_label(data, empty):
    images(data, "a/0.png", "a/1.png", "b/0.png", "b/1.png", "c/0.png")
    file = data / "t.csv"
    file.write_text((HEAD + ROWS + f"c/0.png,{empty},train\n").format(","))
    if not empty:
        with pytest.raises(LookalikeError, match="row 4|line 6"):
            check(data, f"dataset={file}")
        return
    _, table = check(data, f"dataset={file}")
    row = table.frame["path"].tolist().index("c/0.png")
    assert table.labels[row, 0] == -1


@pytest.mark.parametrize("word", ["1_0", "007", "1e3", "2024_01_31", "null", "true", "a,b"])
def test_names_like_numbers_stay_words(data, word):
    images(data, *(f"{name}/{i}.png" for name in (word, "x", "y", "z") for i in range(2)))
    words = [f"dataset={data}", f"dataset.test_classes=['{word}']", "evaluation.select=test"]
    config, table = check(data, *words)
    assert config.dataset["test_classes"] == [word]
    tested = table.frame[table.frame["split"] == "test"]
    assert set(tested["label"].astype(str)) == {word}


@pytest.mark.parametrize("word", ["1_0", "007", "1e3"])
def test_names_like_numbers_without_quotes(data, word):
    images(data, *(f"{name}/{i}.png" for name in (word, "x", "y", "z") for i in range(2)))
    words = [f"dataset={data}", f"dataset.test_classes=[{word}]", "evaluation.select=test"]
    _, table = check(data, *words)
    assert set(table.frame["label"][table.frame["split"] == "test"].astype(str)) == {word}


@pytest.mark.parametrize("name", ["2024_01_31", "1.10", "a,b", "007"])
def test_a_run_of_ones_own_is_refused_and_a_folder_keeps_its_letters(data, name):
    folder = data.parent / name
    images(folder, *classes("train", "a", "b"), *classes("val", "c"))
    with pytest.raises(LookalikeError, match="give its folder with --out"):
        check(folder, f"dataset={folder}", f"run={name}")
    config, table = check(folder, f"dataset={folder}")
    assert str(config.dataset["root"]) == str(folder) and table.name == name
