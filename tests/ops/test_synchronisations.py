"""Which places wait for a device: in the kernels, the losses and a training step these alone.

A host that waits gives the device no work meanwhile. Every place that does is in `WAITS` with its
reason; one more fails here, and so does one that waits no more.
"""

import ctypes
import importlib

import pytest
import torch
from torch import nn

from device_counter import DeviceCounter
from lookalike import losses
from lookalike.config import OptimizerConfig
from lookalike.ops import line_sums, paths
from lookalike.ops.sizes import of_memory
from lookalike.training.optimizers import Schedule, create_optimizers
from lookalike.training.schedules import Span
from lookalike.training.step import SupervisedStep

triton = pytest.importorskip("triton", reason="Triton is not installed")

pytestmark = pytest.mark.cpu("it counts on a device of its own")
WAITS = {
    ("losses/inputs.py", "real", "_local_scalar_dense"): "NaN is named where it comes in",
    ("ops/positives.py", "Positives.__init__", "numpy"): (
        "how many positives there are decides shapes: all such numbers at once"
    ),
    ("ops/positives.py", "Positives._rows_by_comparison", "numpy"): (
        "the same of several label columns, which are compared a chunk at a time"
    ),
    ("losses/class_vectors.py", "class_codes", "_local_scalar_dense"): (
        "a label beyond the class vectors is named, not read from elsewhere in memory"
    ),
    ("losses/triplet.py", "all_triplets", "_local_scalar_dense"): (
        "the most positives of a query decide a shape"
    ),
    ("ops/triton_cells.py", "Grid.of", "_local_scalar_dense"): (
        "many positives: how many cells their scores fill decides a shape"
    ),
    ("ops/line_pairs.py", "Levels.of", "_local_scalar_dense"): (
        "many positives: which way their pairs are summed"
    ),
    ("ops/line_pairs.py", "Levels.meetings", "_local_scalar_dense"): (
        "many positives: which levels meet at all, and how many items a level has"
    ),
    ("ops/line_pairs.py", "line_pair_sums", "_local_scalar_dense"): "a number of the host's own",
    ("losses/pairs.py", "Every._numbers", "_unique2"): "on a CPU alone",
    ("losses/pairs.py", "Every.shares", "_local_scalar_dense"): "on a CPU alone",
}
# What kernels write.
WRITTEN = {
    "shares",
    "sums",
    "slopes",
    "found",
    "edges",
    "moments",
    "polynomials",
    "unit",
    "lengths",
}
# Beside them, in a training step.
STEP = {
    ("models/transfers.py", "Arriving.read", "cpu"): "the same: on a card it waits for its copy",
    ("training/step.py", "SupervisedStep.descend", "_local_scalar_dense"): (
        "the loss, which must be a number; asked for after the way back has been"
    ),
}
# What a loss may ask of a device: launches, and waits.
MOST = {
    "SmoothAP": (68, 2), "SupAP": (65, 2), "SupAP, without itself": (83, 2),
    "SupRecall": (123, 2), "RecallAtK": (157, 2), "FastAP": (142, 2), "BlackboxAP": (96, 2),
    "SmoothHAP": (160, 3), "SupHAP": (156, 3), "SupHAP, bounded": (160, 3), "SupNDCG": (132, 3),
    "HAPPIER": (202, 5), "Contrastive": (142, 4), "MultiSimilarity": (127, 4),
    "Calibration": (103, 4), "Triplet": (130, 6), "ROADMAP": (171, 6), "PairContrastive": (65, 4),
}  # fmt: skip
BOUND = {"offset": 1.44, "beta": 25.0, "gamma": 0.5, "leak": 10.0}
LOSSES = {
    "SmoothAP": losses.SmoothAP(),
    "SupAP": losses.SupAP(),
    "SupAP, without itself": losses.SupAP(include_self=False),
    "SupRecall": losses.SupRecall(),
    "RecallAtK": losses.RecallAtK(),
    "FastAP": losses.FastAP(),
    "BlackboxAP": losses.BlackboxAP(),
    "SmoothHAP": losses.SmoothHAP(),
    "SupHAP": losses.SupHAP(),
    "SupHAP, bounded": losses.SupHAP(**BOUND),
    "SupNDCG": losses.SupNDCG(),
    "HAPPIER": losses.HAPPIER(32, 8),
    "Contrastive": losses.Contrastive(),
    "MultiSimilarity": losses.MultiSimilarity(),
    "Calibration": losses.Calibration(),
    "Triplet": losses.Triplet(),
    "ROADMAP": losses.ROADMAP(),
    "PairContrastive": losses.PairContrastive(),
}


