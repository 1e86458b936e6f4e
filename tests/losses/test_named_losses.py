"""The losses that people look for by name, against pytorch-metric-learning and plain loops."""

import math

import pytest
import torch
from torch.nn import functional as F

from lookalike import losses
from lookalike.errors import ConfigError, LookalikeError
from other_packages import package

distances = package("pytorch_metric_learning.distances")
pml = package("pytorch_metric_learning.losses")

COSINE = distances.CosineSimilarity()
PAIR = {
    "NTXent": (losses.NTXent(), pml.NTXentLoss()),
    "NTXent, Euclidean": (
        losses.NTXent(0.3, distance="euclidean"),
        pml.NTXentLoss(0.3, distance=distances.LpDistance()),
    ),
    "SupCon": (losses.SupCon(), pml.SupConLoss()),
    "Circle": (losses.Circle(), pml.CircleLoss()),
    "NCA": (losses.NCA(3.0), pml.NCALoss(3.0)),
    "NCA, cosine": (losses.NCA(3.0, distance="cosine"), pml.NCALoss(3.0, distance=COSINE)),
    "LiftedStructure": (losses.LiftedStructure(), pml.LiftedStructureLoss()),
    "RankedList": (losses.RankedList(T_n=0.0), pml.RankedListLoss(0.4, 0.0, 0.5, 1.2)),
}


def batch(seed, rows=14, classes=4):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    return x.requires_grad_(), torch.arange(rows) % classes


@pytest.mark.parametrize("name", PAIR)
def test_a_pair_loss_is_the_peers(name):
    ours, theirs = PAIR[name]
    loose = name == "RankedList"  # which adds 1e-5 to each weight
    for seed in range(3):
        x, y = batch(seed)
        values = [loss(x, y) for loss in (ours, theirs)]
        slopes = [torch.autograd.grad(value, x)[0] for value in values]
        tolerance = 1e-4 if loose else 1e-8
        assert values[0].item() == pytest.approx(values[1].item(), rel=tolerance)
        assert torch.allclose(*slopes, rtol=1e3 * tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["NTXent", "SupCon", "Circle", "NCA, cosine"])
def test_references_count_as_with_the_peer(name):
    ours, theirs = PAIR[name]
    (x, y), (ref, ref_y) = batch(0), batch(9, 20)
    values = [loss(x, y, ref_emb=ref, ref_labels=ref_y).item() for loss in (ours, theirs)]
    assert values[0] == pytest.approx(values[1], rel=1e-8)


@pytest.mark.parametrize("name", ["NTXent", "LiftedStructure", "SupCon"])
def test_mined_pairs_count_as_with_the_peer(name):
    ours, theirs = PAIR[name]
    x, y = batch(2)
    same = (y[:, None] == y) & ~torch.eye(len(y), dtype=torch.bool)
    a, p = same.nonzero(as_tuple=True)
    a2, n = (y[:, None] != y).nonzero(as_tuple=True)
    repeats = 1 if name == "SupCon" else 2  # a softmax over pairs knows each once
    mined = a[::3].repeat(repeats), p[::3].repeat(repeats), a2[::2], n[::2]
    assert ours(x, y, mined).item() == pytest.approx(theirs(x, y, mined).item(), rel=1e-8)


def test_the_nearer_weigh_more_in_ranked_list():
    x, y = batch(3)
    d = torch.cdist(F.normalize(x), F.normalize(x)).detach()
    got = losses.RankedList(T_n=10.0, T_p=2.0, imbalance=0.3)(x, y)
    total = 0.0
    for i in range(len(y)):
        sides = [(0.0, 0.0), (0.0, 0.0)]
        for j in range(len(y)):
            if i == j:
                continue
            same = bool(y[i] == y[j])
            v = float(d[i, j]) - 0.8 if same else 1.2 - float(d[i, j])
            if v > 0:
                w = math.exp((2.0 if same else 10.0) * v)
                sides[same] = (sides[same][0] + w * v, sides[same][1] + w)
        means = [s / w if w else 0.0 for s, w in sides]
        total += 0.7 * means[1] + 0.3 * means[0]
    assert got.item() == pytest.approx(total / len(y), rel=1e-6)


def test_the_sigmoid_is_siglips_with_one_positive_each():
    """Algorithm 1 of the paper, on two views: labels are the numbers of the images."""
    torch.manual_seed(0)
    image, text = (torch.randn(5, 6, dtype=torch.float64) for _ in range(2))
    loss, number = losses.PairwiseSigmoid(10.0, -10.0), torch.arange(5)
    logits = F.normalize(image) @ F.normalize(text).T * 10 - 10
    want = -F.logsigmoid((2 * torch.eye(5) - 1) * logits).sum() / 5
    got = loss(image, number, ref_emb=text, ref_labels=number)
    assert got.item() == pytest.approx(want.item(), rel=1e-6)
    got.backward()
    assert loss.log_scale.grad != 0 and loss.bias.grad != 0


