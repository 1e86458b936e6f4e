from __future__ import annotations

import pytest

from lookalike.compose import compose
from lookalike.errors import ConfigError
from lookalike.sweep.space import Parameter, check_space, first_values, read_space


def space(tmp_path, text):
    file = tmp_path / "search.yaml"
    file.write_text(text)
    return read_space(str(file))


def test_a_file_has_a_line_an_option(tmp_path):
    found = space(
        tmp_path,
        "optimizer.lr: {low: 1e-4, high: 1e-2, log: true}\n"
        "sampler.m: {low: 2, high: 8, step: 2}\n"
        "loss: {choices: [smooth_ap, sup_ap]}\n",
    )
    assert found == {
        "optimizer.lr": Parameter(low=1e-4, high=1e-2, log=True),
        "sampler.m": Parameter(low=2, high=8, step=2),
        "loss": Parameter(choices=("smooth_ap", "sup_ap")),
    }
    assert [p.whole for p in found.values()] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs: 3", "not 3"),
        ("epochs: {lo: 1, high: 2}", "Did you mean 'low'"),
        ("epochs: {low: 3, high: 2}", "must be below"),
        ("epochs: {low: one, high: 2}", "low: one is not a number"),
        ("epochs: {high: 2}", "low: None is not a number"),
        ("optimizer.lr: {low: 0, high: 1, log: true}", "log needs low above 0"),
        ("optimizer.lr: {low: 1, high: 2, log: true, step: 1}", "does not go with log"),
        ("loss: {choices: [a], low: 1}", "not both"),
        ("loss: {choices: a}", "a list"),
        ("evaluation.k: {choices: [[1, 2], [3]]}", "a list of words and numbers"),
        ("[1, 2]", "no options"),
        ("a: {b", "not YAML"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words) as caught:
        space(tmp_path, text)
    assert "search.yaml" in str(caught.value)


def test_a_missing_file_suggests_a_preset():
    with pytest.raises(ConfigError, match="Did you mean 'raml'"):
        read_space("ramll")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loss.tua: {low: 0.1, high: 1.0}", "Did you mean 'tau'"),
        ("epoch: {low: 1, high: 2}", "Did you mean 'epochs'"),
        ("epochs: {low: 1.5, high: 2.5}", "whole number"),
        ("loss: {choices: [smooth_ap, smoth_ap]}", "smooth_ap"),
        ("run: {choices: [a, b]}", "cannot vary"),
    ],
)
def test_an_option_that_refuses_its_range_is_named_before_anything_starts(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        check_space(space(tmp_path, text), ["loss=smooth_ap"])


def test_the_first_trial_has_what_the_configuration_has(tmp_path):
    raml = read_space("raml")
    command = ["loss=asymmetric_distillation", "optimizer.lr=0.00015", "loss.lam_2=0.65"]
    assert first_values(raml, compose(command)) == {
        "optimizer.lr": 0.00015,
        "loss.lam_1": 0.7,  # the constructor's own
        "loss.lam_2": 0.65,
    }
    assert first_values(raml, compose([*command[:1], "optimizer.lr=0.1"])) is None
    groups = space(tmp_path, "loss: {choices: [smooth_ap, triplet]}\nmodel: {choices: [conv4]}\n")
    chosen = first_values(groups, compose(["loss=triplet", "model=conv4"]))
    assert chosen == {"loss": "triplet", "model": "conv4"}


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (Parameter(low=2, high=8, step=2), [2, 4, 8], [3, 9, 4.0, True, None, "4"]),
        (Parameter(low=0.5, high=1.0), [0.5, 0.75, 1], [0.4, None, "x"]),
        (Parameter(low=0.0, high=1.0, step=0.1), [0.3, 0.7], [0.35]),
        (Parameter(choices=("a", None, 2)), ["a", None, 2], ["b", 3]),
    ],
)
def test_what_lies_in_a_range(parameter, inside, outside):
    assert all(parameter.has(value) for value in inside)
    assert not any(parameter.has(value) for value in outside)
