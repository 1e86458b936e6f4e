"""What the command line takes when nothing is said is what Python takes when nothing is said."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields

import pytest

from lookalike.config import ModelConfig
from lookalike.models.create import create_model
from lookalike.models.embedder import Spec


def plain(value):
    """Lists, tuples and mappings without content, and None, are one thing: nothing."""
    return value if value or value is False or value == 0 else None


def defaults(cls):
    return {
        f.name: plain(f.default_factory() if f.default_factory is not MISSING else f.default)
        for f in fields(cls)
        if f.default is not MISSING or f.default_factory is not MISSING
    }


@pytest.mark.parametrize("other", ["create_model", "Spec"])
def test_the_model_has_one_set_of_defaults(other):
    config = defaults(ModelConfig)
    if other == "Spec":
        found = defaults(Spec)
    else:
        signature = inspect.signature(create_model).parameters.values()
        found = {p.name: plain(p.default) for p in signature}
    shared = config.keys() & found.keys()
    assert {"pool", "embedding_size", "head_norm", "widths", "whitening"} <= shared
    assert {name: config[name] for name in shared} == {name: found[name] for name in shared}
