"""A rank loss with a reference set: which references each query is ranked among."""

import pytest
import torch

from lookalike import losses
from lookalike.errors import LookalikeError
from lookalike.losses.pairs import OwnCopies

RANK_LOSSES = {
    "SmoothAP": losses.SmoothAP(reduction="sum"),
    "SupAP": losses.SupAP(reduction="sum", chunk_size=3),
    "SupHAP": losses.SupHAP(reduction="sum"),
    "SupNDCG": losses.SupNDCG(reduction="sum"),
    "SmoothRecall": losses.SmoothRecall(at_k=(1, 3), reduction="sum"),
    "RecallAtK": losses.RecallAtK(k=(1,), reduction="sum"),
    "FastAP": losses.FastAP(reduction="sum"),
    "SoftBinAP": losses.SoftBinAP(distance=True, reduction="sum"),
    "BlackboxAP": losses.BlackboxAP(margin=0.0, reduction="sum"),
    "BlackboxRecall": losses.BlackboxRecall(4.0, 0.02, scale="references", reduction="sum"),
}


def world(seed=0, queries=7, references=23):
    generator = torch.Generator().manual_seed(seed)
    x, r = (
        torch.randn(n, 5, generator=generator, dtype=torch.float64).requires_grad_()
        for n in (queries, references)
    )
    y, codes = (
        torch.randint(0, 4, (n, 1), generator=generator) // torch.tensor([[1, 2]])
        for n in (queries, references)
    )
    listed = torch.rand(queries, references, generator=generator) < 0.6
    listed[2] = False  # a query that is compared with nothing
    return x, y, r, codes, listed


def as_tuple(listed, y, codes):
    """The tuple of PML that lists these pairs, in no order, one of them twice."""
    same = y[:, None, 0] == codes[None, :, 0]
    pairs = (listed & same).nonzero(), (listed & ~same).nonzero().flip(0)
    return tuple(torch.cat([part, part[:1]]).T[column] for part in pairs for column in (0, 1))


@pytest.mark.parametrize("name", RANK_LOSSES)
def test_a_tuple_names_the_references_each_query_is_ranked_among(name):
    """Against one call a query, with those references alone."""
    loss = RANK_LOSSES[name]
    x, y, r, codes, listed = world()
    labels = (y, codes) if loss.level is None else (y[:, 0], codes[:, 0])
    value = loss(x, labels[0], as_tuple(listed, y, codes), ref_emb=r, ref_labels=labels[1])
    got = torch.autograd.grad(value, (x, r))
    expected = sum(
        loss(x[i : i + 1], labels[0][i : i + 1], ref_emb=r[among], ref_labels=labels[1][among])
        for i, among in enumerate(listed)
        if among.any()
    )
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)
    assert expected.item() > 0
    for mine, theirs in zip(got, torch.autograd.grad(expected, (x, r)), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-8, atol=1e-12)


def test_triplets_name_pairs_too():
    x, y, r, codes, _ = world()
    y, codes = y[:, 0], codes[:, 0]
    a, p, n = torch.tensor([0, 0, 1]), torch.tensor([3, 4, 5]), torch.tensor([6, 6, 7])
    loss = losses.SmoothAP()
    as_triplets = loss(x, y, (a, p, n), ref_emb=r, ref_labels=codes)
    as_pairs = loss(x, y, (a, p, a, n), ref_emb=r, ref_labels=codes)
    assert as_triplets.item() == as_pairs.item()


def test_a_mix_may_meet_what_its_pictures_may():
    x, y, r, codes, listed = world()
    y, codes = y[:, 0], codes[:, 0]
    loss = losses.RecallAtK(k=(1,), simmix=True)
    loss.shares = lambda pairs, like: like.new_full((pairs,), 1.0)  # each mix is its first image
    everything = torch.ones_like(listed)
    mined = as_tuple(everything, y[:, None], codes[:, None])
    free = loss(x, y, ref_emb=r, ref_labels=codes)
    assert loss(x, y, mined, ref_emb=r, ref_labels=codes).item() == pytest.approx(free.item())


def test_copies_need_not_be_all_there():
    """With -1 for some, those are ranked among everything."""
    x, y, r, codes, _ = world()
    y, codes = y[:, 0], codes[:, 0]
    bank, known = torch.cat([r, x[:3]]).detach(), torch.cat([codes, y[:3]])
    own = torch.tensor([23, 24, 25, -1, -1, -1, -1])
    loss = losses.SupAP(include_self=False, reduction="none")
    got = loss(x, y, OwnCopies(own), ref_emb=bank, ref_labels=known)
    assert torch.allclose(got[3:], loss(x[3:], y[3:], ref_emb=bank, ref_labels=known))
    for i in range(3):
        others = torch.arange(len(bank)) != own[i]
        one = loss(x[i : i + 1], y[i : i + 1], ref_emb=bank[others], ref_labels=known[others])
        assert got[i].item() == pytest.approx(one.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("mined", "message"),
    [
        (([0], [23], [0], [1]), "names positive 23 to 23, but there are 23"),
        (([7], [0], [0], [1]), "names anchor 7 to 7, but there are 7"),
        (([0], [0], [0], [-1]), "names negative -1 to -1"),
        (([0, 1], [0], [0], [1]), "2 anchors for 1 positive"),
        ("pairs", "not str"),
    ],
)
def test_pairs_that_cannot_be_are_refused(mined, message):
    x, y, r, codes, _ = world()
    for loss in (losses.SmoothAP(), losses.Calibration()):
        with pytest.raises(LookalikeError, match=message):
            loss(x, y[:, 0], mined, ref_emb=r, ref_labels=codes[:, 0])


def test_a_tuple_without_references_is_refused():
    x, y, _, _, listed = world()
    mined = as_tuple(listed, y, y.new_zeros(23, 2))
    for loss in (losses.SmoothAP(), losses.ProxyAnchor(4, 5)):
        with pytest.raises(LookalikeError, match="Drop the miner"):
            loss(x, y[:, 0], mined)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", RANK_LOSSES)
def test_labels_may_lie_on_another_device(name):
    loss = RANK_LOSSES[name]
    x, y, r, codes, listed = world()
    mined = as_tuple(listed, y, codes)
    got = loss(x.cuda(), y, mined, ref_emb=r.cuda(), ref_labels=codes)
    expected = loss(x, y, mined, ref_emb=r, ref_labels=codes)
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
