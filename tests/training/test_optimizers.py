from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.config import GroupConfig, OptimizerConfig
from lookalike.errors import ConfigError
from lookalike.training.optimizers import check_optimizer, create_optimizers, set_frozen


class Exponent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))


class Proxies(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proxies = nn.Parameter(torch.zeros(3, 4))


def parts():
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    return {"backbone": backbone, "pool": Exponent(), "head": nn.Linear(4, 2), "loss": Proxies()}


def by_name(**options):
    made = create_optimizers(parts(), OptimizerConfig(**options))
    return {group["name"]: group for group in made.param_groups}


def test_every_group_has_its_own_rate_and_decay():
    found = by_name(
        lr=1.0,
        head=GroupConfig(lr=2.0),
        pool=GroupConfig(lr_factor=100.0),
        loss=GroupConfig(lr=10.0),
        weight_decay=0.5,
    )
    assert {name: (g["lr"], g["weight_decay"]) for name, g in found.items()} == {
        "backbone": (1.0, 0.5),
        "backbone_no_decay": (1.0, 0.0),
        "pool_no_decay": (100.0, 0.0),
        "head": (2.0, 0.5),
        "head_no_decay": (2.0, 0.0),
        "loss": (10.0, 0.0),
    }
    assert len(found["backbone_no_decay"]["params"]) == 3  # bias, and batch norm's two


def test_published_decay_reaches_biases_and_norms_and_where_asked_the_proxies():
    found = by_name(weight_decay=0.5, decay_all=True, loss=GroupConfig(weight_decay=0.25))
    decays = {name: g["weight_decay"] for name, g in found.items()}
    assert decays == {"backbone": 0.5, "pool": 0.5, "head": 0.5, "loss": 0.25}


def test_every_parameter_is_in_one_group():
    groups = create_optimizers(parts(), OptimizerConfig()).param_groups
    ids = [id(p) for g in groups for p in g["params"]]
    assert len(ids) == len(set(ids)) == 8


def test_proxies_by_adam_while_the_network_is_sgd():
    config = OptimizerConfig(
        name="SGD",
        options={"momentum": 0.9},
        loss=GroupConfig(name="adam", lr=10.0, options={"betas": [0.5, 0.9]}),
    )
    members = create_optimizers(parts(), config).members
    assert {name: type(one).__name__ for name, one in members.items()} == {
        "network": "SGD",
        "loss": "Adam",
    }
    assert members["network"].defaults["momentum"] == 0.9
    assert members["loss"].param_groups[0]["betas"] == (0.5, 0.9)


@pytest.mark.parametrize("name", ["AdamW", "adamw", "SGD", "adamp", "lamb"])
def test_optimisers_of_torch_and_timm_by_name(name):
    made = create_optimizers(parts(), OptimizerConfig(name=name)).members["network"]
    assert type(made).__name__.lower() == name.lower()


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("default", {}),
        ("wd", {"weight_decay": 0.01}),
        ("nest", {"options": {"nesterov": True}}),
    ],
)
def test_adamp_steps_as_its_authors_code(golden, case, options):
    stored = np.load(golden / "raml_pp" / "adamp_steps.npz")
    values = nn.ParameterList(
        nn.Parameter(torch.from_numpy(stored[f"{case}_p{i}_init"])) for i in range(3)
    )
    config = OptimizerConfig(
        name="adamp", lr=0.01, decay_all=True, **{"weight_decay": 0.0} | options
    )
    empty = nn.Module()
    optimizers = create_optimizers(
        {"backbone": values, "pool": empty, "head": empty, "loss": empty}, config
    )
    for t in range(6):
        for i, value in enumerate(values):
            value.grad = torch.from_numpy(stored[f"{case}_g{i}_t{t}"])
        for one in optimizers.with_gradients():
            one.step()
        for i, value in enumerate(values):
            found = value.detach().numpy()
            np.testing.assert_allclose(found, stored[f"{case}_p{i}_t{t}"], rtol=1e-9, atol=1e-12)


def test_frozen_groups_stand_still_and_their_moments_too():
    made = parts()
    optimizers = create_optimizers(made, OptimizerConfig(lr=0.1))
    still = frozenset([made["head"].bias])
    set_frozen(made, ["backbone"], still)
    pictures = torch.randn(2, 3, 5, 5)
    before = {name: [p.clone() for p in m.parameters()] for name, m in made.items()}
    made["head"](made["backbone"](pictures).mean((2, 3))).pow(2).sum().backward()
    for one in optimizers.with_gradients():
        one.step()
    moved = {
        name: [not torch.equal(a, b) for a, b in zip(m.parameters(), before[name], strict=True)]
        for name, m in made.items()
    }
    assert moved["backbone"] == [False] * 4
    assert moved["head"] == [True, False]
    assert set(optimizers.members["network"].state) == {made["head"].weight}
    set_frozen(made, [], still)
    assert all(p.requires_grad for p in made["backbone"].parameters())
    assert not made["head"].bias.requires_grad


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "AdmW"}, r"optimizer\.name=AdmW.*'adamw'"),
        ({"loss": GroupConfig(name="adm")}, r"optimizer\.loss\.name=adm.*'adam'"),
        ({"name": "SGD", "options": {"momntum": 0.9}}, r"options\.momntum.*'momentum'"),
        (
            {"loss": GroupConfig(name="SGD", options={"betas": [0, 1]})},
            r"optimizer\.loss\.options\.betas: SGD takes no such argument",
        ),
    ],
)
def test_typos_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        create_optimizers(parts(), OptimizerConfig(**options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": -1.0}, "optimizer.lr=-1.0"),
        ({"head": GroupConfig(lr=0.0)}, r"optimizer\.head\.lr=0\.0"),
        ({"head": GroupConfig(lr=1.0, lr_factor=2.0)}, "not both"),
        ({"loss": GroupConfig(options={"betas": [0, 1]})}, r"optimizer\.loss\.name"),
        ({"freeze": ["backbon"], "freeze_epochs": 1}, "'backbone'"),
        ({"freeze": ["backbone", "pool", "head", "loss"]}, "nothing is left to train"),
        ({"freeze_epochs": 2}, "say what stands still"),
    ],
)
def test_impossible_settings_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        check_optimizer(OptimizerConfig(**options))
