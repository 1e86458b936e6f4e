from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.config import GroupConfig, OptimizerConfig
from lookalike.errors import ConfigError
from lookalike.training.optimizers import GROUPS, OWN, Schedule, create_optimizers
from lookalike.training.schedules import Span, check_schedule, schedule_factor


def factors(span, updates=None, **options):
    config = OptimizerConfig(**options)
    check_schedule(config, OWN)
    count = span.updates * span.epochs if updates is None else updates
    return [schedule_factor(u, u // span.updates, span, config) for u in range(count)]


def test_multistep_step_exponential_and_constant():
    span = Span(batches=2, epochs=4)
    dropped = factors(span, schedule="multistep", milestones=[1, 3], gamma=0.1)
    assert dropped == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])
    halved = factors(span, schedule="step", step_epochs=2, gamma=0.5)
    assert halved == pytest.approx([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5])
    smooth = factors(span, schedule="exponential", gamma=0.25)
    assert smooth == pytest.approx([0.25 ** (u / 2) for u in range(8)])
    assert factors(span, schedule="constant") == [1.0] * 8


def test_cosine_is_that_of_torch_per_step_and_per_epoch():
    span = Span(batches=3, epochs=5)
    for every, stretch in (("step", 1), ("epoch", 3)):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        total = span.updates * span.epochs // stretch
        reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total, eta_min=0.1)
        ours = factors(span, schedule_every=every, min_lr_ratio=0.1)
        for update, factor in enumerate(ours):
            assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
            if (update + 1) % stretch == 0:
                optimizer.step()
                reference.step()


def test_waiting_schedules_end_short_and_others_do_not():
    span = Span(batches=2, epochs=6)
    plain = factors(span, schedule_every="epoch")
    waiting = factors(
        span, schedule_every="epoch", freeze=["backbone"], freeze_epochs=2, freeze_schedule=True
    )
    assert waiting == [1.0] * 4 + plain[:8]
    moving = factors(span, schedule_every="epoch", freeze=["backbone"], freeze_epochs=2)
    assert moving == plain


def test_warm_up_rises_in_a_line_and_the_cosine_takes_the_rest():
    span = Span(batches=4, epochs=3)
    made = factors(span, warmup_epochs=1)
    assert made[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert made[8] == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["onecycle_adamW", "onecycle_sgd", "cyclic_adamW"])
def test_cycles_are_those_of_raml(golden, name):
    # 733 batches, 25 to an update: 30 updates of an epoch are planned and 29 are done.
    span = Span(batches=733, epochs=6, update_every=25)
    rows = np.load(golden / "raml_pp" / "raml_schedules.npz")[f"{name}_rows"]
    one_cycle = name.startswith("onecycle")
    options = {"div_factor": 10} if one_cycle else {}
    config = OptimizerConfig(
        name="AdamW" if name.endswith("adamW") else "SGD",
        lr=1.4025e-4,
        options={} if name.endswith("adamW") else {"momentum": 0.9},
        pool=GroupConfig(lr_factor=10.0),
        schedule="one_cycle" if one_cycle else "cyclic",
        schedule_options={"shared_max_lr": True, **options},
    )
    ours = run_schedule(config, span, done=29, epochs=6)
    np.testing.assert_allclose(ours, rows, rtol=0, atol=1e-12)


def test_a_group_keeps_its_own_peak_unless_it_is_shared(golden):
    span = Span(batches=733, epochs=6, update_every=25)
    config = OptimizerConfig(lr=0.1, pool=GroupConfig(lr_factor=10.0), schedule="one_cycle")
    ours = run_schedule(config, span, done=30, epochs=6)
    np.testing.assert_allclose(ours[:, 1], 10 * ours[:, 0], rtol=1e-12)
    assert ours[:, 1].max() == pytest.approx(1.0)


def test_the_exponential_of_raml_falls_by_the_epoch(golden):
    # 25 batches, 2 to an update: 13 are planned, 12 done; only the epoch counts here.
    span = Span(batches=25, epochs=6, update_every=2)
    config = OptimizerConfig(
        lr=1.4025e-4,
        pool=GroupConfig(lr_factor=10.0),
        schedule="exponential",
        schedule_every="epoch",
        gamma=float(np.exp(-0.001)),
    )
    rows = np.load(golden / "raml_pp" / "raml_schedules.npz")["exponential_adamW_rows"]
    np.testing.assert_allclose(
        run_schedule(config, span, done=12, epochs=6), rows, rtol=0, atol=1e-12
    )


def run_schedule(config, span, done, epochs):
    """A row an update: rates of backbone, pool and head, and the momentum."""
    parts = {name: nn.ParameterList([nn.Parameter(torch.zeros(2, 2))]) for name in GROUPS}
    optimizers = create_optimizers(parts, config)
    schedule = Schedule(optimizers, span, config)
    rows = []
    for update in range(done * epochs):
        schedule.apply(update, update // done)
        rates = schedule.rates()
        group = optimizers.param_groups[0]
        momentum = group["betas"][0] if "betas" in group else group["momentum"]
        rows.append([rates["backbone"], rates["pool"], rates["head"], momentum])
    return np.array(rows)


def test_one_cycle_is_that_of_torch():
    span = Span(batches=7, epochs=3)
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0, momentum=0.9)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=21)
    for factor in factors(span, schedule="one_cycle"):
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if reference.last_epoch < 20:
            reference.step()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"schedule": "multistep"}, "milestones"),
        ({"schedule": "step", "step_epochs": 0}, "step_epochs"),
        ({"schedule_every": "batch"}, "step or epoch"),
        ({"head": GroupConfig(schedule="cosin")}, r"optimizer\.head\.schedule.*'cosine'"),
        ({"schedule_options": {"pct_start": 0.1}}, "cosine takes no such option"),
        ({"schedule": "one_cycle", "schedule_options": {"pct_strt": 0.1}}, "'pct_start'"),
        ({"schedule": "one_cycle", "warmup_epochs": 1.0}, "rises by itself"),
        ({"schedule": "cyclic", "schedule_options": {"mode": "square"}}, "triangular2"),
    ],
)
def test_impossible_schedules_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        check_schedule(OptimizerConfig(**options), OWN)
