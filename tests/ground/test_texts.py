"""Options that are text keep the text letter for letter, whatever it looks like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.compose import compose, from_yaml, to_yaml
from lookalike.texts import as_written

WORDS = [
    "2024_01_31",
    "1.10",
    "1e3",
    "007",
    "0x1F",
    "a,b",
    "a=b",
    "off",
    "été",
    "a b",
    "x:y",
    "1_0",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_run_s_name_is_what_was_typed(word):
    config = compose(["dataset=cub", f"run={word}"])
    assert config.run == word
    assert from_yaml(to_yaml(config)).run == word
    assert from_yaml(to_yaml(compose(["dataset=cub"])), [f"run={word}"]).run == word


def test_lists_of_words_and_the_arguments_of_components():
    config = compose(
        ["dataset=folder", "dataset.root=a,b", "dataset.test_classes=[1_0, '1,1', 1e3]",
         "dataset.levels=[007]", "evaluation.exclude=[1_0]"]
    )  # fmt: skip
    assert config.dataset["root"] == "a,b" and config.dataset["levels"] == ["007"]
    assert config.dataset["test_classes"] == ["1_0", "1,1", "1e3"]
    assert config.evaluation.exclude == ["1_0"]
    again = from_yaml(to_yaml(config))
    assert again == config


@pytest.mark.parametrize(
    ("word", "value"), [("1.0", 1.0), ("1", 1), ("all", "all"), ("1_0", "1_0")]
)
def test_a_share_a_number_and_a_word_are_three_things(word, value):
    found = compose(["dataset=folder", f"dataset.test_classes={word}"]).dataset["test_classes"]
    assert found == value and type(found) is type(value)


def test_what_is_no_text_is_read_as_ever():
    config = compose(["dataset=cub", "model.head_norm=true", "micro_batch=8", "run=null"])
    assert config.model.head_norm is True and config.micro_batch == 8 and config.run is None
    assert compose(["dataset=cub", "micro_batch=auto"]).micro_batch == "auto"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=10).filter(lambda t: t != "null" and t[:1] not in ("'", '"', "[")))
def test_any_text_stays(text):
    assert as_written(text, str | None) == text
