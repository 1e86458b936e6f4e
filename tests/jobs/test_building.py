from __future__ import annotations

import pytest

from lookalike.compose import compose
from lookalike.errors import DataError
from lookalike.jobs.building import build_table


@pytest.mark.parametrize(
    ("name", "folder"), [("cub", "CUB_200_2011"), ("sop", "Stanford_Online_Products")]
)
def test_a_data_set_is_looked_for_below_the_data_root(tmp_path, name, folder):
    with pytest.raises(DataError, match=folder):
        build_table(compose([f"dataset={name}", f"data_root={tmp_path}"]))


def test_a_data_sets_own_root_wins(tmp_path):
    with pytest.raises(DataError, match="elsewhere"):
        build_table(compose(["dataset=cub", f"dataset.root={tmp_path / 'elsewhere'}"]))


def test_a_data_set_without_need_of_a_folder_gets_none(tmp_path):
    options = ["families=1", "genera=1", "species=2", "pictures=2", "size=16", f"root={tmp_path}"]
    table = build_table(compose(["dataset=toy", *(f"dataset.{o}" for o in options)]))
    assert len(table) == 4
