"""Checkpoints as the five systems wrote them, made by stand-ins of their networks."""

import argparse
import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import lookalike
from lookalike.errors import DataError, ModelError
from lookalike.models.weights import load_into

pytestmark = pytest.mark.slow

SIZE = 8


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None)
    for name, tensor in network.state_dict().items():
        if "running" in name or "bn" in name:
            tensor.copy_(torch.rand_like(tensor.float()) * 0.5 + 0.5)
    return network.eval()


@pytest.fixture(scope="module")
def pictures():
    return torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)


class GeM(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 2.5))

    def forward(self, x):
        return x.clamp(min=1e-6).pow(self.p).mean((2, 3)).pow(1 / self.p)


class Raml(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.backbone = nn.Sequential(*list(network.children())[:-2])
        self.pool, self.whiten = GeM(), nn.Linear(512, SIZE)

    def forward(self, x):
        return F.normalize(self.whiten(F.normalize(self.pool(self.backbone(x)))))


class Roadmap(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.backbone = nn.Sequential(*list(network.children())[:-2])
        self.fc = nn.Linear(512, SIZE)

    def forward(self, x):
        return F.normalize(self.fc(F.layer_norm(self.backbone(x).amax((2, 3)), (512,))))


class SupRank(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.backbone = nn.Sequential(*list(network.children())[:-2])
        self.pooling, self.fc = GeM(), nn.Linear(512, SIZE)
        norm = nn.LayerNorm(512, elementwise_affine=False)
        self.head = nn.Sequential(self.pooling, nn.Flatten(), norm, self.fc)

    def forward(self, x):
        return F.normalize(self.head(self.backbone(x)))


class SmoothAP(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.model = nn.Module()
        for name, child in list(network.named_children())[:-2]:
            self.model.add_module(name, child)
        self.model.last_linear = nn.Linear(512, SIZE)
        self.layer_blocks = nn.ModuleList([getattr(self.model, f"layer{n}") for n in range(1, 5)])
        self.linear = nn.Linear(SIZE, 10)

    def forward(self, x):
        for child in list(self.model.children())[:-1]:
            x = child(x)
        return F.normalize(self.model.last_linear(x.mean((2, 3))))


class PositiveProxy(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.backbone = nn.Module()
        for name, child in list(network.named_children())[:-2]:
            self.backbone.add_module(name, child)
        self.refactor = nn.Linear(512, SIZE, bias=False)
        self.fc = nn.Linear(SIZE, 10, bias=False)

    def forward(self, x):
        for child in self.backbone.children():
            x = child(x)
        return F.normalize(self.refactor(F.layer_norm(x.amax((2, 3)), (512,))))


class FirstPositiveProxy(PositiveProxy):
    """Earlier, the children were numbered."""

    def __init__(self, network):
        super().__init__(network)
        self.features = nn.Sequential(*self.backbone.children())
        del self.backbone

    def forward(self, x):
        x = self.features(x)
        return F.normalize(self.refactor(F.layer_norm(x.amax((2, 3)), (512,))))


class Settings(dict):
    """Authors' classes in a checkpoint, which nobody here has."""


def ran(*_):
    raise AssertionError("code of a checkpoint was run")


class Evil:
    def __reduce__(self):
        return ran, ()


# system → its network, our model's options, what its code saves beside the state
SYSTEMS = {
    "raml": (Raml, {"pool": "gem", "head_norm": "l2"}, lambda s: {
        "meta": {"architecture": "resnet18", "mean": [0.485]}, "state_dict": s, "epoch": 3,
        "max_map": np.float64(40.8)}),
    "roadmap": (Roadmap, {"pool": "max", "head_norm": True}, lambda s: {
        "net_state": s, "config": Settings(a=Evil()), "NP_STATE": np.random.get_state(),
        "RANDOM_STATE": random.getstate(), "TORCH_STATE": torch.get_rng_state(), "epoch": 3}),
    "suprank": (SupRank, {"pool": "gem", "head_norm": "layer"}, lambda s: {
        "net_state": s, "config": Settings(loss=[Settings()]), "scaler_state": {}}),
    "smooth_ap": (SmoothAP, {"pool": "avg"}, lambda s: {
        "state_dict": s, "opt": argparse.Namespace(lr=1e-5), "progress": Settings()}),
    "positive_proxy": (PositiveProxy, {"pool": "max", "head_norm": True, "head_bias": False},
                       lambda s: s),
    "first_positive_proxy": (FirstPositiveProxy,
                             {"pool": "max", "head_norm": True, "head_bias": False}, lambda s: s),
}  # fmt: skip


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_checkpoint_gives_its_own_embeddings(system, old, resnet, pictures, tmp_path):
    theirs, options, saved = SYSTEMS[system]
    network = theirs(resnet).eval()
    state = OrderedDict(
        (f"module.{key}" if old else key, tensor)
        for key, tensor in network.state_dict().items()
        if not (old and key.endswith("num_batches_tracked"))  # younger than some checkpoints
    )
    file = tmp_path / "model_best.pth.tar"
    torch.save(saved(state), file, _use_new_zipfile_serialization=not old)
    model = lookalike.create_model(
        "resnet18", pretrained=False, embedding_size=SIZE, **options
    ).eval()
    load_into(model, file)
    x = (pictures / 255 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(model(pictures), network(x), atol=2e-5, rtol=0)


def test_a_transformer_alone_or_in_a_net(tmp_path):
    options = {"depth": 1, "embed_dim": 24, "num_heads": 2}
    model, other = (
        lookalike.create_model(
            "vit_base_patch16_224", pretrained=False, embedding_size=None, options=options
        )
        for _ in range(2)
    )
    torch.save(model.backbone.state_dict(), tmp_path / "dino.pth")
    load_into(other, tmp_path / "dino.pth")
    torch.testing.assert_close(other.state_dict(), model.state_dict())
    torch.save({"state_dict": {f"model.{k}": v for k, v in model.backbone.state_dict().items()}},
               tmp_path / "pss.pth.tar")  # fmt: skip
    load_into(other, tmp_path / "pss.pth.tar")
    torch.testing.assert_close(other.state_dict(), model.state_dict())


def test_bn_inception_of_positive_proxy(tmp_path):
    model = lookalike.create_model(
        "bn_inception", pretrained=False, embedding_size=SIZE, head_bias=False, pool="max"
    )
    state = {"refactor.weight": model.head.weight, "fc.weight": torch.ones(98, SIZE)}
    for key, tensor in model.backbone.state_dict().items():
        layer, name, part, kind = key.split(".")
        state[f"backbone.{layer}_{name}{'_bn' if part == 'bn' else ''}.{kind}"] = tensor
    torch.save(state, tmp_path / "car_inception_512_model.pth")
    other = lookalike.create_model(
        "bn_inception", pretrained=False, embedding_size=SIZE, head_bias=False, pool="max"
    )
    load_into(other, tmp_path / "car_inception_512_model.pth")
    torch.testing.assert_close(other.state_dict(), model.state_dict())


def test_what_is_no_checkpoint_or_of_another_network_is_named(resnet, tmp_path):
    model = lookalike.create_model("resnet18", pretrained=False, embedding_size=SIZE)
    file = tmp_path / "a.pth"
    file.write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match=r"a\.pth: no checkpoint of PyTorch, or a damaged one"):
        load_into(model, file)
    torch.save({"epoch": 3}, file)
    with pytest.raises(ModelError, match="holds no state of a network"):
        load_into(model, file)
    torch.save(Roadmap(torchvision.models.resnet34()).state_dict(), file)
    with pytest.raises(ModelError, match=r"of another model: left over backbone\.layer1\.2"):
        load_into(model, file)
    whole = tmp_path / "whole.pth"
    torch.save({"state_dict": Roadmap(resnet).state_dict()}, whole)
    file.write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"a\.pth: no checkpoint"):
        load_into(model, file)
    with pytest.raises(DataError, match="no such file"):
        load_into(model, tmp_path / "missing.pth")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("cub-S224r-T448r-resnet50-512-gem-w", "http://ptak.felk.cvut.cz/"),
        ("cub-448r-resnet50-512-gem-w.pth", r"cub-448r-resnet50-512-gem-w\.pth;"),
        ("pp/car_inception", "pan.baidu.com/s/1CBuOIOXmf_L8kUbIIhuLhw .code w66g"),
        ("dino_vitbase16_pretrain.pth", "dl.fbaipublicfiles.com"),
    ],
)
def test_a_published_name_says_where_to_get_the_file(name, where):
    model = lookalike.create_model("conv4", pretrained=False)
    with pytest.raises(ModelError, match=f"published weights, but no file here.*{where}"):
        load_into(model, name)
