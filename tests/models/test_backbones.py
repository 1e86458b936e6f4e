"""The networks that timm lacks, and networks of one's own."""

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

import lookalike
from lookalike.errors import ConfigError, ModelError
from lookalike.models import weights
from lookalike.models.backbones import create_backbone
from lookalike.models.networks.bn_inception import BNInception, own_names
from lookalike.models.networks.plain_deit import without_distillation


def randomised(network):
    """Weights and statistics such that a wrong map cannot hide."""
    torch.manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) * 0.5 + 0.1)
    return network


# Channels of every published layer: convolution → (in, out, kernel).
BN_INCEPTION = {
    "conv1_7x7_s2": (3, 64, 7),
    "conv2_3x3_reduce": (64, 64, 1),
    "conv2_3x3": (64, 192, 3),
    "inception_3c_3x3_reduce": (320, 128, 1),
    "inception_3c_3x3": (128, 160, 3),
    "inception_4a_1x1": (576, 224, 1),
    "inception_4d_double_3x3_2": (192, 192, 3),
    "inception_4e_double_3x3_1": (192, 256, 3),
    "inception_5a_pool_proj": (1056, 128, 1),
    "inception_5b_double_3x3_reduce": (1024, 192, 1),
}


def published(network):
    """A state of this network under the published names, as old as those weights."""
    state = {}
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        layer, name, part, kind = key.split(".")
        state[f"{layer}_{name}{'_bn' if part == 'bn' else ''}.{kind}"] = tensor
    return state | {"last_linear.weight": torch.ones(1000, 1024)}


def test_bn_inception_has_the_published_layers_and_loads_them():
    source = randomised(BNInception())
    state = published(source)
    for name, (before, after, kernel) in BN_INCEPTION.items():
        assert state[f"{name}.weight"].shape == (after, before, kernel, kernel)
        assert state[f"{name}_bn.running_var"].shape == (after,)
    # The whole network is published with 11,295,240 parameters, its classifier has 1,025,000.
    assert sum(p.numel() for p in source.parameters()) == 11_295_240 - 1_025_000
    network = BNInception()
    state["conv1_7x7_s2_bn.weight"] = state["conv1_7x7_s2_bn.weight"][None]  # as in some copies
    network.load_state_dict(own_names(state), strict=True)
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(network.eval()(x), source.eval()(x))


def test_bn_inception_sees_blue_first_in_0_to_255_less_its_mean():
    model = lookalike.create_model("bn_inception", pretrained=False, embedding_size=None)
    seen = []
    model.backbone.conv1.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    picture = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    model.eval()(picture)
    caffe = picture.float()[:, [2, 1, 0]] - torch.tensor([104.0, 117, 128])[:, None, None]
    torch.testing.assert_close(seen[0], caffe, atol=1e-4, rtol=0)


