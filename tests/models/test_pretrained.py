"""A backbone from a file: whose keys it may have, what is left out, how its images are prepared."""

import json

import huggingface_hub.constants
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

import lookalike as la
from lookalike.compose import compose
from lookalike.errors import ModelError
from lookalike.models import load, save
from lookalike.models.backbones import create_backbone
from lookalike.models.preprocessing import resolved, words
from lookalike.models.timm_weights import settings

SMALL = "test_efficientnet"  # of timm: 0.4 million parameters at 160 pixels


def drawn(network):
    """Weights and statistics such that a wrong map cannot hide."""
    torch.manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) * 0.2 + 0.1)
    return network.eval()


@pytest.fixture(scope="module")
def whole():
    """A network of timm with its classifier."""
    return drawn(timm.create_model(SMALL, pretrained=False, num_classes=10))


def same(network, whole, size=64):
    picture = torch.rand(1, 3, size, size)
    torch.testing.assert_close(network.eval()(picture), whole.forward_features(picture))


@pytest.mark.parametrize("ending", ["safetensors", "pth", "bin"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_timm_s_keys_fill_the_backbone_and_its_classifier_is_left_over(
    whole, tmp_path, ending, prefix
):
    file = tmp_path / f"weights.{ending}"
    state = {prefix + key: tensor for key, tensor in whole.state_dict().items()}
    save_file(state, file) if ending == "safetensors" else torch.save(state, file)
    built = create_backbone(SMALL, pretrained=str(file))
    same(built.network, whole)
    assert built.weights is not None
    assert sorted(built.weights.left_over) == [
        f"{prefix}classifier.bias",
        f"{prefix}classifier.weight",
    ]
    assert "left over" in str(built.weights)
    assert not built.weights.in_order


def test_a_lookalike_model_is_a_backbone_for_another_head(tmp_path):
    model = la.create_model("conv4", pretrained=False, embedding_size=8, size=32, pool="gem")
    drawn(model.backbone)
    save(model, tmp_path)
    seen = torch.ones(1, 3, 8, 8)
    for source in (tmp_path, tmp_path / "model.safetensors"):
        other = la.create_model("conv4", pretrained=source, embedding_size=None)
        assert torch.equal(other.backbone.eval()(seen), model.backbone.eval()(seen))
        assert other.weights_file.left_over == ("head.bias", "head.weight", "pool.p")
    assert la.create_model("conv4", pretrained=tmp_path).spec.size == 32  # as it says of itself


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("resnet18", "resnet18"), ("mobilenet_v2", "mobilenetv2_100"),
     ("efficientnet_b0", "efficientnet_b0")],
)  # fmt: skip
def test_torchvision_s_keys_give_torchvision_s_features(theirs, ours, tmp_path):
    network = drawn(getattr(torchvision.models, theirs)(weights=None))
    file = tmp_path / "weights.safetensors"  # which sorts its keys
    save_file(network.state_dict(), file)
    built = create_backbone(ours, pretrained=str(file))
    maps = []
    last = network.layer4 if theirs == "resnet18" else network.features
    last.register_forward_hook(lambda *args: maps.append(args[2]))
    picture = torch.rand(2, 3, 64, 64)
    network(picture)
    found = built.network.eval()(picture)
    torch.testing.assert_close(found, maps[0], rtol=1e-4, atol=1e-4)


def test_torchvision_s_transformer_has_another_s_names(tmp_path):
    small = {"image_size": 32, "patch_size": 16, "num_layers": 1, "num_heads": 2}
    network = drawn(torchvision.models.VisionTransformer(**small, hidden_dim=32, mlp_dim=64))
    torch.save(network.state_dict(), tmp_path / "vit.pth")
    shape = {"img_size": 32, "depth": 1, "num_heads": 2, "embed_dim": 32, "mlp_ratio": 2}
    built = create_backbone("vit_tiny_patch16_224", pretrained=str(tmp_path / "vit.pth"), **shape)
    seen = []
    network.encoder.register_forward_hook(lambda *args: seen.append(args[2]))
    picture = torch.rand(1, 3, 32, 32)
    network(picture)
    torch.testing.assert_close(built.network.eval()(picture), seen[0], rtol=1e-4, atol=1e-4)