class Kernel:
    """Stands for one of Triton's, which no CPU runs: it writes zeros."""

    def __init__(self, counter, names):
        self.counter = counter
        self.names = names

    def __getitem__(self, grid):
        return self.launch

    def launch(self, *arguments, **options):
        self.counter.launch("kernel")
        for name, argument in zip(self.names, arguments, strict=False):
            if name in WRITTEN:  # by address: no operation of torch's
                ctypes.memset(argument.data_ptr(), 0, argument.nbytes)


@pytest.fixture
def card(monkeypatch):
    """A CPU whose tensors are treated as those of a card with 80 GiB are; gives a counter."""
    monkeypatch.setenv("LOOKALIKE_NATIVE", "0")
    counter = DeviceCounter()
    card = of_memory(80 << 30)
    for module in (
        "differences",
        "line_sums",
        "positives",
        "ranked_rows",
        "row_losses",
        "row_terms",
    ):
        monkeypatch.setattr(f"lookalike.ops.{module}.sizes", lambda device: card)
    for name in (
        "triton_kernels",
        "triton_cells",
        "triton_lines",
        "triton_pairs",
        "triton_rows",
        "triton_bins",
    ):
        module = importlib.import_module(f"lookalike.ops.{name}")
        for key, value in vars(module).copy().items():
            if isinstance(value, triton.runtime.JITFunction):
                monkeypatch.setattr(module, key, Kernel(counter, value.arg_names))
    monkeypatch.setattr(paths, "triton_suits", lambda scores: scores.dtype == torch.float32)
    return counter


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_waits_where_the_table_says_and_asks_for_few_launches(name, card):
    x = torch.randn(32, 8, requires_grad=True)
    y = torch.arange(32)
    y = torch.stack([y // 4, y // 8, y // 16], dim=1)
    LOSSES[name](x, y).backward()
    with card:
        LOSSES[name](x, y).backward()
    unknown = set(card.waits) - set(WAITS)
    assert not unknown, "it waits for the device"
    launches, waits = MOST[name]
    assert card.total <= launches, card.launches.most_common()
    assert sum(card.waits.values()) == waits, card.waits


@pytest.mark.parametrize("name", ["SupAP", "SupHAP", "SupHAP, bounded", "SmoothHAP", "SupNDCG"])
def test_many_positives_wait_where_the_table_says(name, card, monkeypatch):
    for table in (line_sums.MANY, line_sums.MANY_PAIRS):
        for face in table:
            monkeypatch.setitem(table, face, 1)
    x = torch.randn(32, 8, requires_grad=True)
    y = torch.arange(32)
    y = torch.stack([y // 4, y // 16], dim=1)
    with card:
        LOSSES[name](x, y).backward()
    assert not set(card.waits) - set(WAITS), "it waits for the device"


def test_a_training_step_waits_for_its_loss_alone(card):
    backbone, head = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), nn.Linear(288, 8)
    network = nn.Sequential(backbone, nn.Flatten(), head)
    config = OptimizerConfig(lr=1e-3)
    loss = losses.SupAP()
    parts = {"backbone": backbone, "pool": nn.Identity(), "head": head, "loss": loss}
    optimizers = create_optimizers(parts, config)
    schedule = Schedule(optimizers, Span(6, 1, 4), config)
    step = SupervisedStep(network, loss, optimizers, schedule, torch.device("cpu"), clip_norm=1.0)
    batch = {
        "pictures": torch.randn(16, 3, 8, 8),
        "labels": torch.arange(16)[:, None] // 4,
        "index": torch.arange(16),
    }
    with card:
        step.backward(batch)
        step.update(0, 0)
    unknown = set(card.waits) - set(WAITS)
    assert unknown == set(STEP), card.waits
    assert all(card.waits[place] == 1 for place in STEP)
