"""Every row of the page for users of pytorch-metric-learning, run; and our losses in its code."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lookalike import data, losses, metrics
from lookalike.errors import LookalikeError
from lookalike.losses import miners
from on_device import device
from other_packages import package

distances = package("pytorch_metric_learning.distances")
reducers = package("pytorch_metric_learning.reducers")
samplers = package("pytorch_metric_learning.samplers")
trainers = package("pytorch_metric_learning.trainers")
pml = package("pytorch_metric_learning.losses")
peers = package("pytorch_metric_learning.miners")
AccuracyCalculator = package("pytorch_metric_learning.utils.accuracy_calculator").AccuracyCalculator
DistributedLossWrapper = package("pytorch_metric_learning.utils.distributed").DistributedLossWrapper

PAGE = Path(__file__).parents[2] / "docs" / "from" / "pytorch_metric_learning.md"
THEIRS = {"C": 5, "D": 8}
for room in (pml, peers, distances, reducers):
    THEIRS |= {name: getattr(room, name) for name in dir(room) if name[0].isupper()}
OURS = {"C": 5, "D": 8, "losses": losses, "miners": miners, "math": math}


def rows(title):
    section = PAGE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(.+)` \| `(.+)` \|$", section, re.MULTILINE)


def other_rows(title):
    page = PAGE.with_name("open_metric_learning.md").read_text()
    section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"\| `([^`|]+)` \|$", section, re.MULTILINE)


@pytest.mark.parametrize("ours", other_rows("Losses, miners, samplers"))
def test_a_row_for_users_of_open_metric_learning(ours):
    labels = torch.arange(20) % 5
    made = eval(ours, OURS | {"samplers": data.samplers, "labels": labels})
    if isinstance(made, torch.nn.Module):
        (x, y), *_ = batches(1)
        assert torch.isfinite(made.double()(x, y))
    else:
        assert all(len(rows) == 8 for rows in made)


def test_the_metrics_for_users_of_open_metric_learning():
    named = other_rows("Metrics")
    assert len(named) == 3
    assert [metrics.explain(name).name for name in named] == named
    (x, y), *_ = batches(1)
    assert 0 <= metrics.verification(x.detach(), y, fmr=0.1)["fnmr_at_fmr_0.1"] <= 1


def batches(count):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        x = torch.randn(20, 8, generator=generator, dtype=torch.float64)
        yield x.requires_grad_(), torch.arange(20) % 5


def alike(theirs, ours):
    """The same proxies on both sides."""
    for name in ("W", "proxies", "fc"):
        if hasattr(theirs, name) and hasattr(ours, "proxies"):
            weight = getattr(theirs, name).data
            same = weight.shape == ours.proxies.shape
            ours.proxies.data.copy_(weight if same else weight.T)


@pytest.mark.parametrize(("theirs", "ours"), rows("Losses"))
def test_a_row_of_losses(theirs, ours):
    torch.manual_seed(0)
    a, b = eval(theirs, dict(THEIRS)).double(), eval(ours, dict(OURS)).double()
    alike(a, b)
    for x, y in batches(3):
        values = [loss(x, y) for loss in (a, b)]
        slopes = [torch.autograd.grad(value, x)[0] for value in values]
        assert values[1].item() == pytest.approx(values[0].item(), rel=1e-5)
        assert torch.allclose(*slopes, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("theirs", "ours"), rows("Miners"))
def test_a_row_of_miners(theirs, ours):
    a, b = eval(theirs, dict(THEIRS)), eval(ours, dict(OURS))
    for x, y in batches(3):
        found = [[sorted(part.tolist()) for part in miner(x.detach(), y)] for miner in (a, b)]
        assert found[0] == found[1]


def test_the_rows_of_metrics():
    names = rows("Metrics")
    x = F.normalize(next(batches(1))[0].detach().float())
    y = torch.arange(20) % 5
    theirs = AccuracyCalculator(include=[a for a, _ in names]).get_accuracy(x, y)
    ours = metrics.evaluate(x, y, metrics=[b for _, b in names])
    for a, b in names:
        assert ours[b] == pytest.approx(theirs[a], abs=1e-6)
    assert len(names) == 4 and len(rows("Losses")) > 20 and len(rows("Miners")) == 4


def test_what_the_page_says_that_refuses_ours():
    with pytest.raises(TypeError, match="must extend BaseMetricLossFunction"):
        DistributedLossWrapper(losses.SmoothAP())
    for wrapper in (pml.SelfSupervisedLoss, lambda loss: pml.CrossBatchMemory(loss, 8)):
        with pytest.raises(Exception, match="not supported for SmoothAP"):
            wrapper(losses.SmoothAP())


def test_ours_in_multiple_losses_and_their_miners():
    (x, y), *_ = batches(1)
    miner = peers.BatchHardMiner()
    both = pml.MultipleLosses(
        [losses.Triplet(0.2), losses.SmoothAP()], miners=[miner, None], weights=[1, 2]
    )
    want = losses.Triplet(0.2)(x, y, miner(x, y)) + 2 * losses.SmoothAP()(x, y)
    assert both(x, y).item() == pytest.approx(want.item(), rel=1e-9)
    with pytest.raises(LookalikeError, match="Drop the miner, or use a pair loss"):
        losses.SmoothAP()(x, y, miner(x, y))


@pytest.mark.parametrize("loss", [losses.SmoothAP(tau=0.05), losses.MultiSimilarity()])
def test_their_trainer_trains_on_ours(loss):
    torch.manual_seed(0)
    x, y = torch.randn(40, 8), torch.arange(40) // 4
    trunk = torch.nn.Linear(8, 8)
    before = loss(trunk(x), y).item()
    mining = {} if isinstance(loss, losses.SmoothAP) else {"tuple_miner": miners.HardMiner()}
    trainer = trainers.MetricLossOnly(
        {"trunk": trunk},
        {"trunk_optimizer": torch.optim.Adam(trunk.parameters(), lr=0.05)},
        20,
        {"metric_loss": loss},
        torch.utils.data.TensorDataset(x, y),
        mining_funcs=mining,
        sampler=samplers.MPerClassSampler(y.cpu(), 4, batch_size=20, length_before_new_iter=40),
        dataloader_num_workers=0,
        data_device=device(),
    )
    trainer.train(num_epochs=5)
    assert loss(trunk(x), y).item() < before