def test_another_network_s_weights_are_refused_with_what_differs(tmp_path, whole):
    big = timm.create_model("resnet34", pretrained=False)
    save_file(big.state_dict(), tmp_path / "resnet34.safetensors")
    with pytest.raises(ModelError, match=r"resnet34\.safetensors.*resnet18: left over layer1\.2"):
        create_backbone("resnet18", pretrained=str(tmp_path / "resnet34.safetensors"))
    save_file(whole.state_dict(), tmp_path / "small.safetensors")
    with pytest.raises(ModelError, match="tensors of other names, such as"):
        create_backbone("conv4", pretrained=str(tmp_path / "small.safetensors"))
    with pytest.raises(ModelError, match="there is no such file"):
        create_backbone("conv4", pretrained=str(tmp_path / "nothing.pth"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ModelError, match=r"give a \.safetensors file or a checkpoint"):
        create_backbone("conv4", pretrained=str(tmp_path / "notes.txt"))


# ── without a network ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def offline(monkeypatch):
    """A machine on which no name resolves."""

    def nothing(*_args, **_options):
        raise OSError("no route to host")

    monkeypatch.setattr("socket.getaddrinfo", nothing)
    monkeypatch.setattr("urllib.request.getproxies", dict)


def test_weights_out_of_reach_name_three_ways(offline):
    with pytest.raises(ModelError, match=r"(?s)pretrained=FILE.*HF_HOME.*pretrained=false"):
        la.create_model("resnet18")


def test_timm_s_overlay_needs_no_network(offline, whole, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(whole.state_dict(), file)
    overlay = {"file": str(file), "num_classes": 10}
    model = la.create_model(SMALL, options={"pretrained_cfg_overlay": overlay})
    same(model.backbone, whole)
    about = {"file": str(file), "crop_pct": 1.0, "input_size": [3, 96, 96], "mean": [0.1] * 3}
    other = la.create_model(SMALL, options={"pretrained_cfg_overlay": overlay | about})
    assert (other.spec.size, other.spec.evaluation["resize"]) == (96, 96)
    assert other.mean.flatten()[0] == pytest.approx(25.5)


def test_the_hub_s_cache_needs_no_network(offline, whole, tmp_path, monkeypatch):
    repository = settings(SMALL)["hf_hub_id"]
    entry = tmp_path / f"models--{repository.replace('/', '--')}"
    snapshot = entry / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text("0123")
    published = timm.create_model(SMALL, pretrained=False)
    published.load_state_dict(drawn(published).state_dict())
    save_file(published.state_dict(), snapshot / "model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    same(la.create_model(SMALL).backbone, published)


# ── how images are prepared ─────────────────────────────────────────────────────────────────────


def test_a_pretrained_backbone_says_how_its_images_are_prepared(whole, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file(whole.state_dict(), file)
    about = settings(SMALL)
    model = la.create_model(SMALL, pretrained=file)
    size, share = about["input_size"][-1], about["crop_pct"]
    assert model.spec.size == size == 160
    assert model.spec.evaluation == {"interpolation": "bicubic", "resize": int(size / share)}
    torch.testing.assert_close(model.mean.flatten(), torch.tensor(about["mean"]) * 255)
    said = la.create_model(
        SMALL, pretrained=file, size=96, evaluation={}, mean=[0.5] * 3, std=[1] * 3
    )
    assert (said.spec.size, said.spec.evaluation) == (96, {})
    assert said.mean.flatten().tolist() == [127.5] * 3
    assert "mean 0.5 0.5 0.5, std 1 1 1" in words(said)
    save(said, tmp_path / "kept")
    assert load(tmp_path / "kept").std.flatten().tolist() == [255.0] * 3
    scratch = la.create_model(SMALL, pretrained=False)
    assert (scratch.spec.size, scratch.spec.evaluation) == (224, {})


def transform(*overrides):
    return resolved(compose([f"model={SMALL}", *overrides])).transform


def test_a_run_prepares_images_as_the_backbone_does_unless_told_otherwise():
    file = "model.pretrained=weights.safetensors"
    own = transform(file)
    assert (own.size, own.evaluation["interpolation"], own.train["interpolation"]) == (
        160, "bicubic", "bicubic",
    )  # fmt: skip
    told = transform(file, "transform.size=96", "transform.evaluation.interpolation=bilinear")
    assert told.evaluation == {"interpolation": "bilinear", "resize": int(96 / 0.95)}
    assert told.train["interpolation"] == "bilinear"
    assert transform(file, "transform.evaluation.crop=false").evaluation == {
        "interpolation": "bicubic", "crop": False,
    }  # fmt: skip
    photo = transform(file, "transform=photo")
    assert (photo.size, photo.evaluation, photo.train) == (224, {}, {})
    scratch = transform("model.pretrained=false")
    assert (scratch.size, scratch.evaluation, scratch.train) == (224, {}, {})


@pytest.mark.slow
def test_the_published_recipes_keep_their_own_transforms():
    from lookalike.compose import choices

    following = [r for r in choices("recipe") if compose([f"recipe={r}"]).transform.as_backbone]
    assert all(name.startswith("photos/") for name in following)


@pytest.mark.slow
def test_the_real_backbone_finds_unseen_flowers(data_root, tmp_path):
    weights = data_root / "weights" / "tf_efficientnet_lite0.safetensors"
    if not weights.is_file():
        pytest.skip("no pretrained weights beside the data")
    model = la.create_model("tf_efficientnet_lite0", pretrained=weights, embedding_size=None)
    assert json.loads(json.dumps(model.spec.evaluation)) == {
        "interpolation": "bicubic",
        "resize": 256,
    }
    assert model.mean.flatten().tolist() == [127.5] * 3
