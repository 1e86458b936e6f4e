"""Cross-batch memory: the original's queue, PML's memory, own copies, ages, and saving."""

import copy

import pytest
import torch
from golden_files import load

from lookalike import losses
from lookalike.errors import ConfigError, LookalikeError
from lookalike.losses import (
    ROADMAP,
    BlackboxAP,
    Calibration,
    Contrastive,
    CrossBatchMemory,
    FastAP,
    MultiSimilarity,
    PairContrastive,
    ProxyAnchor,
    RecallAtK,
    SmoothAP,
    SoftBinAP,
    SupAP,
    SupHAP,
    SupNDCG,
    SupRecall,
    Triplet,
    WeightedSum,
)
from other_packages import package

pml = package("pytorch_metric_learning.losses")
miners = package("pytorch_metric_learning.miners")
CosineSimilarity = package("pytorch_metric_learning.distances").CosineSimilarity
miner_utils = package("pytorch_metric_learning.utils.loss_and_miner_utils")


@pytest.mark.parametrize("case", [0, 1, 2])
def test_the_queue_is_supranks(case):
    file = {k.removeprefix(f"c{case}_"): v for k, v in load("suprank/suprank_xbm_queue").items()}
    memory = CrossBatchMemory(Calibration(), 3, int(file["hp_queue_size"]), wrap="tail")
    read_first = bool(file["hp_get_first"])
    for step in range(5):
        before = memory.read()
        rows = memory.enqueue(
            torch.tensor(file[f"step{step}_in"]), torch.tensor(file[f"step{step}_targets"])
        )
        out, targets = before if read_first else memory.read()
        # Read first, the original returned a view, into which the batch was then written.
        same = ~torch.isin(torch.arange(len(out)), rows) if read_first else slice(None)
        assert torch.equal(out[same], torch.tensor(file[f"step{step}_out"])[same])
        assert torch.equal(targets[same], torch.tensor(file[f"step{step}_out_targets"])[same])
        assert int(memory.pointer) == file[f"step{step}_ptr"]


