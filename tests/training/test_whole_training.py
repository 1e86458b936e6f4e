"""Stopped and resumed on the device of these tests, a training ends with the same bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import lookalike as la
from on_device import device

pytestmark = pytest.mark.slow if device().type == "cpu" else []

HOWS = {
    "float32": {"precision": "fp32"},
    "bfloat16": {"precision": "bf16"},
    "float16": {"precision": "fp16"},
    "two passes": {"micro_batch": 5},
    "a frozen group for one epoch": {"optimizer": {"freeze": ["backbone"], "freeze_epochs": 1}},
    "features kept": {"optimizer": {"freeze": ["backbone"]}},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for kind in range(6):
        (root / f"kind{kind}").mkdir()
        for number in range(4):
            pixels = random.integers(0, 60, (24, 24, 3), np.uint8) + np.uint8(24 * kind)
            Image.fromarray(pixels).save(root / f"kind{kind}" / f"{number}.png")
    return root


class Stops(la.Callback):
    def on_epoch(self, moment):
        raise KeyboardInterrupt


@pytest.mark.parametrize("how", HOWS)
def test_stopped_and_resumed_it_ends_with_the_same_bits(how, photos, tmp_path):
    def go(folder, **more):
        return la.train(
            {"name": "conv4", "embedding_size": 8},
            str(photos),
            "smooth_ap",
            run=tmp_path / folder,
            transform={"size": 24},
            epochs=2,
            batch_size=8,
            workers=0,
            device=str(device()),
            evaluation={"every": 0},
            **HOWS[how],
            **more,
        )

    whole = go("whole")
    with pytest.raises(KeyboardInterrupt):
        go("parts", callbacks=[Stops()])
    parts = go("parts", resume="auto")
    a, b = (run.model.state_dict() for run in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert parts.metrics == whole.metrics
