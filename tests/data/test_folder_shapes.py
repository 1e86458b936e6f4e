"""Folders of any shape: an error in words, or a table that mixes nothing and loses nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import tree

from lookalike.data.datasets import folder
from lookalike.data.split_words import is_exact, split_name
from lookalike.errors import LookalikeError

KNOWN = ("train", "training", "test", "testing", "eval", "val", "valid", "validation", "dev")
ROLES = ("query", "gallery")


def cased(words):
    return st.tuples(st.sampled_from(words), st.sampled_from([str.lower, str.title, str.upper]))


SPLITS = cased((*KNOWN, *ROLES)).map(lambda drawn: drawn[1](drawn[0]))
PLAIN = st.sampled_from(["fox", "owl", "Bat", "tram", "test_tube", "valley", "a b", "-1", "007"])
STRANGERS = st.sampled_from(["tran", "extra", "unlabelled", "holdout", "test2", "Test_Hard"])
CLASSES = st.lists(PLAIN, min_size=1, max_size=2).map("/".join)
TOPS = st.one_of(SPLITS, SPLITS, PLAIN, STRANGERS, st.just(""))
PLACES = st.tuples(TOPS, CLASSES, st.one_of(*[st.just("")] * 4, SPLITS)).map(
    lambda parts: "/".join(filter(None, parts))
)


@st.composite
def shapes(draw):
    """Image files; no two folders whose names differ in their case alone within one tree."""
    places = draw(st.lists(PLACES, min_size=1, max_size=7, unique_by=str.casefold))
    return [f"{place}/{i}.png" for place in places for i in range(draw(st.integers(1, 2)))]


@st.composite
def orderly(draw):
    """As people who know the words lay them out: splits on top, the same depth everywhere."""
    tops = draw(st.lists(SPLITS, min_size=2, max_size=4, unique_by=split_name))
    depth = draw(st.integers(1, 2))
    classes = st.lists(PLAIN, min_size=depth, max_size=depth).map("/".join)
    return [f"{top}/{c}/{top}.png" for top in tops for c in draw(st.sets(classes, min_size=1))]


def told(files):
    """What the reader makes of a tree: the table, or nothing where it was refused in words."""
    with tempfile.TemporaryDirectory() as root:
        tree(Path(root), *files)
        try:
            table = folder(root)
        except LookalikeError:
            return None
        frame = table.frame[["path", "split", *table.levels]].astype(str)
    assert sorted(frame["path"]) == sorted(files)  # each once: none lost, none in two splits
    return frame, table.levels


def check(files):
    read = told(files)
    if read is None:
        return None
    frame, levels = read
    paths = [PurePosixPath(file).parts for file in frame["path"]]
    flat = all(len(parts) == 2 for parts in paths)  # where "train" may be a class like any other
    on_top = not flat and any(is_exact(parts[0]) for parts in paths)
    for parts, split in zip(paths, frame["split"], strict=True):
        if on_top and split_name(parts[0]) not in ROLES:
            assert split == split_name(parts[0])
    for level in levels:
        words = [PurePosixPath(label).parts for label in frame[level]]
        for depth in range(max(map(len, words), default=0)):
            # One word may be the name of a class; two of one level are splits that are mixed.
            named = {split_name(w[depth]) for w in words if len(w) > depth and is_exact(w[depth])}
            assert len(named) < 2, (level, named)
    return frame


@settings(max_examples=30, deadline=None)
@given(shapes())
def test_a_tree_of_any_shape_is_refused_or_read_whole_and_unmixed(files):
    check(files)


@settings(max_examples=20, deadline=None)
@given(orderly())
def test_splits_on_top_are_read_whatever_their_case_and_synonym(files):
    tops = {split_name(f.split("/")[0]) for f in files}
    if len(tops & set(ROLES)) == 1 or (set(ROLES) <= tops and "test" in tops):
        assert told(files) is None
        return
    frame = check(files)
    assert frame is not None
    assert set(frame["split"]) == {"test" if top in ROLES else top for top in tops}


@pytest.mark.parametrize("top", ["Train", "TESTING", "dev"])
def test_a_split_alone_is_no_class(top, tmp_path):
    tree(tmp_path, f"{top}/fox/1.png", f"{top}/owl/2.png")
    assert folder(tmp_path).splits == [split_name(top)]