def with_proxies(ours, theirs, name):
    ours, theirs = ours.double(), theirs.double()
    weight = getattr(theirs, name).data
    ours.proxies.data.copy_(weight if weight.shape == ours.proxies.shape else weight.T)
    return ours, theirs


def made():
    return {
        "CosFace": with_proxies(
            losses.CosFace(4, 6), pml.CosFaceLoss(num_classes=4, embedding_size=6), "W"
        ),
        "SubCenterArcFace": with_proxies(
            losses.SubCenterArcFace(4, 6, margin=math.radians(28.6)),
            pml.SubCenterArcFaceLoss(num_classes=4, embedding_size=6),
            "W",
        ),
        "SoftTriple": with_proxies(
            losses.SoftTriple(4, 6, tau=0.0), pml.SoftTripleLoss(4, 6), "fc"
        ),
    }


@pytest.mark.parametrize("name", ["CosFace", "SubCenterArcFace", "SoftTriple"])
def test_a_proxy_loss_is_the_peers(name):
    torch.manual_seed(1)
    ours, theirs = made()[name]
    x, y = batch(4)
    values = [loss(x, y) for loss in (ours, theirs)]
    slopes = [torch.autograd.grad(value, x)[0] for value in values]
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-6)
    assert torch.allclose(*slopes, rtol=1e-5, atol=1e-8)


def test_soft_triples_centres_are_drawn_together():
    torch.manual_seed(0)
    loss = losses.SoftTriple(3, 5, centers=4, tau=0.5).double()
    x, y = torch.randn(6, 5, dtype=torch.float64), torch.arange(6) % 3
    plain = losses.SoftTriple(3, 5, centers=4, tau=0.0).double()
    plain.load_state_dict(loss.state_dict())
    w = F.normalize(loss.proxies.detach(), dim=1).view(3, 4, 5)
    lengths = [
        math.sqrt(2 - 2 * float(w[c, t] @ w[c, s]))
        for c in range(3)
        for s in range(4)
        for t in range(s)
    ]
    want = float(plain(x, y)) + 0.5 * sum(lengths) / (3 * 4 * 3)
    assert loss(x, y).item() == pytest.approx(want, rel=1e-9)


def test_outliers_are_the_peers():
    torch.manual_seed(2)
    ours, theirs = with_proxies(
        losses.SubCenterArcFace(4, 6),
        pml.SubCenterArcFaceLoss(num_classes=4, embedding_size=6),
        "W",
    )
    x, y = batch(5, 40, 3)  # the fourth class has no image
    rows, centers = ours.get_outliers(x, y, 80)
    expected, dominant = theirs.get_outliers(x, y, 80)
    assert rows.tolist() == sorted(expected.tolist()) != []
    assert torch.equal(centers[:3], dominant.T[:3])
    assert (centers[3] == 0).all()


PROXY = ["NormSoftmax", "ArcFace", "AdditiveMarginSoftmax", "CrossEntropy", "ProxyAnchor"]
PROXY += ["PositiveProxy", "ProxyNCA", "CosFace", "SubCenterArcFace", "SoftTriple"]


@pytest.mark.parametrize("name", PROXY)
def test_every_proxy_loss_has_logits_and_outliers(name):
    torch.manual_seed(0)
    loss = getattr(losses, name)(4, 6).double()
    x, y = batch(6)
    logits = loss.get_logits(x)
    assert logits.shape == (14, 4)
    rows, centers = loss.get_outliers(x, y)
    assert centers.shape == (4, 6) and len(rows) <= 14
    with pytest.raises(LookalikeError, match="5 wide, but embedding_size=6"):
        loss.get_logits(x[:, :5])
    if name in ("NormSoftmax", "CrossEntropy", "ProxyNCA"):
        assert F.cross_entropy(logits, y).item() == pytest.approx(loss(x, y).item())


@pytest.mark.parametrize("symmetric", [True, False])
def test_two_views_are_the_peers_labels(symmetric):
    x, _ = batch(7)
    second = x + 0.1 * torch.randn_like(x)
    ours = losses.SelfSupervised(losses.NTXent(), symmetric)
    theirs = pml.SelfSupervisedLoss(pml.NTXentLoss(), symmetric)
    assert ours(x, second).item() == pytest.approx(theirs(x, second).item(), rel=1e-9)
    ranked = losses.SelfSupervised(losses.SmoothAP(), symmetric)
    assert 0 < ranked(x, second).item() < 1
    with pytest.raises(LookalikeError, match="two of each image"):
        ours(x, second[:3])


def test_settings_out_of_their_range():
    for name, given in (
        ("NTXent", {"temperature": 0}),
        ("Circle", {"gamma": -1}),
        ("RankedList", {"imbalance": 2}),
        ("SoftTriple", {"num_classes": 2, "embedding_size": 2, "gamma": 0}),
        ("PairwiseSigmoid", {"scale": 0}),
        ("LiftedStructure", {"neg_margin": -1}),
        ("NCA", {"scale": 0}),
        ("SupCon", {"temperature": -1}),
    ):
        with pytest.raises(ConfigError, match=f"{name}: "):
            getattr(losses, name)(**given)
