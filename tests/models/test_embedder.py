from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import lookalike
from lookalike.errors import ConfigError, DataError, ModelError, NumericsError, RunError
from lookalike.models import load, save
from lookalike.models.create import create_model
from lookalike.models.embedder import normalised
from lookalike.models.encode import embed


@pytest.fixture
def model():
    torch.manual_seed(0)
    return lookalike.create_model("conv4", pretrained=False, embedding_size=8, size=32).eval()


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(5)]


@pytest.mark.parametrize(
    ("backbone", "options", "pool"),
    [
        ("resnet18", {}, "gem"),
        ("vit_tiny_patch16_224", {"img_size": 64}, "token"),
        ("vit_tiny_patch16_224", {"img_size": 64}, "avg"),
        ("swin_tiny_patch4_window7_224", {"img_size": 64, "window_size": 2}, "max"),
        ("mobilenetv3_small_100", {}, "avgmax"),
    ],
)
def test_any_timm_backbone_gives_unit_vectors(backbone, options, pool):
    model = lookalike.create_model(
        backbone, pretrained=False, embedding_size=16, pool=pool, options=options, head_norm=True
    )
    out = model(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    assert out.shape == (2, 16)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2))


def test_without_head_the_pooled_features_come_out():
    model = lookalike.create_model("conv4", pretrained=False, embedding_size=None)
    assert model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 64)


def test_uint8_and_float_pictures_embed_alike(model):
    x = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(model(x), model(x.float()))


def test_a_model_saved_is_the_model_loaded(model, pictures, tmp_path):
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.spec == model.spec
    np.testing.assert_array_equal(again.encode(pictures), model.encode(pictures))


def test_encode_takes_files_arrays_and_pil_alike(model, pictures, tmp_path):
    paths = []
    for i, picture in enumerate(pictures):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(picture).save(paths[-1])
    expected = model.encode(pictures)
    assert expected.shape == (5, 8)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(model.encode(paths), expected)
    np.testing.assert_array_equal(model.encode([Image.fromarray(p) for p in pictures]), expected)
    # Another batch size is another order of summation inside the convolutions.
    np.testing.assert_allclose(model.encode(paths, batch_size=2), expected, atol=1e-6)
    np.testing.assert_allclose(model.encode(paths[3]), expected[3:4], atol=1e-6)
    assert model.encode([]).shape == (0, 8)


def test_encode_leaves_the_mode_as_it_was(model, pictures):
    model.train()
    model.encode(pictures)
    assert model.training


def test_encode_names_a_broken_file(model, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        model.encode([bad])
    with pytest.raises(DataError, match="Image 0 is float64"):
        model.encode([np.zeros((4, 4, 3))])


def test_nan_weights_are_refused_with_the_rows(model, pictures):
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))
    with pytest.raises(NumericsError, match=r"5 images of a batch of 5"):
        model.encode(pictures)


def test_frozen_batch_norm_keeps_its_statistics_but_trains_its_affine():
    model = lookalike.create_model("conv4", pretrained=False, freeze_batch_norm=True).train()
    norm = model.backbone[1]
    before = norm.running_mean.clone()
    model(torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)).sum().backward()
    assert torch.equal(norm.running_mean, before)
    assert norm.weight.grad is not None


def test_weights_of_another_model_say_which_keys_differ(model, tmp_path):
    save(model, tmp_path / "m")
    about = json.loads((tmp_path / "m" / "model.json").read_text())
    about["spec"]["embedding_size"] = 16
    (tmp_path / "m" / "model.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match=r"head\.weight is \(8, 64\) there and \(16, 64\) here"):
        load(tmp_path / "m")


def test_weights_cut_short_are_refused(model, tmp_path):
    save(model, tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match="changed, or cut short"):
        load(tmp_path / "m")


def test_no_model_says_what_to_give(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="holds no model"):
        load(tmp_path)


def test_a_full_disk_keeps_the_model_that_was_there(model, tmp_path, monkeypatch):
    save(model, tmp_path / "m")
    before = (tmp_path / "m" / "model.safetensors").read_bytes()

    def full(state, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(RunError, match="No space left"):
        save(model, tmp_path / "m")
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    load(tmp_path / "m")


def test_unreachable_weights_name_the_option(monkeypatch):
    import timm

    def unreachable(*args, pretrained=False, **options):
        raise OSError("no route to host")

    monkeypatch.setattr("lookalike.models.timm_weights._online", lambda about: True)
    original = timm.create_model
    monkeypatch.setattr(
        timm,
        "create_model",
        lambda *a, pretrained=False, **k: unreachable() if pretrained else original(*a, **k),
    )
    with pytest.raises(ModelError, match=r"no route to host.*model\.pretrained=false"):
        lookalike.create_model("resnet10t")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backbone": "resnt18", "pretrained": False}, "Did you mean resnet18"),
        ({"backbone": "conv4"}, "no published weights"),
        ({"backbone": "conv4", "pretrained": False, "pool": "token"}, "no class token"),
        ({"backbone": "resnet18", "pretrained": False, "options": {"wdith": 3}}, "wdith"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        lookalike.create_model(**arguments)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("last", [False, True])
def test_pictures_are_normalised_channel_by_channel_and_left_as_they_are(kind, last):
    pictures = torch.randint(0, 256, (2, 3, 5, 4)).to(kind)
    if last:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    before = pictures.clone()
    mean, std = 1 + 254 * torch.rand(2, 3, 1, 1)
    found = normalised(pictures, mean, std)
    for b, c, y, x in np.ndindex(*pictures.shape):
        wanted = (before[b, c, y, x].float() - mean[c, 0, 0]) / std[c, 0, 0]
        assert found[b, c, y, x] == wanted
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pictures, before)


def test_dropout_thins_pooled_features_in_training_alone():
    torch.manual_seed(0)
    model = create_model("conv4", pretrained=False, embedding_size=None, dropout=0.5, size=32)
    pictures = torch.randint(0, 255, (64, 3, 32, 32), dtype=torch.uint8)
    thinned, whole = model.train().features(pictures), model.eval().features(pictures)
    assert (whole > 0).double().mean() > 0.9
    gone = ((thinned == 0) & (whole > 0)).double().mean()
    assert 0.4 < gone < 0.6
    assert torch.equal(model.eval().features(pictures), whole)
    for share in (1.0, -0.1):
        with pytest.raises(ConfigError, match=f"model.dropout={share}: a share, at least 0"):
            create_model("conv4", pretrained=False, dropout=share)


def test_a_width_of_nothing_is_refused_by_name():
    with pytest.raises(
        ConfigError, match="model.embedding_size=0: a width of at least 1; write null"
    ):
        create_model("conv4", pretrained=False, embedding_size=0)


def test_float64_is_float64_from_pixel_to_vector():
    model = create_model("conv4", pretrained=False, embedding_size=8, head_norm=True, size=32)
    pictures = torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8)
    single = model.eval()(pictures)
    double = model.double()(pictures)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert model.mean.flatten().tolist() == [0.485 * 255, 0.456 * 255, 0.406 * 255]
    assert 0 < (single - double).abs().max() < 1e-5
    batches = [{"pictures": pictures}]
    again = embed(
        create_model("conv4", pretrained=False, size=32), batches, precision=torch.float64
    )
    assert again.dtype == np.float32
