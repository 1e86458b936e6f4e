"""The native kernels refuse indices out of range, and count beyond 2^31 elements as below."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.ops import paths

native = paths.native()
pytestmark = pytest.mark.skipif(native is None, reason="no native kernels were built")

FAR = 2**31 + 1000  # elements between two rows


def counted(scores, starts=(0, 1, 2), items=(1, 2), width=None):
    rows, there = scores.shape
    query = np.ones((rows, 1), np.float32)
    gallery = np.zeros((there if width is None else width, 1), np.float32)
    out = [np.zeros(len(items), np.int64) for _ in range(3)]
    bounds = np.tile([1.0, 0.0, 0.0], (rows, 1))
    gallery[: min(len(gallery), scores.shape[1]), 0] = scores[0, : len(gallery)]
    native.count_ranks(
        scores, bounds, np.array(starts), np.array(items), query, gallery, *out, np.empty(0),
        isa=paths.instruction_set(), threads=1,
    )  # fmt: skip
    return out[0].tolist()


SCORES = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])


def test_what_is_right_is_counted():
    assert counted(SCORES) == [1, 2]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"items": (1, 10**7)}, "out of range"),
        ({"items": (1, 3)}, "out of range"),
        ({"items": (-1, 2)}, "out of range"),
        ({"starts": (0, 5, 2)}, "do not rise"),
        ({"starts": (0, -3, 2)}, "do not rise"),
        ({"starts": (1, 1, 2)}, "do not rise"),
    ],
)
def test_indices_out_of_range_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        counted(SCORES, **given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"levels": [7000]}, "out of range"),
        ({"levels": [-1]}, "out of range"),
        ({"items": [0, 9]}, "out of range"),
        ({"above": [0, 5]}, "out of range"),
        ({"before": [0, -1]}, "out of range"),
        ({"above": [2, 1], "before": [2, 0]}, "rank is out of range"),
        ({"starts": [0, 3]}, "arrays differ|do not rise"),
    ],
)
def test_metrics_of_ranks_out_of_range_are_refused(change, words):
    given = {"starts": [0, 2], "items": [0, 1], "above": [0, 1], "before": [0, 0], "levels": [0]}
    given |= change
    arrays = {name: np.array(value, np.int64) for name, value in given.items()}
    codes = np.zeros((3, 1), np.int64)
    table = np.zeros((1, 9 + 2 * 1 + 4))
    with pytest.raises(ValueError, match=words):
        native.rank_metrics(
            arrays["starts"], arrays["items"], arrays["above"], arrays["before"], codes[:1], codes,
            arrays["levels"], np.array([1]), np.ones(9), np.ones(9), np.ones(2), True, False,
            False, table, 1,
        )  # fmt: skip


def sparse(count: int, dtype) -> np.ndarray:
    """Memory that is asked for and hardly touched."""
    try:
        return np.empty(count, dtype)
    except MemoryError:
        pytest.skip("this machine gives no room for 2^31 elements")


def test_rows_that_lie_beyond_two_to_the_31_are_counted_alike():
    room = sparse(FAR + 3, np.float64)
    room[:3], room[FAR:] = SCORES
    far = np.lib.stride_tricks.as_strided(room, (2, 3), (8 * FAR, 8))
    assert counted(far) == counted(SCORES)


def test_a_tile_is_written_beyond_two_to_the_31():
    query = np.random.default_rng(0).standard_normal((2, 5)).astype("f4")
    gallery = np.random.default_rng(1).standard_normal((3, 5)).astype("f4")
    room = sparse(FAR + 3, np.float64)
    far = np.lib.stride_tricks.as_strided(room, (2, 3), (8 * FAR, 8))
    native.exact_tile(query, gallery, far, isa=paths.instruction_set(), threads=1)
    np.testing.assert_allclose(far, query.astype("f8") @ gallery.T.astype("f8"), rtol=1e-12)


def test_more_items_than_32_bits_number_are_refused():
    width = 2**31
    scores = np.lib.stride_tricks.as_strided(sparse(width, np.int32), (1, width), (4 * width, 4))
    gallery = sparse(width, np.float32).reshape(width, 1)
    one = [np.zeros(1, np.int64) for _ in range(3)]
    with pytest.raises(ValueError, match="2\\^31"):
        native.count_ranks(
            scores, np.array([[1.0, 0.0, 0.0]]), np.array([0, 1]), np.array([0]),
            np.ones((1, 1), np.float32), gallery, *one, np.empty(0),
            isa=paths.instruction_set(), threads=1,
        )  # fmt: skip
