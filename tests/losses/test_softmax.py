"""Softmax and margin losses: the originals' numbers, and what they refuse."""

import math

import numpy as np
import pytest
import torch
from golden_files import cases, load
from proxy_golden import check, check_single, with_proxies

from lookalike.errors import ConfigError, LookalikeError
from lookalike.losses import AdditiveMarginSoftmax, ArcFace, CrossEntropy, NormSoftmax

F64 = torch.float64


@pytest.mark.parametrize("path", ["suprank/happier_cluster", "suprank/suprank_cluster"])
def test_norm_softmax_is_the_cluster_loss(path):
    for _, case in cases(path):
        centers = int(case.get("hp_num_centers", 1))
        rows, width = case["weight"].shape
        loss = NormSoftmax(
            rows // centers,
            width,
            float(case["hp_temperature"]),
            centers,
            temperature_centers=float(case.get("hp_temperature_centers", 0.1)),
            level=int(case.get("level", case.get("hp_level", 0))),
            normalize=False,
        )
        expected = {
            "loss": case["loss"],
            "x": case["grad_embeddings"],
            "proxies": case["grad_weight"],
        }
        check(
            with_proxies(loss, case["weight"]), case["embeddings"], case["labels"], expected, 1e-7
        )


@pytest.mark.parametrize("number", range(3))
def test_norm_softmax_is_nsm(number):
    case = load(f"smoothap/nsm_{number}")
    loss = NormSoftmax(*case["W"].shape, float(case["temperature"]), normalize=False)
    expected = {"loss": case["loss"], "x": case["grad"], "proxies": case["grad_W"]}
    check(with_proxies(loss, case["W"]), case["x"], case["labels"], expected, 1e-9)
    check_single(loss, case["x"], case["labels"], case)


@pytest.mark.parametrize(
    "path", ["norm_softmax", "norm_softmax_repo_t005", "positive_proxy_early_ce20"]
)
def test_norm_softmax_is_pp_and_its_sibling(path):
    file = load(f"raml_pp/{path}")
    temperature = float(file["temperature"]) if "temperature" in file else 1 / float(file["scale"])
    for number in range(5):
        case = {k.removeprefix(f"c{number}_"): v for k, v in file.items()}
        loss = NormSoftmax(*case["w"].shape, temperature, normalize=False)
        expected = {"loss": case["loss"], "x": case["gx"], "proxies": case["gw"]}
        check(with_proxies(loss, case["w"]), case["x"], case["y"], expected, 1e-9)


def test_arcface_is_suprank():
    for _, case in cases("suprank/suprank_arcface"):
        smoothing = float(case.get("hp_ls_eps", 0))
        loss = ArcFace(
            *case["weight"].shape,
            scale=float(case["hp_s"]),
            margin=float(case["hp_m"]),
            easy_margin=bool(case.get("hp_easy_margin", False)),
            label_smoothing=smoothing,
            level=int(case["level"]),
        )
        expected = {
            "loss": case["loss"],
            "x": case["grad_embeddings"],
            "proxies": case["grad_weight"],
        }
        # With smoothing the original's one-hot is float32.
        check(
            with_proxies(loss, case["weight"]),
            case["embeddings"],
            case["labels"],
            expected,
            1e-6 if smoothing else 1e-7,
        )


def test_arcface_smoothing_of_targets_is_cross_entropys_own():
    torch.manual_seed(0)
    loss = ArcFace(5, 4, margin=0.0, label_smoothing=0.2, smoothing="targets").double()
    plain = NormSoftmax(5, 4, temperature=1 / 30).double()
    plain.load_state_dict(loss.state_dict())
    x, y = torch.randn(6, 4, dtype=F64), torch.randint(0, 5, (6,))
    logs = torch.log_softmax(plain.cosines(torch.nn.functional.normalize(x, dim=1)) * 30, dim=1)
    expected = -(0.8 * logs.gather(1, y[:, None]).squeeze(1) + 0.2 * logs.mean(dim=1)).mean()
    assert loss(x, y).item() == pytest.approx(expected.item(), rel=1e-12)
    with pytest.raises(ConfigError, match="Did you mean 'targets'"):
        ArcFace(5, 4, smoothing="target")


