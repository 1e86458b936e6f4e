from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lookalike.config import AverageConfig
from lookalike.errors import ConfigError
from lookalike.training.averaging import Averaged, check_average, refresh_batch_norm


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))


def walk(model, average, steps, steps_per_epoch=2):
    """Random weights a step; the weights after each."""
    passed = []
    for step in range(1, steps + 1):
        with torch.no_grad():
            for value in (*model.parameters(), model[1].running_mean):
                value.add_(torch.randn_like(value))
        passed.append(copy.deepcopy(model.state_dict()))
        average.step_done(model, step, (step - 1) // steps_per_epoch)
        if step % steps_per_epoch == 0:
            average.epoch_done(model, step // steps_per_epoch)
    return passed


def test_ema_is_the_recurrence_from_its_first_epoch_on():
    model = network()
    average = Averaged(model, AverageConfig(name="ema", decay=0.75, start_epoch=1, every=2))
    passed = walk(model, average, 8)
    expected = None
    for state in passed[3::2]:  # steps 4, 6, 8: those of epoch 1 and later that are due
        old = state if expected is None else expected
        expected = {k: 0.75 * old[k] + 0.25 * state[k] for k in ("0.weight", "1.running_mean")}
    for key, value in expected.items():
        torch.testing.assert_close(average.model.state_dict()[key], value)


def test_swa_is_the_mean_over_epochs():
    model = network()
    average = Averaged(model, AverageConfig(name="swa", start_epoch=1, every=2))
    passed = walk(model, average, 10)
    members = [passed[2 * epoch - 1]["0.weight"] for epoch in (3, 5)]
    torch.testing.assert_close(average.model.state_dict()["0.weight"], sum(members) / 2)


def test_there_is_no_average_before_it_begins():
    model = network()
    average = Averaged(model, AverageConfig(name="ema", start_epoch=2))
    walk(model, average, 4)
    assert not average.begun
    walk(model, average, 5)
    assert average.begun


def test_an_average_goes_on_from_its_state():
    model = network()
    config = AverageConfig(name="ema", decay=0.5)
    first, second = Averaged(model, config), Averaged(model, config)
    walk(model, first, 3)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for average in (first, second):
        torch.manual_seed(3)
        walk(copy.deepcopy(model), average, 3)
    for a, b in zip(*(x.model.state_dict().values() for x in (first, second)), strict=True):
        assert torch.equal(a, b)


def test_batch_norm_learns_the_statistics_of_the_averaged_weights():
    model = network()
    batches = [torch.randn(8, 3, 6, 6) * 3 + 1 for _ in range(4)]
    before = torch.get_rng_state()
    refresh_batch_norm(model, batches)
    assert torch.equal(torch.get_rng_state(), before)  # no dropout, no draw
    with torch.no_grad():
        maps = [model[0](batch) for batch in batches]
    expected = torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0)
    torch.testing.assert_close(model[1].running_mean, expected)
    assert not model[1].training
    assert model[1].momentum == 0.1


@pytest.mark.parametrize(
    "options", [{"name": "emma"}, {"decay": 1.0}, {"every": 0}, {"start_epoch": -1}]
)
def test_impossible_averages_are_refused(options):
    with pytest.raises(ConfigError, match=f"average.{next(iter(options))}"):
        check_average(AverageConfig(**options))
