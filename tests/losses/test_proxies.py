"""Proxy anchor, positive proxy, ProxyNCA++ and the cross-scale loss."""

import math

import pytest
import torch
from golden_files import cases, load
from proxy_golden import check, with_proxies
from torch.nn import functional as F

from lookalike.errors import ConfigError, LookalikeError
from lookalike.losses import CrossScale, PositiveProxy, ProxyAnchor, ProxyNCA
from other_packages import package

pml = package("pytorch_metric_learning.losses")

F64 = torch.float64


@pytest.mark.parametrize("path", ["proxy_anchor", "proxy_anchor_s16_m03", "positive_proxy"])
def test_proxy_anchor_and_positive_proxy_are_pp(path):
    file = load(f"raml_pp/{path}")
    scale, margin = float(file["scale"]), float(file["margin"])
    for number in range(5):
        case = {k.removeprefix(f"c{number}_"): v for k, v in file.items()}
        if path == "positive_proxy":
            loss = PositiveProxy(*case["w"].shape, scale, normalize=False)
        else:
            loss = ProxyAnchor(*case["w"].shape, margin, scale, normalize=False)
        expected = {"loss": case["loss"], "x": case["gx"], "proxies": case["gw"]}
        check(with_proxies(loss, case["w"]), case["x"], case["y"], expected, 1e-9)


def test_proxy_anchor_normalises_the_head_of_pp():
    case = load("raml_pp/pp_head")
    W = torch.tensor(case["W"], requires_grad=True)
    pooled = torch.tensor(case["pooled"], requires_grad=True)
    loss = with_proxies(ProxyAnchor(*case["proxies"].shape), case["proxies"])
    value = loss(F.layer_norm(pooled, pooled.shape[1:]) @ W.T, torch.tensor(case["y"]))
    value.backward()
    assert value.item() == pytest.approx(float(case["loss"]), abs=1e-9)
    for tensor, name in ((W, "g_W"), (pooled, "g_pooled"), (loss.proxies, "g_proxies")):
        assert torch.allclose(tensor.grad, torch.tensor(case[name]), rtol=0, atol=1e-9)


def test_proxy_anchor_is_pmls():
    torch.manual_seed(0)
    ours, theirs = ProxyAnchor(7, 5), pml.ProxyAnchorLoss(7, 5, margin=0.1, alpha=32)
    with torch.no_grad():
        theirs.proxies.copy_(ours.proxies)
    x, y = torch.randn(12, 5), torch.randint(0, 5, (12,))
    assert ours(x, y).item() == pytest.approx(theirs(x, y).item(), rel=1e-5)


def test_proxy_nca_is_suprank():
    for _, case in cases("suprank/suprank_proxynca_pp"):
        loss = ProxyNCA(*case["proxies"].shape, float(case["hp_scale"]), level=int(case["level"]))
        expected = {
            "loss": case["loss"],
            "x": case["grad_embeddings"],
            "proxies": case["grad_proxies"],
        }
        loss = with_proxies(loss, case["proxies"])
        check(loss, case["embeddings"], case["labels"], expected, 1e-7)


def test_proxy_nca_is_its_formula():
    torch.manual_seed(1)
    loss, y = ProxyNCA(4, 3).double(), torch.tensor([3, 0, 1, 1, 2])
    x = torch.randn(5, 3, dtype=F64)
    unit, w = (3 * F.normalize(t, dim=1) for t in (x, loss.proxies.detach()))
    total = 0.0
    for row, own in zip(unit, y.tolist(), strict=True):
        d = [sum((a - b) ** 2 for a, b in zip(row, p, strict=True)).item() for p in w]
        total += d[own] + math.log(sum(math.exp(-v) for v in d))
    assert loss(x, y).item() == pytest.approx(total / 5, rel=1e-12)


@pytest.mark.parametrize("path", ["suprank/happier_csl", "suprank/suprank_csl"])
def test_cross_scale_is_happier_and_suprank(path):
    for _, case in cases(path):
        loss = CrossScale(
            *case["weight"].shape,
            torch.tensor(case["proxy_labels"]),
            float(case["hp_scale"]),
            case["hp_margins"].tolist(),
            normalize=False,
        )
        expected = {
            "loss": case["loss"],
            "x": case["grad_embeddings"],
            "proxies": case["grad_weight"],
        }
        loss = with_proxies(loss, case["weight"])
        check(loss, case["embeddings"], case["labels"], expected, 1e-7)
        per_level = loss.per_level(torch.tensor(case["embeddings"]), torch.tensor(case["labels"]))
        expected = torch.tensor(case["loss_per_level"])
        assert torch.allclose(per_level, expected, rtol=0, atol=1e-7)


HIERARCHY = [[10, 0, 0], [11, 0, 0], [12, 1, 0], [13, 1, 1], [14, 2, 1]]


def test_cross_scale_knows_the_coarse_labels_of_a_fine_one():
    torch.manual_seed(2)
    loss, x = CrossScale(5, 4, HIERARCHY), torch.randn(3, 4)
    labels = torch.tensor([HIERARCHY[i] for i in (4, 0, 2)])
    assert loss(x, labels) == loss(x, labels[:, 0])
    assert loss.margins == (0.25, 0.35, 0.45)


def test_cross_scale_has_no_push_where_all_classes_are_one():
    loss = CrossScale(2, 3, [[0, 7], [1, 7]]).double()
    x = torch.randn(3, 3, dtype=F64, requires_grad=True)
    fine, coarse = loss.per_level(x, torch.tensor([0, 1, 1]))
    assert coarse.item() == 0
    assert fine.item() > 0
    coarse.backward()
    assert x.grad.abs().max() == 0 and loss.proxies.grad.abs().max() == 0


def test_cross_scale_draws_its_proxies_from_its_own_seed():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = CrossScale(5, 4, HIERARCHY).proxies
    torch.randn(7)
    assert torch.equal(first, CrossScale(5, 4, HIERARCHY).proxies)
    assert not torch.equal(first, CrossScale(5, 4, HIERARCHY, seed=1).proxies)
    torch.manual_seed(3)
    assert torch.equal(state, torch.get_rng_state())


def test_cross_scale_refuses_what_does_not_fit():
    with pytest.raises(ConfigError, match=r"shape \(4, levels\), not \(5, 3\)"):
        CrossScale(4, 4, HIERARCHY)
    with pytest.raises(ConfigError, match="2 margins, but the hierarchy has 3"):
        CrossScale(5, 4, HIERARCHY, margins=(0.1, 0.2))
    with pytest.raises(ConfigError, match="twice"):
        CrossScale(2, 4, [[0, 0], [0, 1]])
    loss = CrossScale(5, 4, HIERARCHY)
    with pytest.raises(LookalikeError, match="label 9 in row 1 is no fine class"):
        loss(torch.randn(2, 4), torch.tensor([10, 9]))
    with pytest.raises(LookalikeError, match="labels have 2 columns; the hierarchy has 3"):
        loss(torch.randn(1, 4), torch.tensor([[10, 0]]))


def test_a_class_that_is_absent_pulls_nothing():
    loss = PositiveProxy(4, 3)
    x = torch.randn(2, 3, requires_grad=True)
    loss(x, torch.tensor([1, 1])).backward()
    norms = loss.proxies.grad.norm(dim=1)
    assert norms[1] > 0
    assert norms[[0, 2, 3]].max() < 1e-30  # what its exponentials leave
