"""The colour jitter against torchvision's, in floating point and draw for draw."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from lookalike.data import jitter
from lookalike.data.jitter import ColorJitter, jittered


@pytest.fixture(scope="module")
def picture():
    """All kinds of colours: noise, greys, and the corners of the cube."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 150, 201), dtype=np.uint8)
    pixels[:, :20] = pixels[:1, :20]
    pixels[:, 20:40] = rng.choice(np.array([0, 255], np.uint8), (3, 20, 201))
    return pixels


def in_floats(picture, order, factors):
    """torchvision's steps on float64, rounded once."""
    kernels = (
        v2.functional.adjust_brightness,
        v2.functional.adjust_contrast,
        v2.functional.adjust_saturation,
        v2.functional.adjust_hue,
    )
    x = torch.from_numpy(picture).double() / 255
    for step in order:
        x = kernels[step](x, factors[step])
    return (x * 255).numpy()


@pytest.mark.parametrize("order", [*permutations(range(4)), (3,), (0, 3), (2, 1), (1,), ()])
@pytest.mark.parametrize("factors", [(1.3, 0.6, 1.4, 0.1), (0.7, 1.4, 0.6, -0.08)])
def test_every_order_of_steps_is_torchvisions(picture, order, factors):
    found = jittered(picture, list(order), list(factors))
    assert np.abs(found - in_floats(picture, order, factors)).max() < 0.51


@pytest.mark.parametrize("hue", [-0.5, -0.3, -1 / 6, 0.0, 0.17, 0.4, 0.5])
def test_any_turn_of_the_hue_is_torchvisions(picture, hue):
    found = jittered(picture, [3], [None, None, None, hue])
    assert np.abs(found - in_floats(picture, [3], [None, None, None, hue])).max() < 0.51


def test_the_size_of_a_part_changes_nothing_but_rounding(picture, monkeypatch):
    whole = jittered(picture, [0, 1, 2, 3], [1.2, 0.8, 1.1, 0.05])
    monkeypatch.setattr(jitter, "_PART", 1000)
    parts = jittered(picture, [0, 1, 2, 3], [1.2, 0.8, 1.1, 0.05])
    assert np.abs(whole.astype(int) - parts).max() <= 1


def test_it_draws_what_torchvision_draws(picture):
    pixels, given = torch.from_numpy(picture), (0.4, 0.4, 0.4, 0.1)
    for seed in range(10):
        torch.manual_seed(seed)
        theirs = v2.ColorJitter(*given)(pixels)
        after = torch.random.get_rng_state()
        torch.manual_seed(seed)
        ours = ColorJitter(*given)(pixels)
        assert torch.equal(torch.random.get_rng_state(), after)
        off = (ours.int() - theirs.int()).float()
        assert float(off.abs().max()) <= 6  # they cut fractions off, once a step
        assert 0 <= float(off.mean()) < 2.5
