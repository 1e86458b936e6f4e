"""Ten real steps in one process, or in as many as torchrun starts; for test_law.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lookalike import distributed, losses
from lookalike.config import GroupConfig, OptimizerConfig
from lookalike.losses.matryoshka import matryoshka
from lookalike.losses.miners import HardMiner
from lookalike.training.batch_norm import synchronize
from lookalike.training.distill import DistillStep, Stored
from lookalike.training.optimizers import Schedule, create_optimizers, set_frozen
from lookalike.training.schedules import Span
from lookalike.training.step import SupervisedStep

B, D, C = 16, 6, 4
HIERARCHY = torch.tensor([[0, 0], [1, 0], [2, 1], [3, 1]])

LEVELS = {"levels": 2}

# Every loss, and what is special about a run. Two levels where LEVELS is said. Batch
# norm is frozen unless it is synchronised.
CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, int]]] = {
    "additive_margin_softmax": (lambda: losses.AdditiveMarginSoftmax(C, D), {}),
    "arc_face": (lambda: losses.ArcFace(C, D), {}),
    "blackbox_ap": (losses.BlackboxAP, {}),
    "blackbox_recall": (lambda: losses.BlackboxRecall(4.0, 0.02), {}),
    "calibration": (losses.Calibration, {}),
    "contrastive": (losses.Contrastive, {}),
    "cross_entropy": (lambda: losses.CrossEntropy(C, D), {}),
    "cross_scale": (lambda: losses.CrossScale(C, D, hierarchy=HIERARCHY), LEVELS),
    "fast_ap": (losses.FastAP, {}),
    "happier": (lambda: losses.HAPPIER(C, D), LEVELS),
    "multi_similarity": (losses.MultiSimilarity, {}),
    "norm_softmax": (lambda: losses.NormSoftmax(C, D), {}),
    "pair_contrastive": (losses.PairContrastive, {}),
    "positive_proxy": (lambda: losses.PositiveProxy(C, D), {}),
    "proxy_anchor": (lambda: losses.ProxyAnchor(C, D), {}),
    "proxy_nca": (lambda: losses.ProxyNCA(C, D), {}),
    "recall_at_k": (lambda: losses.RecallAtK(k=(1, 2)), {}),
    "roadmap": (losses.ROADMAP, {}),
    "smooth_ap": (losses.SmoothAP, {}),
    "smooth_hap": (losses.SmoothHAP, LEVELS),
    "smooth_ndcg": (losses.SmoothNDCG, LEVELS),
    "smooth_recall": (losses.SmoothRecall, {}),
    "soft_bin_ap": (losses.SoftBinAP, {}),
    "sup_ap": (losses.SupAP, {}),
    "sup_hap": (losses.SupHAP, LEVELS),
    "sup_ndcg": (losses.SupNDCG, LEVELS),
    "sup_recall": (losses.SupRecall, {}),
    "triplet": (losses.Triplet, {}),
    "circle": (losses.Circle, {}),
    "cos_face": (lambda: losses.CosFace(C, D), {}),
    "lifted_structure": (losses.LiftedStructure, {}),
    "mined": (lambda: losses.MinedLoss(losses.Triplet(), HardMiner()), {}),
    "nca": (losses.NCA, {}),
    "nt_xent": (losses.NTXent, {}),
    "pairwise_sigmoid": (losses.PairwiseSigmoid, {}),
    "ranked_list": (losses.RankedList, {}),
    "self_supervised": (lambda: losses.SelfSupervised(losses.NTXent()), {"views": 2}),
    "soft_triple": (lambda: losses.SoftTriple(C, D), {}),
    "sub_center_arc_face": (lambda: losses.SubCenterArcFace(C, D), {}),
    "sup_con": (losses.SupCon, {}),
    "asymmetric_distillation": (
        lambda: losses.AsymmetricDistillation(lam_1=0, lam_2=0, lam_batch=0.5),
        {"taught": 1},
    ),
    "matryoshka": (
        lambda: matryoshka({3: losses.SmoothAP(), D: losses.ProxyAnchor(C, D)}),
        {},
    ),
    "mined_triplets": (losses.Triplet, {"negatives": 1}),
    "balanced": (
        lambda: losses.WeightedSum(
            [losses.SmoothAP(), losses.NormSoftmax(C, D)], weights="balanced"
        ),
        {},
    ),
    "memory": (
        lambda: losses.CrossBatchMemory(losses.MultiSimilarity(), D, memory_size=40),
        {},
    ),
    "memory_of_proxies": (
        lambda: losses.CrossBatchMemory(
            losses.ProxyAnchor(C, D), D, memory_size=40, batch_weight=1.0
        ),
        {},
    ),
    "sync_batch_norm": (losses.SmoothAP, {"synchronised": 1}),
    "micro_batch": (lambda: losses.ProxyAnchor(C, D), {"micro_batch": 3}),
    "update_every": (lambda: losses.ProxyAnchor(C, D), {"update_every": 2}),
    "clipped": (lambda: losses.ProxyAnchor(C, D), {"clipped": 1}),
    "frozen_then_free": (lambda: losses.ProxyAnchor(C, D), {"frozen": 1}),
}


class Network(nn.Module):
    def __init__(self, frozen_norm: bool) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GELU())
        self.head = nn.Linear(8, D)
        self.double()
        self.frozen_norm = frozen_norm
        self.train()

    def train(self, mode: bool = True) -> Network:
        super().train(mode)
        if self.frozen_norm:
            self.backbone[1].eval()
        return self

    def forward(self, pictures):
        return F.normalize(self.head(self.backbone(pictures.double()).mean((2, 3))))


def train(case: str, steps: int = 10) -> dict[str, torch.Tensor]:
    """All weights, buffers and losses after some steps on the batches of all processes."""
    make, special = CASES[case]
    torch.manual_seed(0)
    network = Network(frozen_norm="synchronised" not in special)
    loss = make()
    if "synchronised" in special and distributed.is_active():
        synchronize(network, torch.device("cpu"))
    parts = {"backbone": network.backbone, "pool": nn.Identity(), "head": network.head}
    parts["loss"] = loss
    config = OptimizerConfig(name="SGD", lr=0.05, loss=GroupConfig(name="adam", lr=0.01))
    optimizers = create_optimizers(parts, config)
    every = special.get("update_every", 1)
    more: dict[str, Any] = {"negatives": special.get("negatives", 0)}
    if "taught" in special:
        generator = torch.Generator().manual_seed(0)
        rows = F.normalize(torch.randn(100, D, generator=generator))
        known = torch.ones(100, dtype=torch.bool)
        more["stored"] = Stored(rows, torch.zeros(100, 1, dtype=torch.long), known)
    step = (DistillStep if "taught" in special else SupervisedStep)(
        model=network,
        loss=loss,
        optimizers=optimizers,
        schedule=Schedule(optimizers, Span(10, 1, every), config),
        device=torch.device("cpu"),
        clip_norm=0.05 if "clipped" in special else None,
        micro_batch=special.get("micro_batch"),
        **more,
    )
    values = []
    for number in range(steps):
        if number in (0, 5):
            frozen = ["backbone"] if "frozen" in special and number == 0 else []
            set_frozen(parts, frozen, frozenset())
            if distributed.is_active():
                step.model = nn.parallel.DistributedDataParallel(network)
        values.append(step.backward(share(number, special)))
        if (number + 1) % every == 0:
            step.update(number // every, 0, every)
    found = {f"model.{k}": v for k, v in network.state_dict().items()}
    found |= {f"loss.{k}": v for k, v in loss.state_dict().items()}
    return found | {"losses": torch.tensor(values, dtype=torch.float64)}


def share(number: int, special: dict[str, int]) -> dict[str, torch.Tensor]:
    """This process's rows of a global batch."""
    generator = torch.Generator().manual_seed(number)
    fine = torch.randint(0, C, (B,), generator=generator)
    batch = {
        "pictures": torch.rand(B, 3, 5, 5, generator=generator),
        "labels": HIERARCHY[fine] if "levels" in special else fine,
        "index": torch.randint(0, 100, (B,), generator=generator),
    }
    if "views" in special:
        batch["index"] = torch.arange(B) // special["views"]
    # Mined negatives stand after the anchors, on every process.
    kinds = torch.arange(B).chunk(1 + special.get("negatives", 0))
    rank, world = distributed.rank(), distributed.world_size()
    rows = torch.cat([kind.chunk(world)[rank] for kind in kinds])
    return {key: value[rows] for key, value in batch.items()}


if __name__ == "__main__":
    distributed.start()
    ended = {case: train(case) for case in CASES}
    torch.save(ended, Path(sys.argv[1]) / f"{distributed.rank()}.pt")
    distributed.stop()
