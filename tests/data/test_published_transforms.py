"""Every transform of the five systems, against its own pipeline on Pillow pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as v1

from lookalike.data.transforms import evaluation, train

GOLDEN = Path(__file__).parents[1] / "golden" / "raml_pp" / "raml_eval_transform.npz"
PUBLISHED_CROP = {"scale": (0.16, 1.0), "ratio": (0.75, 1.33)}


def photo(height=300, width=420):
    small = np.random.default_rng(1).integers(0, 256, (30, 42, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def assert_equal_within_rounding(result, image):
    off = np.abs(result.permute(1, 2, 0).numpy().astype(int) - np.asarray(image).astype(int))
    assert off.shape[:2] == np.asarray(image).shape[:2]
    assert off.max() <= 2 and (off > 1).mean() < 1e-3


def rrc(size, **options):
    return v1.RandomResizedCrop(size, **(options or PUBLISHED_CROP))


FLIP = v1.RandomHorizontalFlip()
# name → (ours, theirs, in their order)
TRAIN = {
    "roadmap cub, inaturalist; happier; suprank cub, inat": (train(224), [rrc(224), FLIP]),
    "cub_big, inshop_big": (train(256), [rrc(256), FLIP]),
    "sop": (train(224, resize=256), [v1.Resize(256), rrc(224), FLIP]),
    "sop_big": (train(256, resize=288), [v1.Resize(288), rrc(256), FLIP]),
    "gldv2": (train((224, 224)), [rrc((224, 224)), FLIP]),
    "gldv2_bench": (train(320, scale=None), [v1.Resize((320, 320)), FLIP]),
    "smooth-ap, pp": (
        train(224, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
        [rrc(224, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)), FLIP],
    ),
    "raml sym": (
        train(112, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)), [v1.RandomResizedCrop(112), FLIP],
    ),
    "norm-softmax": (
        train(224, scale=None, resize=(256, 256)),
        [v1.Resize((256, 256)), v1.RandomCrop(224), FLIP],
    ),
}  # fmt: skip
TEST = {
    "roadmap cub; pp; smooth-ap": (evaluation(224), [v1.Resize(256), v1.CenterCrop(224)]),
    "cub_big": (evaluation(256, resize=288), [v1.Resize(288), v1.CenterCrop(256)]),
    "sop": (evaluation(224, resize=(256, 256)), [v1.Resize((256, 256)), v1.CenterCrop(224)]),
    "sop_big, inshop_big": (
        evaluation(256, resize=(288, 288)), [v1.Resize((288, 288)), v1.CenterCrop(256)],
    ),
    "sfm120k, gldv2": (evaluation(224, crop=False), [v1.Resize((224, 224))]),
    "gldv2_bench": (evaluation(640, crop=False), [v1.Resize((640, 640))]),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAIN)
@pytest.mark.parametrize("seed", [0, 1])
def test_published_training_transforms(name, seed):
    ours, theirs = TRAIN[name]
    torch.manual_seed(seed)
    want = v1.Compose(theirs)(photo())
    assert_equal_within_rounding(ours(as_tensor(photo()), seed=seed), want)


@pytest.mark.parametrize("name", TEST)
@pytest.mark.parametrize("shape", [(300, 420), (420, 300), (256, 256)])
def test_published_evaluation_transforms(name, shape):
    ours, theirs = TEST[name]
    assert_equal_within_rounding(ours(as_tensor(photo(*shape))), v1.Compose(theirs)(photo(*shape)))


@pytest.mark.parametrize("case", range(4))
def test_raml_evaluation_is_the_golden_one(case):
    golden = np.load(GOLDEN, allow_pickle=False)
    picture, size = golden[f"c{case}_img"], int(golden[f"c{case}_imsize"])
    transform = evaluation(size, interpolation="lanczos", rounding="nearest")
    width, height = golden[f"c{case}_rescaled_wh"]
    assert transform.steps[0].target(*picture.shape[:2]) == (height, width)
    pixels = transform(as_tensor(picture)).float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    np.testing.assert_allclose((pixels - mean) / std, golden[f"c{case}_out"], atol=1e-6)


@pytest.mark.parametrize("size", [224, 448, 100, 33])
@pytest.mark.parametrize("shape", [(333, 500), (500, 333), (64, 97)])
def test_raml_rescaling_rule(size, shape):
    transform = evaluation(size, interpolation="lanczos", rounding="nearest")
    ratio = (size + size / 7) / min(shape)
    height, width = transform.steps[0].target(*shape)
    assert (
        abs(height - ratio * shape[0]) <= 0.5 + 1e-9 and abs(width - ratio * shape[1]) <= 0.5 + 1e-9
    )
    assert transform(as_tensor(photo(*shape))).shape == (3, size, size)


def as_tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