def test_arcface_has_a_finite_gradient_on_its_proxy():
    loss = ArcFace(3, 4)
    x = loss.proxies.detach().clone().requires_grad_()
    loss(x, torch.arange(3)).backward()
    assert torch.isfinite(x.grad).all() and torch.isfinite(loss.proxies.grad).all()


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("name", ["ams", "softams", "softce"])
def test_additive_margin_and_cross_entropy_are_pss(name, number):
    case = load(f"smoothap/{name}_{number}")
    shape = case["W"].shape
    if name == "softce":
        loss = CrossEntropy(*shape, normalize=False)
    else:
        loss = AdditiveMarginSoftmax(
            *shape,
            scale=float(case["s"]),
            margin=float(case["m"]),
            normalize_proxies=False,
            bias=True,
            normalize=False,
        )
    loss = with_proxies(loss, case["W"], bias=case["b"])
    labels = case["labels"] if name == "ams" else case["soft_labels"]
    expected = {
        "loss": case["loss"],
        "x": case["grad"],
        "proxies": case["grad_W"],
        "bias": case["grad_b"],
    }
    check(loss, case["x"], labels, expected, 1e-9)
    check_single(loss, case["x"], labels, case)


def test_additive_margin_is_its_formula():
    torch.manual_seed(1)
    loss = AdditiveMarginSoftmax(4, 3, scale=7.0, margin=0.2).double()
    x, y = torch.randn(5, 3, dtype=F64), torch.tensor([3, 0, 1, 1, 2])
    unit, w = (torch.nn.functional.normalize(t, dim=1).tolist() for t in (x, loss.proxies))
    total = 0.0
    for row, own in zip(unit, y.tolist(), strict=True):
        z = [7 * sum(a * b for a, b in zip(row, proxy, strict=True)) for proxy in w]
        z[own] -= 7 * 0.2
        total += math.log(sum(map(math.exp, z))) - z[own]
    assert loss(x, y).item() == pytest.approx(total / 5, rel=1e-12)


@pytest.mark.parametrize("loss", [CrossEntropy, AdditiveMarginSoftmax])
def test_one_hot_soft_labels_are_labels(loss):
    torch.manual_seed(2)
    made, x, y = loss(6, 4), torch.randn(5, 4), torch.tensor([5, 0, 1, 1, 2])
    hard = made(x, y)
    assert made(x, torch.nn.functional.one_hot(y, 6).float()).item() == pytest.approx(hard.item())
    with pytest.raises(LookalikeError, match=r"soft labels must be \(5, 6\), not \(5, 5\)"):
        made(x, torch.zeros(5, 5))


def test_a_label_outside_the_classes_is_named():
    loss, x = NormSoftmax(4, 3), torch.randn(3, 3)
    with pytest.raises(LookalikeError, match="label 4 in row 1, but num_classes=4"):
        loss(x, torch.tensor([0, 4, 1]))
    with pytest.raises(LookalikeError, match="label -1 in row 2"):
        loss(x, torch.tensor([0, 3, -1]))
    with pytest.raises(LookalikeError, match="3 wide, but embedding_size=5"):
        NormSoftmax(4, 5)(x, torch.tensor([0, 1, 2]))
    with pytest.raises(ConfigError, match="num_classes=0, must be at least 1"):
        NormSoftmax(0, 5)


def test_the_level_picks_the_column():
    loss, x = NormSoftmax(4, 3, level=1), torch.randn(3, 3)
    labels = torch.tensor([[9, 0], [8, 3], [7, 3]])
    value = loss(x, labels)
    loss.level = 0
    assert value == loss(x, labels[:, 1])


def test_proxies_begin_as_published():
    torch.manual_seed(4)
    proxies = NormSoftmax(400, 64).proxies.detach()
    assert proxies.abs().max() <= 1 / 8
    np.testing.assert_allclose(proxies.std(), (1 / 8) / math.sqrt(3), rtol=0.02)