def test_googlenet_is_torchvision_s_with_its_rescaling():
    from torchvision.models import googlenet

    whole = googlenet(weights=None, aux_logits=False, transform_input=True, init_weights=False)
    randomised(whole).eval()
    maps = []
    whole.inception5b.register_forward_hook(lambda *args: maps.append(args[2]))
    picture = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    whole((picture / 255 - mean) / std)
    model = lookalike.create_model("googlenet", pretrained=False, embedding_size=None, pool="max")
    state = whole.state_dict()
    model.backbone.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc")})
    torch.testing.assert_close(
        model.eval().features(picture), maps[0].amax(dim=(2, 3)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("size", ["small", "base"])
def test_distilled_weights_fit_the_plain_body(size):
    options = {"depth": 1}
    distilled = timm.create_model(f"deit_{size}_distilled_patch16_224", **options)
    backbone = create_backbone(f"deit_{size}_distilled", pretrained=False, **options)
    plain = backbone.network
    with torch.no_grad():
        distilled.pos_embed.copy_(torch.rand_like(distilled.pos_embed))
        distilled.dist_token.fill_(7.0)
    plain.load_state_dict(without_distillation(distilled.state_dict()), strict=True)
    assert backbone.prefix_tokens == 1
    torch.testing.assert_close(plain.pos_embed[:, 0], distilled.pos_embed[:, 0])
    torch.testing.assert_close(plain.pos_embed[:, 1:], distilled.pos_embed[:, 2:])
    assert plain(torch.rand(1, 3, 224, 224)).shape == (1, 197, plain.num_features)


class Tiny(nn.Module):
    """A network of one's own."""

    num_features = 6
    mean = (0.5, 0.5, 0.5)

    def __init__(self, pretrained: bool = False, stride: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, stride, stride)
        if pretrained:
            nn.init.ones_(self.conv.weight)

    def forward(self, x):
        return self.conv(x)


def test_a_network_of_one_s_own_comes_by_its_import_path(tmp_path):
    path = f"{__name__}.Tiny"
    model = lookalike.create_model(path, pretrained=True, embedding_size=4, options={"stride": 8})
    assert model.backbone.conv.weight.unique().tolist() == [1.0]
    assert model.backbone.conv.stride == (8, 8)
    np.testing.assert_allclose(model.mean.flatten(), 127.5)
    np.testing.assert_allclose(model.std.flatten(), np.multiply(255, [0.229, 0.224, 0.225]))
    from lookalike.models.weights import load, save

    save(model, tmp_path)
    picture = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    torch.testing.assert_close(load(tmp_path)(picture), model.eval()(picture))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mixer_s16_224"])
def test_a_network_of_one_size_is_built_for_the_size_it_is_given(name, tmp_path):
    images = torch.zeros(1, 3, 40, 40, dtype=torch.uint8)
    model = lookalike.create_model(name, pretrained=False, embedding_size=4, size=40).eval()
    assert model.spec.options == {"img_size": 40}
    found = model(images)
    weights.save(model, tmp_path)
    torch.testing.assert_close(weights.load(tmp_path)(images), found)


def test_weights_in_a_file_may_be_those_of_another_size(tmp_path):
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    nn.init.normal_(network.pos_embed)
    file = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), file)
    model = lookalike.create_model("vit_tiny_patch16_224", pretrained=str(file), size=64)
    network.set_input_size(img_size=64)
    assert model.backbone.pos_embed.shape == (1, 17, 192)
    torch.testing.assert_close(model.backbone.pos_embed, network.pos_embed)
    kept = tmp_path / "kept.safetensors"
    save_file({k: v.contiguous() for k, v in model.backbone.state_dict().items()}, kept)
    again = lookalike.create_model("vit_tiny_patch16_224", pretrained=str(kept), size=64)
    torch.testing.assert_close(again.backbone.pos_embed, network.pos_embed)


def test_images_that_a_network_cannot_take_are_refused_by_their_size():
    model = lookalike.create_model("maxvit_nano_rw_256", pretrained=False, size=112)
    with pytest.raises(ConfigError, match=r"images of 112 × 112 pixels do not fit .*window \(3\)"):
        model(torch.zeros(1, 3, 112, 112, dtype=torch.uint8))


def not_a_network(pretrained=False):
    return "text"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no.such.Module", "cannot import 'no.such'"),
        (f"{__name__}.Missing", "has no 'Missing' to call"),
        (f"{__name__}.not_a_network", "is an nn.Module with num_features"),
    ],
)
def test_what_is_no_backbone_is_refused(name, words):
    with pytest.raises(ConfigError, match=words):
        create_backbone(name, pretrained=False)


@pytest.mark.parametrize("name", ["bn_inception", "googlenet", "deit_small_distilled"])
def test_weights_out_of_reach_name_the_option(name, monkeypatch):
    def unreachable(*args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("lookalike.models.networks.plain_deit.create_with_weights", unreachable)
    with pytest.raises(ModelError, match=r"no route to host.*model\.pretrained=false"):
        create_backbone(name)
