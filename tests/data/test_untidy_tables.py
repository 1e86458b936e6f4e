"""Tables as people have them: what a file writes stays that, and near misses are named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.data import doctor
from lookalike.data.datasets import table_file
from lookalike.data.frames import read_frame
from lookalike.data.table import Table
from lookalike.errors import DataError


def written(folder, text, name="t.csv"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def rows(*labels, split="train"):
    lines = [f"{i}.png,{label},{split}" for i, label in enumerate(labels)]
    return "path,label,split\n" + "\n".join(lines) + "\n"


NAMES = {
    "zeros in front": (["007", "7"], ["007", "7"]),
    "exponents": (["1e3", "1000"], ["1000", "1e3"]),
    "versions": (["1.10", "1.1"], ["1.1", "1.10"]),
    "beyond 64 bits": (["12345678901234567890123", "2"], ["12345678901234567890123", "2"]),
    "beyond 2^53": ([f"{2**53 + 1}", f"{2**53}"], [f"{2**53}", f"{2**53 + 1}"]),
    "blanks behind": (["cat ", "cat"], ["cat"]),
    "words of nothing": (["NA", "None", "nan"], ["NA", "None", "nan"]),
    "words of truth": (["True", "False"], ["False", "True"]),
    "plain numbers": (["10", "9"], ["9", "10"]),
    "signs": (["+1", "1"], ["+1", "1"]),
    "dates": (["2024-01-01", "20240101"], ["2024-01-01", "20240101"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
def test_labels_of_a_file_stay_letter_for_letter(tmp_path, kind):
    given_, names = NAMES[kind]
    assert table_file(written(tmp_path, rows(*given_))).names() == names


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=9)
        | st.integers(0, 10**30).map(str),
        min_size=1, max_size=6, unique=True,
    )
)  # fmt: skip
def test_labels_of_a_file_neither_merge_nor_change(tmp_path_factory, labels):
    table = table_file(written(tmp_path_factory.mktemp("t"), rows(*labels)))
    assert sorted(table.names()) == sorted(labels)
    assert [table.names()[code] for code in table.labels[:, 0]] == labels


@pytest.mark.parametrize("absent", ["-1", "-1.0"])
def test_a_distractor_in_a_file(tmp_path, absent):
    table = table_file(written(tmp_path, rows("cat", absent, split="test")))
    assert table.labels[:, 0].tolist() == [0, -1]


def test_long_numbers_of_a_frame_stay_digit_for_digit():
    frame = pd.DataFrame({"path": ["a", "b"], "label": np.array([2**63, 2**64 - 1], np.uint64)})
    assert set(Table.from_frame(frame).names()) == {str(2**63), str(2**64 - 1)}
    with pytest.raises(DataError, match=r"beyond 2\^53 as float at row 0"):
        Table.from_frame(frame.assign(label=[2.0**60, 1.0]))


BAD = {
    "separated by ';'.*save it with ','": "path;label;split\na.png;x;train\n",
    "separated by tabs.*name it .tsv": "path\tlabel\na.png\tx\n",
    "is UTF-16": rows("x").encode("utf-16"),
    "is not UTF-8": rows("caf\xe9").encode("latin-1"),
    r"names 3 columns .* first row has 4 fields": "path,label,split\na.png,x,train,more\n",
    "'tran' is no split.*Did you mean 'train'": rows("x", split="tran"),
    "'train' is a known word for a split, 'holdout' beside it is not": rows("x")
    + "z.png,y,holdout\n",
    "'test' and 'Eval' both mean the split 'test'": rows("x", split="test") + "z.png,y,Eval\n",
    "names column 'label' 2 times": "path,label, label\na.png,x,y\n",
    "column 'Split' is not read": "path,label,Split\na.png,x,train\n",
    "column 'sequences' is not read": "path,label,split,sequences\na.png,x,train,1\n",
    "column 'isquery' is not read": "path,label,split,isquery\na.png,x,test,1\n",
}


@pytest.mark.parametrize("said", BAD)
def test_what_would_be_read_wrongly_is_refused_with_the_remedy(tmp_path, said):
    with pytest.raises(DataError, match=said) as caught:
        table_file(written(tmp_path, BAD[said]))
    assert "t.csv" in str(caught.value)


def test_a_separator_at_the_end_of_every_line_is_harmless(tmp_path):
    assert table_file(written(tmp_path, "path,label,split\na.png,x,train,\n")).names() == ["x"]


@pytest.mark.parametrize("names", ["x1,y1,x2,y2", "xmin,ymin,xmax,ymax", "box_x,box_y,box_w,box_h"])
def test_columns_that_are_almost_a_box_are_named(tmp_path, names):
    table = table_file(written(tmp_path, f"path,label,split,{names}\na.png,x,train,1,2,3,4\n"))
    assert table.boxes is None and "no box is read" in table.notes[0]


def test_split_words_of_a_column(tmp_path):
    text = rows("a", split="Training") + "x.png,b,TEST\ny.png,c,Dev\nz.png,d,u_in\n"
    table = table_file(written(tmp_path, text))
    assert table.splits == ["train", "test", "val", "u_in"]
    assert table.evaluation_splits == ["test", "val"] and table.notes == ()
    for word in ("extra", "query", "holdout"):  # a table may be large: both are named, not a note
        with pytest.raises(DataError, match=f"'Training', 'TEST', .* '{word}' beside them is not"):
            table_file(written(tmp_path, text + f"w.png,e,{word}\n"))
    own = table_file(written(tmp_path, rows("a", "b", split="heap")))  # to embed or to index
    assert "split 'heap': 2 images, neither trained on nor evaluated" in own.notes
    assert doctor.check(own, pictures=False).found("unused").items == ("heap",)


@pytest.mark.parametrize("word", ["NaN", "nan", "NA", "None", "null", "<NA>"])
def test_a_class_named_by_a_word_for_none_stays_one_and_is_a_problem(tmp_path, word):
    text = rows("crow", word, word) + "t.png,crow,test\nu.png,wren,test\n"
    table = table_file(written(tmp_path, text))
    assert table.names().count(word) == 1 and (table.labels >= 0).all()
    assert f'"{word}" is read as the name of a class; write -1' in " ".join(table.notes)
    report = doctor.check(table, pictures=False)
    found = report.found("nameless")
    assert not report.ok and found.what == f"class of 'label' is named \"{word}\""
    assert found.items == (f'"{word}": 2 images',)
    # What is not text is no label: the same word from a program is not there.
    frame = pd.DataFrame({"path": ["a", "b"], "label": ["x", None], "split": "train"})
    with pytest.raises(DataError, match="no label in column 'label' at row 1"):
        Table.from_frame(frame)


def test_query_and_gallery_are_the_sides_of_the_test(tmp_path):
    text = rows("a") + "x.png,b,Query\ny.png,b,gallery\nz.png,c,gallery\n"
    test = table_file(written(tmp_path, text)).split("test").frame
    assert test["is_query"].tolist() == [True, False, False]
    assert test["is_gallery"].tolist() == [False, True, True]


@pytest.mark.parametrize("sequence", [["s", None], ["s", "-1"], [7, None], [7, -1], [pd.NA, "s"]])
def test_a_sequence_that_is_not_there_has_a_fingerprint_and_no_fellows(sequence):
    frame = pd.DataFrame({"path": ["a", "b"], "label": ["x", "x"], "split": "test"})
    table = Table.from_frame(frame.assign(sequence=sequence))
    assert len(table.fingerprint) == 16
    again = Table.from_frame(table.frame)
    assert again.fingerprint == table.fingerprint


def test_labels_that_are_all_but_one_are_worth_knowing():
    names = ["caf\u00e9", "cafe\u0301", "Cat", "cat", "007", "7", "owl"]
    frame = pd.DataFrame({"path": list("abcdefg"), "label": names})
    found = doctor.check(Table.from_frame(frame), pictures=False).found("twins")
    assert found.count == 3 and not found.problem


def test_text_columns_of_a_frame_reader(tmp_path):
    file = written(tmp_path, " id ,n\n01,02\n")
    assert read_frame(file, text=["id"]).to_dict("records") == [{"id": "01", "n": 2}]
