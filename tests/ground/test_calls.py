"""Calls with arguments that a public function does not take say what it takes."""

import inspect

import numpy as np
import pytest

import lookalike
from lookalike import losses, metrics
from lookalike.calls import ArgumentError, named_arguments
from lookalike.data import samplers

ROOMS = (losses, samplers, metrics)
PUBLIC = [getattr(room, name) for room in ROOMS for name in room.__all__]
# Records that no user makes, and what takes no arguments or any.
PUBLIC = [
    c
    for c in PUBLIC
    if c not in (metrics.Outlook, metrics.RetrievalReport, metrics.RetrievalMetrics, metrics.names)
]
PUBLIC += [lookalike.create_model]
PUBLIC = [c for c in PUBLIC if c is not metrics.Definition]


@pytest.mark.parametrize("called", PUBLIC, ids=lambda c: c.__name__)
def test_a_misspelt_argument_of_anything_public_gets_the_nearest(called):
    names = [
        p.name for p in inspect.signature(called).parameters.values() if p.kind is not p.VAR_KEYWORD
    ]
    if "level" in names or "metrics" in names:
        names.append("level" if "level" in names else "metrics")
    wrong = names[-1] + "x"
    with pytest.raises(ArgumentError, match=f"takes no '{wrong}'.*Did you mean '{names[-1]}'"):
        called(**{wrong: 1})


def test_evaluate_knows_the_words_of_its_peers():
    x = np.eye(4, dtype="float32")
    with pytest.raises(ArgumentError, match="takes no 'reference'. It is called 'gallery' here"):
        metrics.evaluate(x, [0, 0, 1, 1], reference=x)
    with pytest.raises(ArgumentError, match="takes no 'include'. It is called 'metrics' here"):
        metrics.evaluate(x, [0, 0, 1, 1], include=("map_at_r",))
    with pytest.raises(TypeError, match="evaluate needs query_labels"):
        metrics.evaluate(x)


def test_too_many_by_position_are_asked_for_by_name():
    message = r"ArcFace takes 2 \(num_classes, embedding_size\) by position, not 4. Give the others"
    with pytest.raises(ArgumentError, match=f"{message} by name: scale=…, margin=…"):
        losses.ArcFace(4, 8, 28.6, 64)


def test_a_type_error_of_the_function_itself_is_left_alone():
    @named_arguments()
    def odd(x):
        return x + "a"

    with pytest.raises(TypeError, match="unsupported operand") as caught:
        odd(1)
    assert not isinstance(caught.value, ArgumentError)
    assert list(inspect.signature(odd).parameters) == ["x"]
