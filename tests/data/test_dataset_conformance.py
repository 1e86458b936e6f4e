from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lookalike.data.conformance import check_dataset
from lookalike.data.datasets import folder, toy
from lookalike.data.table import Table


@pytest.fixture
def frame(tmp_path):
    for i in range(6):
        Image.new("RGB", (5, 4)).save(tmp_path / f"{i}.png")
    frame = pd.DataFrame({"path": [str(tmp_path / f"{i}.png") for i in range(6)]})
    return frame.assign(
        label=list("aabbcc"), family=list("xxxxyy"), split=["train"] * 4 + ["test"] * 2
    )


def table(frame, **columns):
    return Table.from_frame(frame.assign(**columns), levels=["label", "family"])


def test_sound_data_sets_pass(frame, tmp_path):
    check_dataset(lambda: table(frame))
    check_dataset(
        lambda: toy(tmp_path / "toy", families=2, genera=1, species=2, pictures=2, size=16)
    )
    for i, name in enumerate("ab"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (5, 4), (i, 0, 0)).save(tmp_path / "set" / name / "1.png")
    check_dataset(lambda: folder(tmp_path / "set"))


def broken_codes(frame):
    good = table(frame)
    labels = good.labels.copy()
    labels[0, 0] = 1
    return replace(good, labels=labels)


def gaps(frame):
    good = table(frame)
    order = np.array([2, 0, 1])  # code of a, b, c
    labels = good.labels.copy()
    labels[:, 0] = order[labels[:, 0]]
    books = (tuple(np.array(list("abc"))[np.argsort(order)].tolist()), good.books[1])
    return replace(good, labels=labels, books=books)


numbers = count()
FAULTS = {
    "gives a Table, this one DataFrame": lambda f: f,
    "two calls give different rows": lambda f: table(
        f, label=[str(next(numbers)) for _ in range(6)]
    ),
    "row 0 is 'a', its code is not": broken_codes,
    "training codes have gaps": gaps,
    "labels are int32": lambda f: replace(table(f), labels=table(f).labels.astype(np.int32)),
    "labels have shape (6, 1)": lambda f: replace(table(f), labels=table(f).labels[:, :1]),
    "code -2": lambda f: replace(table(f), labels=table(f).labels - 2),
    "code 2 of 1 names": lambda f: replace(table(f), books=(("a",), ("x", "y"))),
    "a table has a name": lambda f: replace(table(f), name=""),
    "nothing to train on or to evaluate": lambda f: table(f, split="other"),
    "'test' has no queries": lambda f: table(f, is_query=False),
    "'test' has no gallery": lambda f: table(f, is_gallery=False),
    "lies below several of 'family'": lambda f: table(f, family=list("xyxxyy")),
    "row 5 cannot be read": lambda f: table(f, path=[*f["path"][:5], "absent.png"]),
}


@pytest.mark.parametrize("message", FAULTS)
def test_every_fault_is_named(frame, message):
    with pytest.raises(AssertionError) as caught:
        check_dataset(lambda: FAULTS[message](frame))
    assert message in str(caught.value)
