"""Lists written into memory that is used again are those of fresh memory."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.metrics.labels import Members
from lookalike.ops.scratch import Scratch
from lookalike.ops.tiles import Pairs


@pytest.mark.parametrize("longest", [3, 500])
def test_lists_are_the_same_tile_after_tile(longest):
    random, scratch = np.random.default_rng(0), Scratch()
    members = Members(random.integers(0, 2000 // longest, 2000))
    for queries in (3, 40, 17):
        wanted = random.integers(-1, 2000 // longest, queries)
        some, same = members.of(wanted), members.of(wanted, scratch)
        np.testing.assert_array_equal(same.items, some.items)
        out = [np.unique(random.integers(0, 2000, random.integers(4))) for _ in range(queries)]
        gone = Pairs(np.cumsum([0, *map(len, out)]), np.concatenate(out))
        left, again = some.without(gone), same.without(gone, scratch)
        np.testing.assert_array_equal(again.items, left.items)
        np.testing.assert_array_equal(again.starts, left.starts)
        rows = [set(some.items[a:b]) for a, b in zip(some.starts, some.starts[1:], strict=False)]
        rest = [sorted(row - set(o.tolist())) for row, o in zip(rows, out, strict=True)]
        assert left.items.tolist() == [item for row in rest for item in row]
