from __future__ import annotations

import pytest

from lookalike.compose import compose
from lookalike.data.build import build_table
from lookalike.errors import ConfigError, DataError
from lookalike.models.build import build_model


@pytest.mark.parametrize(
    ("name", "folder"), [("cub", "CUB_200_2011"), ("sop", "Stanford_Online_Products")]
)
def test_a_data_set_is_looked_for_below_the_data_root(tmp_path, name, folder):
    with pytest.raises(DataError, match=folder):
        build_table(compose([f"dataset={name}", f"data_root={tmp_path}"]))


def test_a_folder_that_is_not_there_is_refused_with_the_option_that_names_it(tmp_path):
    with pytest.raises(DataError, match=r"no such folder.*data_root=.*nowhere.*dataset\.root="):
        build_table(compose(["dataset=cub", f"data_root={tmp_path / 'nowhere'}"]))


def test_a_data_sets_own_root_wins(tmp_path):
    with pytest.raises(DataError, match=r"elsewhere: no such folder(?!.*data_root=)"):
        build_table(compose(["dataset=cub", f"dataset.root={tmp_path / 'elsewhere'}"]))


def test_a_data_set_without_need_of_a_folder_gets_none(tmp_path):
    options = ["families=1", "genera=1", "species=2", "pictures=2", "size=16", f"root={tmp_path}"]
    table = build_table(compose(["dataset=toy", *(f"dataset.{o}" for o in options)]))
    assert len(table) == 4


def test_frozen_parameters_are_named_as_parts():
    words = ["model=conv4", "model.options.width=8", "model.freeze=['[01]']"]
    model = build_model(compose(words))
    still = {n for n, p in model.backbone.named_parameters() if not p.requires_grad}
    assert still == {"0.weight", "1.weight", "1.bias"}
    with pytest.raises(ConfigError, match="model.freeze: conv4 has no part 'stem'"):
        build_model(compose(["model=conv4", "model.freeze=[stem]"]))
