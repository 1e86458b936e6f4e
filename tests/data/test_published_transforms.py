"""Every transform of the five systems, against its own pipeline on Pillow images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as v1

from lookalike.compose import compose
from lookalike.data.transforms import evaluation, train

pytestmark = pytest.mark.slow

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


BIG_CROP = [v1.Resize(288), rrc(256), FLIP]
OWN_CROP = [v1.RandomResizedCrop(224), FLIP]
USUAL = [v1.Resize(256), v1.CenterCrop(224)]
BICUBIC = v1.InterpolationMode.BICUBIC
# transform=NAME → their training steps, their evaluation steps
SETS = {
    "photo roadmap_cub roadmap_inat suprank_cub suprank_inat suprank_dyml": (
        [rrc(224), FLIP], USUAL,
    ),
    "roadmap_sop suprank_sop": (
        [v1.Resize(256), rrc(224), FLIP], [v1.Resize((256, 256)), v1.CenterCrop(224)],
    ),
    "roadmap_sop_big": (BIG_CROP, [v1.Resize((288, 288)), v1.CenterCrop(256)]),
    "roadmap_cub_big": ([rrc(256), FLIP], [v1.Resize(288), v1.CenterCrop(256)]),
    "roadmap_inshop_big": ([rrc(256), FLIP], [v1.Resize((288, 288)), v1.CenterCrop(256)]),
    "suprank_gldv2": ([rrc(224), FLIP], [v1.Resize((224, 224))]),
    "suprank_gldv2_bench": ([v1.Resize((1024, 1024)), FLIP], [v1.Resize((1024, 1024))]),
    "smooth_ap pp": (OWN_CROP, USUAL),
    "norm_softmax": (
        [v1.Resize((256, 256)), v1.RandomCrop(224), FLIP],
        [v1.Resize((256, 256)), v1.CenterCrop(224)],
    ),
    "raml_sym": (OWN_CROP, None),  # its evaluation: the golden below
    "raml_teacher": ([v1.RandomResizedCrop(448), FLIP], None),
    "deit": (
        [v1.RandomResizedCrop(224, interpolation=BICUBIC), FLIP],
        [v1.Resize(256, BICUBIC), v1.CenterCrop(224)],
    ),
}  # fmt: skip
NAMED = [(name, *steps) for names, steps in SETS.items() for name in names.split()]


def named(name):
    c = compose([f"transform={name}"]).transform
    return train(c.size, **c.train), evaluation(c.size, **c.evaluation)


@pytest.mark.parametrize(("name", "training", "testing"), NAMED, ids=[n for n, _, _ in NAMED])
def test_the_named_sets_are_those_of_the_papers(name, training, testing):
    ours, ours_evaluated = named(name)
    torch.manual_seed(3)
    want = v1.Compose(training)(photo())
    assert_equal_within_rounding(ours(as_tensor(photo()), seed=3), want)
    if testing:
        got = ours_evaluated(as_tensor(photo()))
        assert_equal_within_rounding(got, v1.Compose(testing)(photo()))


def test_the_jitter_of_raml_is_torchvision_s_within_rounding():
    """The same crop, flip, order and strengths; Pillow turns hues in whole numbers of 256."""
    torch.manual_seed(3)
    theirs = [v1.RandomResizedCrop(224), FLIP, v1.ColorJitter(0.4, 0.4, 0.4, 0.1)]
    want = np.asarray(v1.Compose(theirs)(photo())).astype(int)
    got = named("raml")[0](as_tensor(photo()), seed=3).permute(1, 2, 0).numpy().astype(int)
    off = np.abs(got - want)
    assert np.median(off) <= 1
    assert np.quantile(off, 0.99) <= 8


@pytest.mark.parametrize("case", range(4))
@pytest.mark.parametrize("name", ["raml", "raml_sym", "raml_teacher"])
def test_the_named_evaluation_of_raml_is_the_golden_one(name, case):
    golden = np.load(GOLDEN, allow_pickle=False)
    c = compose([f"transform={name}", f"transform.size={golden[f'c{case}_imsize']}"]).transform
    pixels = evaluation(c.size, **c.evaluation)(as_tensor(golden[f"c{case}_img"]))
    mean, std = ([[[0.485]], [[0.456]], [[0.406]]], [[[0.229]], [[0.224]], [[0.225]]])
    got = (pixels.numpy() / 255 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(got, golden[f"c{case}_out"], atol=1e-5)


def as_tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
