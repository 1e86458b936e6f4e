from collections import Counter

import numpy as np
import pandas as pd
import pytest

from lookalike import components
from lookalike.compose import compose
from lookalike.data.build import build_table
from lookalike.data.datasets.table_files import write_table
from lookalike.data.splits import hold_out_classes, k_fold
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError


@pytest.fixture
def table():
    """Twelve classes of four images in three super-classes of four; the last four are tested."""
    fine = np.repeat(np.arange(12), 4)
    frame = pd.DataFrame(
        {"path": [f"{i}.png" for i in range(48)], "class": fine, "super": fine // 4}
    )
    frame["split"] = np.where(fine < 8, "train", "test")
    return Table.from_frame(frame, levels=["class", "super"])


def classes(table, split):
    return set(table.split(split).frame["class"])


def test_the_first_classes_stay_for_training_as_in_raml(table):
    held = hold_out_classes(table)
    assert classes(held, "train") == {0, 1, 2, 3} and classes(held, "val") == {4, 5, 6, 7}
    assert classes(held, "test") == {8, 9, 10, 11}
    assert held.split("val").frame["is_query"].all() and held.evaluation_splits == ["val", "test"]
    assert held.split("train").num_classes() == 4
    assert held.notes[-1] == "4 of 8 training classes held out as 'val'"
    shuffled = table.where(np.arange(48)[::-1])
    assert classes(hold_out_classes(shuffled), "val") == {
        0,
        1,
        2,
        3,
    }  # first means first in the file
    assert len(classes(hold_out_classes(table, 0.25), "val")) == 2


def test_held_out_classes_may_be_drawn(table):
    assert classes(hold_out_classes(table, seed=1), "val") == classes(
        hold_out_classes(table, seed=1), "val"
    )
    assert len({frozenset(classes(hold_out_classes(table, seed=s), "val")) for s in range(5)}) > 1
    for share in (0, 1, 0.01):
        if share != 0.01:
            with pytest.raises(ConfigError, match="leaves one side without any"):
                hold_out_classes(table, share)
    assert len(classes(hold_out_classes(table, 0.01), "val")) == 1


@pytest.mark.parametrize("by", ["class", "class_within_super", "super", "picture"])
def test_every_unit_is_tested_in_one_fold(table, by):
    seen = Counter()
    for fold in range(3):
        part = k_fold(table, 3, fold, by=by, seed=4)
        test, train = part.split("test"), part.split("train")
        assert len(test) == 16 and len(train) == 32
        seen.update(test.frame["path"])
        if by == "picture":
            assert Counter(train.frame["class"]).keys() == set(range(12))
        else:
            assert not classes(part, "test") & classes(part, "train")
        if by == "class_within_super":
            assert set(test.frame["super"]) == {0, 1, 2}
        if by == "super":
            assert len(set(test.frame["super"])) == 1
        assert test.frame["is_query"].all() and not train.frame["is_gallery"].any()
    assert set(seen.values()) == {1} and len(seen) == 48


def test_folds_follow_the_seed(table):
    tests = [frozenset(classes(k_fold(table, 3, 0, seed=s), "test")) for s in range(4)]
    assert len(set(tests)) > 1
    assert tests[2] == frozenset(classes(k_fold(table, 3, 0, seed=2), "test"))
    assert "fold 1 of 3 by class, seed 0" in k_fold(table, 3, 1).notes


def test_uneven_folds_differ_by_one_class(table):
    sizes = [len(classes(k_fold(table, 5, fold), "test")) for fold in range(5)]
    assert sorted(sizes) == [2, 2, 2, 3, 3]


def test_folds_that_cannot_be(table):
    for folds, fold in ((1, 0), (3, 3), (3, -1)):
        with pytest.raises(ConfigError, match="cannot be"):
            k_fold(table, folds, fold)
    with pytest.raises(ConfigError, match="'clas'. Did you mean 'class'"):
        k_fold(table, 3, 0, by="clas")
    with pytest.raises(ConfigError, match="leave fold 3 or the rest empty"):
        k_fold(table, 4, 3, by="super")
    with pytest.raises(DataError, match="level 2, but the levels are 0 … 1"):
        k_fold(table, 3, 0, by="super", super_level=2)


def test_any_data_set_may_be_divided_from_the_command_line(table, tmp_path):
    write_table(table, tmp_path / "a.parquet")

    def built(*options):
        return build_table(compose([f"dataset={tmp_path / 'a.parquet'}", *options]))

    assert classes(built("dataset.hold_out=0.5"), "val") == {4, 5, 6, 7}
    fold = built("dataset.folds=3", "dataset.fold=1", "dataset.fold_by=super")
    assert classes(fold, "test") == classes(k_fold(table, 3, 1, by="super"), "test")
    both = built("dataset.folds=3", "dataset.fold=1", "dataset.hold_out=0.25")
    assert [len(classes(both, s)) for s in ("train", "val", "test")] == [6, 2, 4]
    with pytest.raises(ConfigError, match="belong together"):
        built("dataset.fold=1")
    with pytest.raises(ConfigError, match="takes no such argument"):
        built("dataset.fodl=1")


def test_a_data_set_s_own_argument_comes_before_the_common_one():
    """Ours may be called what is common: then the data set deals with it itself."""
    found = components.build("dataset", {"name": f"{__name__}.own_folds", "folds": 7, "fold": 1})
    assert found == (7, 1)


def own_folds(folds, fold):
    return folds, fold