def batches(count, size=8, width=6, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        x = torch.randn(size, width, generator=generator, dtype=torch.float64)
        yield x.requires_grad_(), torch.randint(0, classes, (size,), generator=generator)


PAIRS = {
    "calibration": (
        Calibration(),
        pml.ContrastiveLoss(0.9, 0.6, distance=CosineSimilarity()),
    ),
    "triplet": (Triplet(0.2), pml.TripletMarginLoss(0.2, distance=CosineSimilarity())),
    "multi_similarity": (MultiSimilarity(), pml.MultiSimilarityLoss()),
}


class PeerMemory(pml.CrossBatchMemory):
    """PML's memory, which knows the losses it takes by their class names, told ours."""

    @staticmethod
    def supported_losses():
        return [*pml.CrossBatchMemory.supported_losses(), *losses.__all__]


@pytest.mark.parametrize("name", PAIRS)
def test_memory_is_pmls_whichever_loss_stands_in_which(name):
    """Ours in ours, PML's in ours, ours in PML's: all equal PML's in PML's, wrapping around."""
    ours, theirs = PAIRS[name]
    memories = [
        CrossBatchMemory(ours, 6, 20),
        CrossBatchMemory(theirs, 6, 20),
        PeerMemory(ours, 6, 20),
        pml.CrossBatchMemory(theirs, 6, 20),
    ]
    for x, y in batches(6):
        values = [memory(x, y) for memory in memories]
        slopes = [torch.autograd.grad(value, x)[0] for value in values]
        for value, slope in zip(values[:3], slopes[:3], strict=True):
            assert value.item() == pytest.approx(values[3].item(), rel=1e-9)
            assert torch.allclose(slope, slopes[3], rtol=1e-8, atol=1e-12)


RANKED = {
    # PML's tuple leaves the own copies out, whatever a loss would make of them.
    "SmoothAP": (SmoothAP(), SmoothAP(include_self=False)),
    "SupHAP": (SupHAP(offset=1.44), SupHAP(offset=1.44, include_self=False)),
    "SupRecall": (SupRecall(), SupRecall(include_self=False)),
    "FastAP": (FastAP(), FastAP()),
    "SoftBinAP": (SoftBinAP(), SoftBinAP(include_self=False)),
    "BlackboxAP": (BlackboxAP(margin=0.0), BlackboxAP(margin=0.0, include_self=False)),
    "ROADMAP": (ROADMAP(), ROADMAP(SupAP(include_self=False))),
}


@pytest.mark.parametrize("name", RANKED)
def test_rank_losses_work_in_pmls_memory(name):
    in_theirs, in_ours = RANKED[name]
    theirs, ours = PeerMemory(in_theirs, 6, 20), CrossBatchMemory(in_ours, 6, 20)
    for x, y in batches(6):
        values = [memory(x, y) for memory in (theirs, ours)]
        slopes = [torch.autograd.grad(value, x)[0] for value in values]
        assert values[0].item() == pytest.approx(values[1].item(), rel=1e-9)
        assert values[0].item() > 0
        assert torch.allclose(*slopes, rtol=1e-8, atol=1e-12)


def test_a_miner_in_pmls_memory_says_what_a_rank_loss_ranks():
    miner = miners.BatchHardMiner(distance=CosineSimilarity())
    memory = PeerMemory(SmoothAP(), 6, 20, miner=miner)
    for x, y in batches(4):
        value = memory(x, y)
    bank, codes = memory.embedding_memory, memory.label_memory
    anchors, hardest, negatives = miner_utils.remove_self_comparisons(
        miner(x, y, bank, codes), memory.curr_batch_idx, 20
    )
    # Each query ranks its hardest positive and its hardest negative and nothing else.
    unit = torch.nn.functional.normalize(x)
    good, bad = (
        (unit[anchors] * torch.nn.functional.normalize(bank)[j]).sum(1)
        for j in (hardest, negatives)
    )
    precision = 1 / (1 + torch.sigmoid((bad - good) / 0.01))
    assert value.item() == pytest.approx(1 - precision.mean().item(), rel=1e-9)


def test_proxies_are_the_reference_in_any_memory():
    loss = ProxyAnchor(5, 6).double()
    theirs, ours = PeerMemory(loss, 6, 20), CrossBatchMemory(loss, 6, 20)
    for x, y in batches(3):
        assert theirs(x, y).item() == ours(x, y).item() == loss(x, y).item()


def test_the_batch_stands_in_the_bank_and_never_meets_itself():
    x = torch.eye(4, dtype=torch.float64)[:2].requires_grad_()
    memory = CrossBatchMemory(Calibration(neg_margin=-1.0), 4, 8)
    # Two classes: the only positive of each query would be its own copy.
    value = memory(x, torch.tensor([0, 1]))
    assert value.item() == pytest.approx(1.0)  # negatives at cosine 0 are 1 above the margin
    # One class: the other image of the batch is a positive, at cosine 0.
    value = CrossBatchMemory(Calibration(), 4, 8)(x, torch.tensor([0, 0]))
    assert value.item() == pytest.approx(0.9)


def test_the_parts_of_a_sum_leave_the_copy_out_at_their_own_level():
    x = torch.randn(6, 4, dtype=torch.float64)
    y = torch.stack([torch.arange(6), torch.arange(6) // 3], dim=1)
    both = WeightedSum([Calibration(level=0), Calibration(level=1)])
    expected = both(x, y)  # without a bank, self is left out by the diagonal
    assert CrossBatchMemory(both, 4, 9)(x, y).item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_rank_loss_finds_its_own_copy_first():
    (x, y), (x2, y2) = batches(2)
    for loss in (SmoothAP(), ROADMAP()):
        memory = CrossBatchMemory(loss, 6, 32)
        assert memory(x, y).item() == pytest.approx(loss(x, y).item(), rel=1e-9)
        if isinstance(loss, SmoothAP):
            bank, codes = torch.cat([x, x2]).detach(), torch.cat([y, y2])
            expected = loss(x2, y2, ref_emb=bank, ref_labels=codes)
            assert memory(x2, y2).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize(
    "loss",
    [
        SmoothAP(include_self=False),
        FastAP(),
        RecallAtK(),
        SupNDCG(include_self=False),
        BlackboxAP(include_self=False, margin=0.0),
        WeightedSum([FastAP(), Calibration()]),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_a_copy_in_the_bank_is_to_the_query_what_it_is_to_itself(loss):
    """A bank that holds the batch alone changes nothing, wherever in the bank the batch stands."""
    memory = CrossBatchMemory(loss, 6, 12, max_age=1)
    for x, y in batches(5):
        assert memory(x, y).item() == pytest.approx(loss(x, y).item(), rel=1e-9)


def test_a_picture_seen_again_drops_its_older_copy():
    memory = CrossBatchMemory(Contrastive(), 2, 6)
    x = torch.eye(2)
    memory.enqueue(x, torch.tensor([7, 8]), indices=torch.tensor([70, 80]))
    memory.enqueue(2 * x, torch.tensor([7, 9]), indices=torch.tensor([70, 90]))
    bank, codes = memory.read()
    assert codes.flatten().tolist() == [8, 7, 9]
    assert bank.tolist() == [[0, 1], [2, 0], [0, 2]]
    # Two views of one image within a batch both stay.
    memory.enqueue(x, torch.tensor([8, 8]), indices=torch.tensor([80, 80]))
    assert memory.read()[1].flatten().tolist() == [7, 9, 8, 8]


def test_old_rows_are_read_no_more():
    memory = CrossBatchMemory(Contrastive(), 1, 10, max_age=2)
    for step in range(4):
        memory.enqueue(torch.full((2, 1), float(step)), torch.zeros(2, dtype=torch.long))
    assert memory.read()[0].flatten().tolist() == [2, 2, 3, 3]


def test_the_bank_only_fills_before_the_start():
    memory = CrossBatchMemory(MultiSimilarity(), 6, 64, start_step=2)
    values = [(memory(x, y).item(), MultiSimilarity()(x, y).item()) for x, y in batches(4)]
    assert [a == pytest.approx(b, rel=1e-12) for a, b in values] == [True, True, False, False]
    assert len(memory.read()[0]) == 32


def test_batch_and_bank_are_weighed():
    (x, y), (x2, y2) = batches(2)
    loss = PairContrastive()
    alone, both = (
        CrossBatchMemory(loss, 6, 64, **weights)
        for weights in ({}, {"batch_weight": 0.25, "memory_weight": 2.0})
    )
    alone(x, y), both(x, y)
    expected = 2 * alone(x2, y2) + 0.25 * loss(x2, y2)
    assert both(x2, y2).item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_saved_memory_goes_on_as_if_never_stopped():
    memory = CrossBatchMemory(Triplet(0.3, "distance"), 6, 20, start_step=1, max_age=3)
    steps = list(batches(8))
    for number, (x, y) in enumerate(steps[:4]):
        levels = torch.stack([y, y % 2], dim=1)
        memory(x, levels, indices=torch.arange(8) + 8 * (number % 2))
    saved = copy.deepcopy(memory.state_dict())
    again = CrossBatchMemory(Triplet(0.3, "distance"), 6, 20, start_step=1, max_age=3)
    again.load_state_dict(saved)
    for x, y in steps[4:]:
        levels = torch.stack([y, y % 2], dim=1)
        assert again(x, levels).item() == memory(x, levels).item()
    assert torch.equal(again.bank, memory.bank)
    assert int(again.pointer) == int(memory.pointer) == (8 * 8) % 20
    assert int(again.filled) == 20


def test_eval_reads_and_does_not_write():
    (x, y), (x2, y2) = batches(2)
    memory = CrossBatchMemory(MultiSimilarity(), 6, 64)
    memory.eval()
    assert memory(x, y).item() == pytest.approx(MultiSimilarity()(x, y).item())
    memory.train()
    memory(x, y)
    memory.eval()
    before = copy.deepcopy(memory.state_dict())
    expected = MultiSimilarity()(x2, y2, ref_emb=x, ref_labels=y)
    assert memory(x2, y2).item() == pytest.approx(expected.item(), rel=1e-12)
    assert all(torch.equal(before[k], v) for k, v in memory.state_dict().items())


def test_gradient_flows_through_the_queries_alone():
    (x, y), (x2, y2) = batches(2)
    memory = CrossBatchMemory(MultiSimilarity(), 6, 64)
    memory(x, y)
    memory(x2, y2).backward()
    assert x.grad is None
    assert x2.grad.abs().sum() > 0


def test_what_does_not_fit_is_refused():
    memory = CrossBatchMemory(MultiSimilarity(), 6, 4)
    x, y = next(batches(1))
    with pytest.raises(LookalikeError, match="8 embeddings 6 wide does not go into 4 rows of 6"):
        memory(x, y)
    with pytest.raises(LookalikeError, match="takes no ref_emb"):
        memory(x[:2], y[:2], ref_emb=x, ref_labels=y)
    with pytest.raises(LookalikeError, match="indices_tuple names anchor 0 to 5"):
        memory(x[:2], y[:2], (torch.arange(6), torch.arange(6), torch.arange(6)))
    memory.reset_queue()
    memory(x[:2], y[:2])
    with pytest.raises(LookalikeError, match=r"labels of 2 column\(s\), but the bank holds 1"):
        memory(x[:2], torch.stack([y, y], dim=1)[:2])
    with pytest.raises(ConfigError, match="memory_size=0"):
        CrossBatchMemory(MultiSimilarity(), 6, 0)
    with pytest.raises(ConfigError, match="Did you mean 'ring'"):
        CrossBatchMemory(MultiSimilarity(), 6, 4, wrap="rings")
