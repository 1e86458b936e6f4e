"""Miners against those of pytorch-metric-learning, in losses, memories and trainings."""

import pytest
import torch
from torch.nn import functional as F

from lookalike.errors import ConfigError, LookalikeError
from lookalike.losses import (
    Contrastive,
    CrossBatchMemory,
    MinedLoss,
    MultiSimilarity,
    SmoothAP,
    Triplet,
    WeightedSum,
    miners,
)
from other_packages import package

distances = package("pytorch_metric_learning.distances")
reducers = package("pytorch_metric_learning.reducers")
pml = package("pytorch_metric_learning.losses")
peers = package("pytorch_metric_learning.miners")

COSINE, EUCLIDEAN = distances.CosineSimilarity(), distances.LpDistance()
STRATEGIES = [
    (p, n)
    for p in ("easy", "hard", "semihard", "all")
    for n in ("easy", "hard", "semihard", "all")
    if {p, n} not in ({"semihard"}, {"semihard", "all"})
]
SAME = {
    "hard": (miners.HardMiner(), peers.BatchHardMiner(distance=COSINE)),
    "hard, euclidean": (miners.HardMiner(distance="euclidean"), peers.BatchHardMiner()),
    "semihard": (
        miners.SemiHardMiner(0.3),
        peers.TripletMarginMiner(0.3, "semihard", distance=COSINE),
    ),
    "semihard, their distance": (
        miners.SemiHardMiner(distance=EUCLIDEAN),
        peers.TripletMarginMiner(0.2, "semihard"),
    ),
    "multi similarity": (miners.MultiSimilarityMiner(), peers.MultiSimilarityMiner()),
} | {
    f"{p} {n}": (
        miners.BatchEasyHardMiner(p, n),
        peers.BatchEasyHardMiner(p, n, distance=COSINE),
    )
    for p, n in STRATEGIES
}


def batch(seed, rows=14, classes=5):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(classes, (rows,), generator=generator)


def tuples(indices):
    halves = [indices] if len(indices) == 3 else [indices[:2], indices[2:]]
    return [sorted(zip(*(part.tolist() for part in half), strict=True)) for half in halves]


@pytest.mark.parametrize("name", SAME)
def test_a_miner_is_the_peers(name):
    ours, theirs = SAME[name]
    for seed in range(4):
        x, y = batch(seed)
        assert tuples(ours(x, y)) == tuples(theirs(x, y))
        ref, ref_y = batch(seed + 50, 20)
        assert tuples(ours(x, y, ref, ref_y)) == tuples(theirs(x, y, ref, ref_y))


def test_distance_weighted_draws_negatives_of_its_range_and_resumes():
    x, y = batch(0, 40)
    x = F.normalize(x)
    miner = miners.DistanceWeightedMiner(farthest=1.2)
    a, p, n = miner(x, y)
    assert (y[a] == y[p]).all() and (a != p).all() and (y[a] != y[n]).all()
    assert ((x[a] - x[n]).norm(dim=1) < 1.2).all()
    second = miner(x, y)
    again = miners.DistanceWeightedMiner(farthest=1.2)
    again.load_state_dict({"draws": torch.tensor(1)})
    assert tuples(again(x, y)) == tuples(second) != tuples((a, p, n))


def test_miners_take_strings_and_refuse_what_cannot_be():
    x, y = batch(1)
    words = [f"c{label}" for label in y.tolist()]
    assert tuples(miners.HardMiner()(x, words)) == tuples(miners.HardMiner()(x, y))
    with pytest.raises(ConfigError, match="Did you mean 'semihard'"):
        miners.BatchEasyHardMiner("easy", "semihrad")
    with pytest.raises(ConfigError, match="Set the other to easy or hard"):
        miners.BatchEasyHardMiner("all", "semihard")
    with pytest.raises(ConfigError, match=r"SmoothAP reads no mined pairs.*triplet"):
        MinedLoss(SmoothAP(), miners.HardMiner())


