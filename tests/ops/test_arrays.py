"""Vectors in any container become one matrix, or a sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lookalike.errors import DataError
from lookalike.ops.arrays import as_float32, as_matrix
from other_packages import package

sparse = package("scipy.sparse")

X = np.arange(12, dtype="f4").reshape(4, 3)
SAME = {
    "lists": lambda x: x.tolist(),
    "list of tensors": lambda x: [torch.tensor(row) for row in x],
    "list of arrays": list,
    "generator": lambda x: (row for row in x),
    "frame": pd.DataFrame,
    "frame of mixed kinds": lambda x: pd.DataFrame(
        {0: x[:, 0].astype(int), 1: x[:, 1], 2: x[:, 2]}
    ),
    "Series of rows": lambda x: pd.Series(list(x), index=[9, 8, 7, 6]),
    "objects": lambda x: x.astype(object),
    "big endian": lambda x: x.astype(">f4"),
    "Fortran": np.asfortranarray,
    "strides": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "negative strides": lambda x: x[::-1].copy()[::-1],
    "float16": lambda x: x.astype("f2"),
    "int8": lambda x: x.astype("i1"),
    "long double": lambda x: x.astype(np.longdouble),
    "bfloat16": lambda x: torch.tensor(x).bfloat16(),
    "with a gradient": lambda x: torch.tensor(x, requires_grad=True),
    "sparse": sparse.csr_matrix,
    "masked": lambda x: np.ma.masked_array(x, x > 99),
    "read only": lambda x: np.frombuffer(x.tobytes(), "f4").reshape(x.shape),
}


@pytest.mark.parametrize("kind", SAME)
def test_every_container_gives_the_same_matrix(kind):
    found = as_matrix(SAME[kind](X), "x")
    assert found.dtype in (np.float32, np.float64) and found.dtype.isnative
    assert found.flags.c_contiguous and (found == X).all()


BAD = {
    r"x must have shape \(N, D\), got \(3,\)": [1, 2, 3],
    r"x: row 1 has shape \(2,\), row 0 \(1,\)": [[1], [1, 2]],
    "x holds complex numbers": np.ones((2, 2), complex),
    "x holds 'word' in row 0, column 0": pd.DataFrame({"a": ["word"], "b": [1]}),
    "x is int": 7,
    "x is str": "vectors.npy",
    "x is dict": {"a": [1]},
}


@pytest.mark.parametrize("words", BAD)
def test_what_is_no_matrix_is_refused_in_a_sentence(words):
    with pytest.raises(DataError, match=words):
        as_matrix(BAD[words], "x")


def test_a_masked_number_is_none_and_a_single_vector_may_be_a_row():
    assert np.isnan(as_matrix(np.ma.masked_array(X, X == 3), "x")[1, 0])
    assert as_float32([1, 2], "x", single=True).tolist() == [[1.0, 2.0]]
    assert np.isinf(as_float32([[1e39]], "x")).all()


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from(["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<i4", ">i8", "u1", "?"]),
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=4),
        elements={"allow_nan": False},
    ),
    st.booleans(),
    st.sampled_from([1, -1, 2]),
)
def test_any_array_keeps_its_values(array, turned, step):
    array = (array.T if turned else array)[::step]
    assert (as_matrix(array, "x") == array.astype(np.float64)).all()
