"""Miners in trainings: named, checked early, saved with the loss, the same when resumed."""

import pytest
import torch

import lookalike as la
from lookalike.compose import compose
from lookalike.errors import ConfigError
from lookalike.losses import CrossBatchMemory, MinedLoss, Triplet, miners
from lookalike.training.build import with_miner
from lookalike.training.checks import check
from on_device import device


def test_a_miner_stands_before_the_loss_or_in_its_memory():
    config = compose(["loss=triplet", "miner=multi_similarity", "miner.epsilon=0.2"])
    check(config)
    loss = with_miner(config, Triplet())
    assert isinstance(loss, MinedLoss) and loss.miner.epsilon == 0.2
    memory = with_miner(config, CrossBatchMemory(Triplet(), 4))
    assert memory.miner.epsilon == 0.2
    with pytest.raises(ConfigError, match="a miner of its own"):
        with_miner(config, memory)
    peer = compose(["loss=triplet", "miner=pytorch_metric_learning.miners.BatchHardMiner"])
    check(peer)
    x, y = torch.randn(8, 4), torch.arange(8) // 2
    want = Triplet()(x, y, miners.HardMiner(distance="euclidean")(x, y))
    assert with_miner(peer, Triplet())(x, y).item() == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["miner=hard"], "loss=smooth_ap reads no mined pairs"),
        (["loss=proxy_anchor", "miner=hard"], "loss=proxy_anchor reads no mined pairs"),
        (["loss=self_supervised", "loss.loss=nt_xent"], "Set sampler=random sampler.views=2"),
        (["loss=triplet", "miner=semihrd"], "Did you mean 'semi_hard'"),
        (["loss=triplet", "miner=hard", "miner.margin=1"], "HardMiner takes no such argument"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused_before_data_is_read(words, message):
    with pytest.raises(ConfigError, match=message):
        check(compose(words))


def test_views_of_an_image_stand_side_by_side():
    sampler = la.data.samplers.RandomSampler(7, batch_size=4, views=2)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 3
    assert all(batch[0] == batch[1] != batch[2] == batch[3] for batch in batches)
    with pytest.raises(ConfigError, match="not a multiple of views=3"):
        la.data.samplers.RandomSampler(7, batch_size=4, views=3)


@pytest.mark.slow
def test_a_training_without_labels_tells_images_apart(tmp_path):
    """Views of an image come together, others do not: labels are never read."""
    table = la.data.datasets.toy(
        tmp_path / "toy", families=2, genera=1, species=6, pictures=4, size=24
    )
    losses = []

    class Notes(la.Callback):
        def on_step(self, moment):
            losses.append(moment.loss)

    la.train(
        "conv4",
        table,
        {"name": "self_supervised", "loss": "nt_xent"},
        run=tmp_path / "run",
        sampler={"name": "random", "views": 2},
        callbacks=[Notes()],
        epochs=4,
        batch_size=16,
        workers=0,
        device=str(device()),
        transform={"size": 24},
        optimizer={"schedule": "constant"},
        evaluation={"every": 0},
    )
    assert sum(losses[-3:]) < sum(losses[:3])


@pytest.mark.slow
def test_a_mined_training_goes_on_as_if_never_stopped(tmp_path):
    """The draws of a miner are a part of the state: cut in two, the training ends the same."""
    words = {
        "model": "conv4",
        "loss": "triplet",
        "miner": "distance_weighted",
        "device": str(device()),
        "workers": 0,
        "batch_size": 8,
        "sampler": {"m": 2, "batches": 4},
        "transform": {"size": 24},
        "optimizer": {"schedule": "constant"},
        "evaluation": {"every": 0},
    }
    sizes = {"families": 2, "genera": 1, "species": 6, "pictures": 4, "size": 24}
    words["dataset"] = la.data.datasets.toy(tmp_path / "toy", **sizes)

    class Stops(la.Callback):
        def on_epoch(self, moment):
            raise KeyboardInterrupt

    la.train(run=tmp_path / "whole", epochs=2, **words)
    with pytest.raises(KeyboardInterrupt):
        la.train(run=tmp_path / "parts", epochs=2, callbacks=[Stops()], **words)
    la.train(run=tmp_path / "parts", epochs=2, resume="auto", **words)
    whole, parts = (la.load(tmp_path / name).state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