# Their settings → ours; every loss on all pairs, mined triplets, mined pairs and repeated pairs.
LOSSES = {
    "triplet": (Triplet(0.3), pml.TripletMarginLoss(0.3, distance=COSINE)),
    "euclidean": (Triplet(0.3, distance="euclidean"), pml.TripletMarginLoss(0.3)),
    "own distance": (Triplet(0.3, distance=EUCLIDEAN), pml.TripletMarginLoss(0.3)),
    "dot": (
        Triplet(0.3, distance="dot"),
        pml.TripletMarginLoss(
            0.3, distance=distances.DotProductSimilarity(normalize_embeddings=False)
        ),
    ),
    "swap": (
        Triplet(0.3, swap=True, distance="euclidean"),
        pml.TripletMarginLoss(0.3, swap=True),
    ),
    "smooth": (
        Triplet(0.3, smooth=True, swap=True),
        pml.TripletMarginLoss(0.3, swap=True, smooth_loss=True, distance=COSINE),
    ),
    "mean": (
        Triplet(0.3, reduction="mean"),
        pml.TripletMarginLoss(0.3, distance=COSINE, reducer=reducers.MeanReducer()),
    ),
    "multi similarity": (
        MultiSimilarity(distance="euclidean", base=-0.7),
        pml.MultiSimilarityLoss(base=0.7, distance=EUCLIDEAN),
    ),
}
TUPLES = {
    "all": lambda x, y: None,
    "triplets": SAME["semihard"][1],
    "pairs": SAME["easy semihard"][1],
    "repeated pairs": lambda x, y: tuple(
        torch.cat([part, part[: len(part) // 2]]) for part in SAME["all all"][1](x, y)
    ),
    "repeated triplets": lambda x, y: tuple(part.repeat(2) for part in SAME["semihard"][1](x, y)),
}


@pytest.mark.parametrize("mined", TUPLES)
@pytest.mark.parametrize("name", LOSSES)
def test_mined_tuples_count_as_the_peer_counts_them(name, mined):
    ours, theirs = LOSSES[name]
    for seed in range(3):
        x, y = batch(seed)
        x.requires_grad_()
        values = [loss(x, y, TUPLES[mined](x, y)) for loss in (ours, theirs)]
        slopes = [torch.autograd.grad(value, x)[0] for value in values]
        assert values[0].item() == pytest.approx(values[1].item(), rel=1e-9, abs=1e-12)
        assert torch.allclose(*slopes, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("reduction", ["sum", "mean", "active", "anchor_mean"])
def test_reductions_of_contrastive_by_their_words(reduction):
    x, y = batch(2, 9, 3)
    d = torch.cdist(F.normalize(x), F.normalize(x))
    same, off = y[:, None] == y, ~torch.eye(9, dtype=torch.bool)
    terms = torch.where(same, d**2 / 2, (0.7 - d).relu() ** 2 / 2) * off
    positive, negative = terms[same & off], terms[~same]
    want = {
        "sum": terms.sum(),
        "mean": terms.sum() / off.sum(),
        "active": positive[positive > 0].mean() + negative[negative > 0].mean(),
        "anchor_mean": (terms.sum(dim=1) / 8).mean(),
    }[reduction]
    got = Contrastive(reduction=reduction)(x, y)
    assert got.item() == pytest.approx(want.item(), rel=1e-5)
    listed = (*(same & off).nonzero(as_tuple=True), *(~same).nonzero(as_tuple=True))
    assert Contrastive(reduction=reduction)(x, y, listed).item() == pytest.approx(got.item())


def test_anchor_mean_of_triplets_is_the_mean_of_anchors():
    x, y = batch(3)
    sums = Triplet(0.5, reduction="anchors")(x, y)
    counts = (y[:, None] == y).sum(dim=1)
    has = ((counts > 1) & (counts < len(y))).sum()
    assert Triplet(0.5, reduction="anchor_mean")(x, y).item() == pytest.approx(
        (sums / has).item(), rel=1e-12
    )


def test_the_memory_mines_as_the_peers_does():
    ours = CrossBatchMemory(Triplet(0.3), 6, 30, miners.HardMiner())
    mixed = CrossBatchMemory(Triplet(0.3), 6, 30, SAME["hard"][1])
    theirs = pml.CrossBatchMemory(
        pml.TripletMarginLoss(0.3, distance=COSINE), 6, 30, SAME["hard"][1]
    )
    for seed in range(5):
        x, y = batch(seed, 8)
        want = theirs(x, y).item()
        assert ours(x, y).item() == pytest.approx(want, rel=1e-9)
        assert mixed(x, y).item() == pytest.approx(want, rel=1e-9)


def test_keys_enter_the_memory_and_queries_are_judged():
    ours, theirs = (
        CrossBatchMemory(MultiSimilarity(), 6, 30),
        pml.CrossBatchMemory(pml.MultiSimilarityLoss(), 6, 30),
    )
    for seed in range(5):
        x, y = batch(seed, 8)
        keys = torch.arange(8) >= 4
        want = theirs(x, y, enqueue_mask=keys).item()
        assert ours(x, y, None, keys).item() == pytest.approx(want, rel=1e-9)
    ours.reset_queue()
    theirs.reset_queue()
    x, y = batch(9, 8)
    assert ours(x, y).item() == pytest.approx(theirs(x, y).item(), rel=1e-9)
    with pytest.raises(LookalikeError, match="indices_tuple or enqueue_mask, not both"):
        ours(x, y, miners.HardMiner()(x, y), keys)
    with pytest.raises(LookalikeError, match="enqueue_mask must be 8 of true and false"):
        ours(x, y, enqueue_mask=torch.ones(3, dtype=torch.bool))


def test_pairs_of_the_batch_count_beside_those_of_the_bank():
    """In a fresh bank the batch's rows are the bank's, where the peer counts the same."""
    x, y = batch(4, 8)
    mined = SAME["easy semihard"][1](x, y)
    ours, theirs = (
        CrossBatchMemory(Contrastive(reduction="mean"), 6, 30),
        pml.CrossBatchMemory(pml.MultiSimilarityLoss(), 6, 30),
    )
    want = theirs(x, y, mined).item()
    assert CrossBatchMemory(MultiSimilarity(), 6, 30)(x, y, mined).item() == pytest.approx(want)
    # Later they are its own rows still: listed once more, they weigh twice.
    for seed in range(5, 9):
        ours(*batch(seed, 8))
    twice = Contrastive(reduction="sum")
    memory = CrossBatchMemory(twice, 6, 30)
    memory.load_state_dict(ours.state_dict())
    alone = CrossBatchMemory(twice, 6, 30)
    alone.load_state_dict(ours.state_dict())
    extra = memory(x, y, mined) - alone(x, y)
    assert extra.item() == pytest.approx(twice(x, y, mined).item(), rel=1e-9)
    memory.eval()
    with pytest.raises(LookalikeError, match="Call train"):
        memory(x, y, mined)


def test_a_mined_sum_hands_pairs_to_the_parts_that_read_them():
    x, y = batch(6)
    mined = miners.HardMiner()(x, y)
    loss = MinedLoss(WeightedSum([Triplet(0.3), SmoothAP()]), miners.HardMiner())
    want = Triplet(0.3)(x, y, mined) + SmoothAP()(x, y)
    assert loss(x, y).item() == pytest.approx(want.item(), rel=1e-12)
    theirs = MinedLoss(pml.TripletMarginLoss(0.3, distance=COSINE), miners.HardMiner())
    assert theirs(x, y[:, None]).item() == pytest.approx(Triplet(0.3)(x, y, mined).item())
