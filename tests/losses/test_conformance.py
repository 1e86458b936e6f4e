"""Every loss of the house runs through the conformance pack, and the pack catches broken ones."""

import inspect

import pytest
import torch
import torch.distributed as dist
from pytorch_metric_learning import losses as pml
from torch import nn
from torch.nn import functional as F

from lookalike import losses
from lookalike.errors import ConfigError
from lookalike.testing import check_distributed, check_loss

HIERARCHY = [[c, c // 2, c // 4] for c in range(6)]
# What a loss needs beyond num_classes and embedding_size, and other settings worth a check.
ARGUMENTS = {
    "BlackboxAP": {"margin": 0.0},
    "BlackboxRecall": {"lambda_": 4.0, "margin": 0.02},
    "CrossScale": {"hierarchy": HIERARCHY},
    "WeightedSum": {"losses": (("Calibration", {}), ("NormSoftmax", {})), "weights": (0.3, 2.0)},
    "CrossBatchMemory": {"loss": ("MultiSimilarity", {}), "memory_size": 64},
}
VARIANTS = [
    ("NormSoftmax", {"centers": 3}),
    ("ArcFace", {"easy_margin": True, "label_smoothing": 0.1}),
    ("AdditiveMarginSoftmax", {"normalize_proxies": False, "bias": True}),
    ("Triplet", {"mining": "semihard", "distance": "squared", "reduction": "anchors"}),
    ("Triplet", {"mining": "distance", "margin": 0.5}),
    ("MultiSimilarity", {"epsilon": 0.1}),
    ("Contrastive", {"reduction": "mean", "level": 1}),
    ("Calibration", {"normalize": False}),
    ("WeightedSum", {"weights": "balanced"}),
    ("CrossBatchMemory", {"loss": ("SmoothAP", {}), "batch_weight": 1.0}),
    ("AsymmetricDistillation", {"lam_1": 0.0, "lam_2": 0.0}),
]
BANK = "the bank is the reference and takes no other"
STEP = "a finite difference in a step function, by design"
SKIP = {
    "BlackboxAP": {"gradient": STEP},
    "BlackboxRecall": {"gradient": STEP},
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
    [*((name, {}) for name in losses.__all__), *VARIANTS],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_every_loss_conforms(name, given):
    skip = dict(SKIP.get(name, {}))
    for choice in given.values():
        skip |= VARIANT_SKIP.get(choice, {}) if isinstance(choice, str) else {}
    outcome = check_loss(lambda: made(name, given), skip=skip, processes=0)
    held = [prop for prop, what in outcome.items() if what == "holds"]
    assert len(held) >= 8


class Broken(nn.Module):
    """A contrastive loss that is right until a flaw is named."""

    def __init__(self, flaw="", chunk_size=None):
        super().__init__()
        self.flaw = flaw
        self.chunk_size = chunk_size
        self.weight = nn.Parameter(torch.ones(())) if flaw != "unsaved" else None
        self.unsaved = torch.rand(())

    def forward(self, embeddings, labels, indices_tuple=None, ref_emb=None, ref_labels=None):
        if self.flaw == "autocast":
            return self.value(embeddings, labels, ref_emb, ref_labels)
        with torch.autocast("cpu", enabled=False):
            return self.value(embeddings, labels, ref_emb, ref_labels)

    def value(self, x, labels, ref_emb, ref_labels):  # noqa: C901 - one branch a flaw
        flaw = self.flaw
        if flaw == "single" or x.dtype != torch.float64:
            x = x.float()
        if flaw == "in place":
            x.data.mul_(1.001)
        if flaw != "nan" and not torch.isfinite(x).all():
            raise ValueError("x holds NaN or infinity")
        x = F.normalize(x.nan_to_num(), dim=1)
        own = ref_emb is None or (flaw != "reference" and ref_emb.shape == x.shape)
        ref = x if own else F.normalize(ref_emb.to(x.dtype), dim=1)
        y = labels if labels.dim() == 1 else labels[:, 0]
        ref_y = y if own else (ref_labels if ref_labels.dim() == 1 else ref_labels[:, 0])
        s = x @ ref.T
        if flaw == "gradient":
            s = s.detach() + 0.5 * (s - s.detach())
        same = y[:, None] == ref_y
        if flaw == "labels":
            same = same & (y[:, None] < 3)
        if flaw == "order":
            same = same & (torch.arange(len(y))[:, None] < 5)
        if own:
            same = same & ~torch.eye(len(y), dtype=torch.bool)
        if flaw == "chunk" and self.chunk_size:
            s = s[: self.chunk_size]
            same = same[: self.chunk_size]
        scale = 1.0 if self.weight is None else self.weight.to(s.dtype)
        if flaw == "unsaved":
            scale = self.unsaved.to(s.dtype)
        terms = scale * torch.where(same, 1 - s, (s - 0.2).relu())
        if flaw == "singletons":
            return terms.sum() / same.sum()
        if flaw == "ties":
            terms = terms + (2 - 2 * s + 1e-12 * ~same).abs().sqrt() * same
        if flaw == "vector":
            return terms.sum(dim=1)
        if flaw == "rank" and dist.is_initialized():
            return terms.sum() * (1 + dist.get_rank())
        return terms.sum() / 100


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
def test_the_pack_catches_a_broken_loss(flaw, property_):
    with pytest.raises(AssertionError, match=f"^Broken fails '{property_}'"):
        check_loss(lambda: Broken(flaw), processes=0)


def test_the_pack_passes_the_loss_without_a_flaw():
    outcome = check_loss(Broken, processes=0)
    assert {name for name, what in outcome.items() if what != "holds"} == {"normalize"}


def test_two_processes_are_one_for_every_loss_and_not_for_a_broken_one():
    work = {name: made(name, {}) for name in losses.__all__}
    work |= {f"{name} {given}": made(name, given) for name, given in VARIANTS}
    with pytest.raises(AssertionError) as caught:
        check_distributed({**work, "by rank": Broken("rank")})
    complaints = str(caught.value).splitlines()
    assert complaints
    assert [line for line in complaints if not line.startswith("by rank fails")] == []
    assert any("the gradient at model" in line for line in complaints)


@pytest.mark.slow
def test_one_call_includes_the_processes():
    assert check_loss(losses.ProxyAnchor(6, 8))["distributed"] == "holds"


def test_a_skip_is_told_and_a_misspelt_one_refused():
    outcome = check_loss(
        pml.TripletMarginLoss(),
        skip={"nan": "PML lets it through", "autocast": "PML computes in half precision"}
        | {"dtype": "the same", "columns": "PML reads one column"},
        processes=0,
    )
    assert outcome["nan"] == "skipped: PML lets it through"
    assert outcome["permutation"] == "holds"
    with pytest.raises(ConfigError, match="Did you mean 'gradient'"):
        check_loss(losses.Calibration(), skip={"gradiant": "?"})


def test_a_loss_that_cannot_be_pickled_is_named():
    loss = losses.Calibration()
    loss.hook = lambda: None
    with pytest.raises(AssertionError, match="losses that can be pickled"):
        check_distributed({"Calibration": loss})
