"""Every loss of the house runs through the conformance pack, and the pack catches broken ones."""

import inspect

import pytest
import torch
from broken_loss import Broken

from lookalike import losses
from lookalike.errors import ConfigError
from lookalike.losses import miners
from lookalike.losses.conformance.probe import Probe
from lookalike.testing import check_distributed, check_loss
from other_packages import package

pml = package("pytorch_metric_learning.losses")

# Two views in place of labels: no loss of this call.
NAMES = [name for name in losses.__all__ if name != "SelfSupervised"]
HIERARCHY = [[c, c // 2, c // 4] for c in range(6)]
# What a loss needs beyond num_classes and embedding_size, and other settings worth a check.
ARGUMENTS = {
    "BlackboxAP": {"margin": 0.0},
    "BlackboxRecall": {"lambda_": 4.0, "margin": 0.02},
    "CrossScale": {"hierarchy": HIERARCHY},
    "WeightedSum": {"losses": (("Calibration", {}), ("NormSoftmax", {})), "weights": (0.3, 2.0)},
    "CrossBatchMemory": {"loss": ("MultiSimilarity", {}), "memory_size": 64},
    "MinedLoss": {"loss": ("Triplet", {"margin": 0.5}), "miner": miners.HardMiner()},
}
VARIANTS = [
    ("NormSoftmax", {"centers": 3}),
    ("ArcFace", {"easy_margin": True, "label_smoothing": 0.1}),
    ("AdditiveMarginSoftmax", {"normalize_proxies": False, "bias": True}),
    ("Triplet", {"mining": "semihard", "distance": "squared", "reduction": "anchors"}),
    ("Triplet", {"mining": "distance", "margin": 0.5}),
    ("Triplet", {"swap": True, "smooth": True, "distance": "euclidean", "reduction": "mean"}),
    ("Triplet", {"distance": "dot", "reduction": "anchor_mean"}),
    ("MultiSimilarity", {"epsilon": 0.1}),
    ("SubCenterArcFace", {"centers": 2, "margin": 0.2}),
    ("NCA", {"distance": "cosine", "level": 1}),
    ("MultiSimilarity", {"distance": "euclidean", "base": -0.5}),
    ("Contrastive", {"distance": "cosine", "reduction": "active"}),
    ("Contrastive", {"reduction": "anchor_mean"}),
    ("MinedLoss", {"loss": ("MultiSimilarity", {}), "miner": miners.MultiSimilarityMiner()}),
    ("CrossBatchMemory", {"loss": ("Triplet", {}), "miner": miners.SemiHardMiner(0.5)}),
    ("Contrastive", {"reduction": "mean", "level": 1}),
    ("Calibration", {"normalize": False}),
    ("WeightedSum", {"weights": "balanced"}),
    ("CrossBatchMemory", {"loss": ("SmoothAP", {}), "batch_weight": 1.0}),
    ("AsymmetricDistillation", {"lam_1": 0.0, "lam_2": 0.0}),
]
CONSTANT = "its weights are constants of a step, as published"
BANK = "the bank is the reference and takes no other"
STEP = "a finite difference in a step function, by design"
SKIP = {
    "BlackboxAP": {"gradient": STEP},
    "BlackboxRecall": {"gradient": STEP},
    "Circle": {"gradient": CONSTANT},
    "RankedList": {"gradient": CONSTANT},
    "CrossBatchMemory": {
        "gradient": "the bank holds the batch as a constant",
        "no_positives": BANK,
        "reference": BANK,
    },
}
VARIANT_SKIP = {
    "balanced": {"gradient": "balanced weights are constants of a step"},
    "distance": dict.fromkeys(("permutation", "ties", "reference"), "the draws go by the row"),
}


def made(name, given):
    """A loss of the house for 6 classes and width 8."""
    cls = getattr(losses, name)
    sizes = {"num_classes": 6, "embedding_size": 8}
    arguments = {k: v for k, v in sizes.items() if k in inspect.signature(cls).parameters}
    arguments |= ARGUMENTS.get(name, {}) | given
    if "loss" in arguments:
        arguments["loss"] = made(*arguments["loss"])
    if "losses" in arguments:
        arguments["losses"] = [made(*part) for part in arguments["losses"]]
    return cls(**arguments)


@pytest.mark.parametrize(
    ("name", "given"),
    [*((name, {}) for name in NAMES), *VARIANTS],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_every_loss_conforms(name, given, device):
    skip = dict(SKIP.get(name, {}))
    for choice in given.values():
        skip |= VARIANT_SKIP.get(choice, {}) if isinstance(choice, str) else {}
    outcome = check_loss(lambda: made(name, given), skip=skip, processes=0, device=device)
    held = [prop for prop, what in outcome.items() if what == "holds"]
    assert len(held) >= 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_a_row_without_direction_gives_finite_gradients(name, dtype, device):
    """Dead embeddings happen: of zeros, or so small that float16 knows no direction of theirs."""
    torch.manual_seed(0)
    loss = made(name, {})
    x, labels = Probe(loss, device=device).batch()
    x = x.to(dtype)
    x[3], x[5] = 0, x[5] * 1e-7
    x.requires_grad_()
    value = loss(x, labels.to(dtype) if labels.is_floating_point() else labels)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in loss.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("flaw", "property_"),
    [
        ("vector", "scalar"),
        ("in place", "scalar"),
        ("single", "dtype"),
        ("autocast", "autocast"),
        ("gradient", "gradient"),
        ("order", "permutation"),
        ("labels", "labels"),
        ("singletons", "singletons"),
        ("ties", "ties"),
        ("reference", "reference"),
        ("nan", "nan"),
        ("chunk", "chunk"),
        ("unsaved", "state"),
    ],
)
def test_the_pack_catches_a_broken_loss(flaw, property_, device):
    with pytest.raises(AssertionError, match=f"^Broken fails '{property_}'"):
        check_loss(lambda: Broken(flaw), processes=0, device=device)


def test_the_pack_passes_the_loss_without_a_flaw(device):
    outcome = check_loss(Broken, processes=0, device=device)
    assert {name for name, what in outcome.items() if what != "holds"} == {"normalize"}


@pytest.mark.slow
@pytest.mark.cpu("gloo processes")
def test_two_processes_are_one_for_every_loss_and_not_for_a_broken_one():
    work = {name: made(name, {}) for name in NAMES}
    work |= {f"{name} {given}": made(name, given) for name, given in VARIANTS}
    with pytest.raises(AssertionError) as caught:
        check_distributed({**work, "by rank": Broken("rank")})
    complaints = str(caught.value).splitlines()
    assert complaints
    assert [line for line in complaints if not line.startswith("by rank fails")] == []
    assert any("the gradient at model" in line for line in complaints)


@pytest.mark.slow
@pytest.mark.cpu("gloo processes")
def test_one_call_includes_the_processes():
    assert check_loss(losses.ProxyAnchor(6, 8))["distributed"] == "holds"


def test_the_pack_runs_on_the_losses_of_others(device):
    """What PML's losses do otherwise is known; all else holds for them too."""
    known = {
        "dtype": "PML leaves half precision as it is",
        "autocast": "the same",
        "columns": "PML reads one label column",
        "nan": "PML lets it through",
    }
    outcome = check_loss(pml.MultiSimilarityLoss, skip=known, processes=0, device=device)
    held = {name for name, what in outcome.items() if what == "holds"}
    assert {"gradient", "permutation", "labels", "ties", "no_positives", "reference"} <= held
    assert outcome["nan"] == "skipped: PML lets it through"
    with pytest.raises(AssertionError, match="fails 'columns': ValueError"):
        check_loss(pml.MultiSimilarityLoss, skip=dict.fromkeys(("dtype", "autocast"), "known"))
    proxies = dict.fromkeys(("no_positives", "reference"), "PML's proxies take no reference")
    outcome = check_loss(
        lambda: pml.NormalizedSoftmaxLoss(4, 8),
        num_classes=4,
        skip=known | proxies,
        processes=0,
        device=device,
    )
    assert outcome["state"] == "holds"


def test_a_misspelt_skip_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'gradient'"):
        check_loss(losses.Calibration(), skip={"gradiant": "?"})


@pytest.mark.cpu("gloo processes")
def test_a_loss_that_cannot_be_pickled_is_named():
    loss = losses.Calibration()
    loss.hook = lambda: None
    with pytest.raises(AssertionError, match="losses that can be pickled"):
        check_distributed({"Calibration": loss})
