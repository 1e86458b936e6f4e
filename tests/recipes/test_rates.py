"""The rate of every group at every epoch of the unmodified recipes, and their other options."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trajectories
from torch import nn

from lookalike.compose import choices, compose
from lookalike.config import Config
from lookalike.models.create import create_model
from lookalike.training.optimizers import Schedule, create_optimizers
from lookalike.training.schedules import Span

GROUPS = ("backbone", "pool", "head", "loss")
# record of the original's rates over all its epochs → recipe
RECORDED = {
    "roadmap_cub": "roadmap/cub",
    "roadmap_sop": "roadmap/sop",
    "roadmap_inat": "roadmap/inat",
    "roadmap_sop_deit": "roadmap/sop_deit",
    "roadmap_cub_deit": "roadmap/cub_deit",
    "happier_sop": "suprank/sop",
    "happier_inat_base": "happier/inat_base",
    "happier_inat_full": "happier/inat_full",
    "dyml_vehicle": "suprank/dyml_vehicle",
    "dyml_animal": "suprank/dyml_animal",
    "dyml_product": "suprank/dyml_product",
    "suprank_sop": "suprank/sop",
    "suprank_inat_base": "suprank/inat_base",
    "suprank_inat_full": "suprank/inat_full",
    "suprank_cub": "suprank/cub",
    "suprank_gldv2": "suprank/gldv2",
}
NAMES = {"net": "backbone", "fc": "head"}


def rates(config: Config, batches: int, updates: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    """Group → its rate at some (update, epoch), NaN where it stands still."""
    c = config.optimizer
    parts = {name: nn.Linear(2, 2) for name in GROUPS}
    optimizers = create_optimizers(parts, c)
    schedule = Schedule(optimizers, Span(batches, config.epochs, config.update_every), c)
    found: dict[str, list[float]] = {name: [] for name in GROUPS}
    for update, epoch in updates:
        schedule.apply(update, epoch)
        now = schedule.rates()
        for name in GROUPS:
            still = name in c.freeze and epoch < c.freeze_epochs
            found[name].append(np.nan if still else now[name])
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("record", RECORDED)
def test_rates_of_every_epoch_are_the_originals(record):
    config, file = compose([f"recipe={RECORDED[record]}"]), trajectories.record("lr_full")
    theirs, names = file[f"{record}.lr"], file[f"{record}.names"]
    assert len(theirs) == config.epochs
    ours = rates(config, 10, [(10 * epoch, epoch) for epoch in range(config.epochs)])
    for i, name in enumerate(names):
        group = NAMES.get(str(name), str(name))
        np.testing.assert_allclose(ours[group], theirs[:, i], rtol=1e-12, err_msg=name)


def of_torch(peak: float, epochs: int, make, every: int = 1) -> np.ndarray:
    """The rate at every epoch (or at every of ``every`` steps in one) by a scheduler of torch."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    schedule, found = make(optimizer), []
    for _ in range(epochs * every):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(found)


@pytest.mark.parametrize("recipe", [r for r in choices("recipe") if r.startswith("pp/")])
def test_positive_proxy_halves_every_five_epochs(recipe):
    config = compose([f"recipe={recipe}"])
    ours = rates(config, 10, [(10 * epoch, epoch) for epoch in range(config.epochs)])
    assert np.isnan(ours["backbone"]).tolist() == [True] * 2 + [False] * 18  # --warm_up 2
    for group, peak in (("head", 1e-4), ("loss", 1e-2)):
        halved = of_torch(peak, 20, lambda o: torch.optim.lr_scheduler.StepLR(o, 5, 0.5))
        np.testing.assert_allclose(ours[group], halved, rtol=1e-12)
    assert (config.batch_size, config.seed, config.precision) == (64, 1, "fp32")
    assert config.model.dropout == (0.2 if "googlenet" in recipe else 0.0)
    assert config.model.freeze_batch_norm and config.evaluation.empty == "zero"


@pytest.mark.parametrize(
    "recipe", ["smooth_ap/inat", "smooth_ap/inat_vit", "pss/inat", "pss/inat_vit"]
)
def test_smooth_ap_drops_at_40_and_70(recipe):
    config = compose([f"recipe={recipe}"])
    ours = rates(config, 10, [(10 * epoch, epoch) for epoch in range(config.epochs)])

    def make(optimizer):
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, [40, 70], 0.3)

    for group in ("backbone", "head"):
        np.testing.assert_allclose(ours[group], of_torch(1e-5, 400, make), rtol=1e-12)
    assert (config.batch_size, config.seed, config.precision) == (384, 1, "fp32")
    assert config.optimizer.weight_decay == 4e-4 and config.optimizer.decay_all
    assert config.evaluation.k == [1, 4, 16, 32] and config.evaluation.empty == "zero"


@pytest.mark.parametrize("recipe", [r for r in choices("recipe") if r.startswith("raml/")])
def test_raml_cycles_over_more_steps_than_it_makes(recipe):
    """As published: with 1,000 batches, a step in 25 of them; here 30, so 2 planned and 1 made."""
    teacher = [] if "teacher" in recipe else ["teacher=resnet50.tv_in1k"]
    config = compose([f"recipe={recipe}", *teacher])
    made = config.epochs
    ours = rates(config, 30, [(epoch, epoch) for epoch in range(made)])
    peak = config.optimizer.lr

    def make(optimizer):
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, peak, total_steps=2 * config.epochs, div_factor=10
        )

    for group in ("backbone", "pool", "head"):
        np.testing.assert_allclose(ours[group], of_torch(peak, made, make), rtol=1e-9)
    assert (config.batch_size, config.update_every, config.seed) == (8, 25, 1234)
    assert config.accumulate == "sum" and config.precision == "fp32"
    assert config.drop_partial_update and config.optimizer.weight_decay == 1e-6
    assert config.model.freeze_batch_norm and config.model.pool == "gem"


@pytest.mark.parametrize("recipe", ["suprank/dyml_vehicle", "suprank/dyml_animal"])
def test_a_network_from_scratch_starts_as_torchvisions(recipe):
    """Whose last batch norm of a block is one; timm's own start is zero."""
    c = compose([f"recipe={recipe}"]).model
    network = create_model(c.backbone, pretrained=c.pretrained, options=c.options).backbone
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 36 and all((m.weight == 1).all() for m in norms)
