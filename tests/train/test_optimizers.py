from __future__ import annotations

import pytest
import torch
from torch import nn

from lookalike.config import OptimizerConfig
from lookalike.errors import ConfigError
from lookalike.train.optimizers import (
    check_schedule,
    create_optimizer,
    create_schedule,
    parameter_groups,
    schedule_factor,
)


class Proxies(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proxies = nn.Parameter(torch.zeros(3, 4))


def groups(**options):
    config = OptimizerConfig(**options)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    return parameter_groups([backbone], [nn.Linear(4, 2)], Proxies(), config), config


def test_backbone_head_and_proxies_have_their_own_rates():
    made, _ = groups(lr=1.0, head_lr=2.0, loss_lr=10.0, weight_decay=0.5)
    by_name = {g["name"]: g for g in made}
    assert {name: g["lr"] for name, g in by_name.items()} == {
        "backbone": 1.0,
        "backbone_no_decay": 1.0,
        "head": 2.0,
        "head_no_decay": 2.0,
        "loss": 10.0,
    }
    assert by_name["backbone"]["weight_decay"] == 0.5
    assert by_name["backbone_no_decay"]["weight_decay"] == 0.0
    assert by_name["loss"]["weight_decay"] == 0.0
    assert len(by_name["backbone_no_decay"]["params"]) == 3  # bias, and batch norm's two


def test_every_parameter_is_in_one_group():
    made, _ = groups()
    ids = [id(p) for g in made for p in g["params"]]
    assert len(ids) == len(set(ids)) == 7


@pytest.mark.parametrize("name", ["AdamW", "adamw", "SGD", "adamp", "lamb"])
def test_optimisers_of_torch_and_timm_by_name(name):
    made, config = groups(name=name)
    optimizer = create_optimizer(made, config)
    assert type(optimizer).__name__.lower() == name.lower()


def test_options_reach_the_optimiser_and_typos_are_refused():
    made, config = groups(name="SGD", options={"momentum": 0.9, "nesterov": True})
    assert create_optimizer(made, config).defaults["momentum"] == 0.9
    made, config = groups(name="SGD", options={"momntum": 0.9})
    with pytest.raises(ConfigError, match=r"optimizer\.options\.momntum.*'momentum'"):
        create_optimizer(made, config)
    made, config = groups(name="AdmW")
    with pytest.raises(ConfigError, match=r"optimizer\.name=AdmW.*'adamw'"):
        create_optimizer(made, config)


def test_torch_steps_the_schedule_as_the_formula_says():
    made, config = groups(lr=0.5, warmup_epochs=2, min_lr_ratio=0.1)
    optimizer = create_optimizer(made, config)
    schedule = create_schedule(optimizer, steps_per_epoch=3, epochs=5, c=config)
    for step in range(15):
        expected = 0.5 * schedule_factor(step, steps_per_epoch=3, epochs=5, c=config)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)
        optimizer.step()
        schedule.step()


def test_schedules():
    step = OptimizerConfig(schedule="step", milestones=[1, 3], gamma=0.1)
    factors = [schedule_factor(s, steps_per_epoch=2, epochs=4, c=step) for s in range(8)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])
    cosine = OptimizerConfig(min_lr_ratio=0.2)
    assert schedule_factor(8, steps_per_epoch=2, epochs=4, c=cosine) == pytest.approx(0.2)
    constant = OptimizerConfig(schedule="constant")
    assert schedule_factor(7, steps_per_epoch=2, epochs=4, c=constant) == 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"schedule": "step"}, "milestones"),
        ({"lr": -1.0}, "optimizer.lr=-1.0"),
    ],
)
def test_impossible_schedules_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        check_schedule(OptimizerConfig(**options))
