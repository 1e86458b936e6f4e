import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as v1

from lookalike.compose import compose
from lookalike.data.transforms import build_transform, evaluation, picture_seed, train
from lookalike.errors import ConfigError


def photo(height=90, width=130, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (9, 13, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def pixels(image):
    return np.asarray(image).astype(int)


def assert_equal_within_rounding(result, image):
    """torch rounds after each of two passes with 16-bit weights, Pillow with 22-bit ones."""
    off = difference(result, image)
    assert off.max() <= 2 and (off > 0).mean() < 0.2 and (off > 1).mean() < 1e-3


def difference(result, image):
    return np.abs(result.permute(1, 2, 0).numpy().astype(int) - pixels(image))


@pytest.mark.parametrize("shape", [(90, 130), (130, 90), (64, 64), (33, 200)])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (evaluation(56), [v1.Resize(64), v1.CenterCrop(56)]),
        (evaluation(56, resize=72), [v1.Resize(72), v1.CenterCrop(56)]),
        (evaluation(56, resize=(64, 64)), [v1.Resize((64, 64)), v1.CenterCrop(56)]),
        (evaluation(56, crop=False), [v1.Resize((56, 56))]),
        (
            evaluation(56, interpolation="bicubic"),
            [v1.Resize(64, v1.InterpolationMode.BICUBIC), v1.CenterCrop(56)],
        ),
        (
            evaluation(56, interpolation="lanczos"),
            [v1.Resize(64, v1.InterpolationMode.LANCZOS), v1.CenterCrop(56)],
        ),
    ],
)
def test_evaluation_is_that_of_pillow_within_rounding(shape, ours, theirs):
    image = photo(*shape)
    assert_equal_within_rounding(ours(tensor(image)), v1.Compose(theirs)(image))


def test_lanczos_is_exactly_that_of_pillow():
    ours = evaluation(56, interpolation="lanczos")(tensor(photo()))
    theirs = v1.Compose([v1.Resize(64, v1.InterpolationMode.LANCZOS), v1.CenterCrop(56)])
    assert difference(ours, theirs(photo())).max() == 0


@pytest.mark.parametrize("seed", range(5))
def test_training_crop_is_that_of_torchvision_within_rounding(seed):
    image = photo()
    theirs = v1.Compose(
        [v1.RandomResizedCrop(56, (0.16, 1), (0.75, 1.33)), v1.RandomHorizontalFlip()]
    )
    torch.manual_seed(seed)
    want = theirs(image)
    assert_equal_within_rounding(train(56)(tensor(image), seed=seed), want)


def test_options_of_training():
    picture = tensor(photo())
    assert train((20, 30), scale=None, flip=0)(picture).shape == (3, 20, 30)
    squeezed = train(40, scale=None, flip=0)(picture)
    torch.testing.assert_close(squeezed, evaluation(40, crop=False)(picture))
    mirrored = train(40, scale=None, flip=1)(picture)
    torch.testing.assert_close(mirrored, squeezed.flip(-1))
    grey = train(40, scale=None, flip=0, grey=1)(picture)
    assert (grey[0] == grey[1]).all() and (grey[1] == grey[2]).all()
    blurred = train(40, scale=None, flip=0, blur=1)(picture, seed=1)
    assert blurred.float().std() < squeezed.float().std()
    jittered = train(40, scale=None, flip=0, jitter=(0.5, 0, 0, 0))(picture, seed=1)
    assert not torch.equal(jittered, squeezed)
    turned = train(40, scale=None, flip=0, rotation=45, fill=9)(picture, seed=4)
    assert turned[:, 0, 0].tolist() == [9, 9, 9]
    inverted = train(40, scale=None, flip=0, extra=[lambda p: 255 - p])(picture)
    torch.testing.assert_close(inverted, 255 - squeezed)
    whole = train(45, resize=45, scale=(1, 1), ratio=(1, 1), flip=0)(picture, seed=0)
    assert whole.shape == (3, 45, 45)
    shrunk = evaluation(45, resize=45)(picture)
    torch.testing.assert_close(whole.float().mean(), shrunk.float().mean(), atol=30, rtol=0)


def test_a_seed_fixes_the_view_and_leaves_the_generator_alone():
    picture, view = tensor(photo()), train(32, jitter=(0.4, 0.4, 0.4, 0.1), blur=0.5, rotation=10)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = view(picture, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(view(picture, seed=3), one)
    assert not torch.equal(view(picture, seed=4), one)
    assert one.dtype == torch.uint8 and one.is_contiguous()


def test_seeds_differ_in_every_part():
    seeds = {
        picture_seed(s, e, i, d) for s in (0, 1) for e in (0, 1) for i in (0, 1) for d in (0, 1)
    }
    assert len(seeds) == 16 and all(0 <= s < 2**63 for s in seeds)
    assert picture_seed(0, 0, 0) == picture_seed(0, 0, 0, 0)


def test_descriptions_tell_transforms_apart():
    assert repr(evaluation(224)) == repr(build_transform("evaluation", size=224))
    assert len({repr(t) for t in (train(32), train(33), train(32, flip=0), evaluation(32))}) == 4
    assert "resize=None" in repr(evaluation(224))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: train(0), "transform.size: 0"),
        (lambda: train((3, 4, 5)), "transform.size"),
        (lambda: train(32, flip=2), "transform.flip: 2 is not a probability"),
        (lambda: train(32, scale=(1, 0.2)), "transform.scale"),
        (lambda: train(32, ratio=(0, 1)), "transform.ratio"),
        (lambda: train(32, interpolation="lanczos"), "'lanczos' is not possible here"),
        (lambda: evaluation(224, resize=200), "200 is smaller than the crop of 224 pixels"),
        (lambda: evaluation(224, resize=(256, 200)), "smaller than the crop"),
        (lambda: evaluation(224, resize=256, crop=False), "has no effect with crop=false"),
        (lambda: evaluation(224, interpolation="bilinea"), "Did you mean 'bilinear'"),
        (lambda: evaluation(224, rounding="up"), "transform.rounding: 'up'"),
        (lambda: build_transform("training"), "no kind 'training'. Did you mean 'train'"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)


def double(strength=1):
    """A step of one's own: a function that makes one."""
    return lambda picture: (picture.int() * strength).clamp(max=255).to(torch.uint8)


def half():
    return lambda picture: picture / 2


def test_further_steps_come_from_torchvision_or_an_import_path_by_name():
    picture = torch.randint(0, 100, (3, 40, 50), dtype=torch.uint8)
    plain = train(32)(picture, seed=5)
    own = train(32, extra=[{"name": f"{__name__}.double", "strength": 2}])
    assert torch.equal(own(picture, seed=5), plain * 2)
    for spelling in ("RandomInvert", "random_invert"):
        inverted = train(32, extra=[{"name": spelling, "p": 1.0}])
        assert torch.equal(inverted(picture, seed=5), 255 - plain)
    augmented = train(32, extra=[{"name": "rand_augment", "num_ops": 3}, "auto_augment"])
    views = [augmented(picture, seed=s) for s in range(4)]
    assert all(v.shape == (3, 32, 32) and v.dtype == torch.uint8 for v in views)
    assert torch.equal(views[2], augmented(picture, seed=2)) and len(views) == 4
    assert not torch.equal(views[0], train(32)(picture, seed=0))
    config = compose(["transform.train.extra=[{name: rand_augment, num_ops: 2}]"])
    assert "rand_augment" in repr(train(32, **config.transform.train))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["rand_augmnt"], r"extra\[0\]=rand_augmnt: torchvision has no such step. Did you mean"),
        ([{"name": "RandAugment", "ops": 2}], "RandAugment.ops: RandAugment takes no such"),
        ([{"num_ops": 2}], "is not a step; write"),
        (["no.such.step"], "cannot import 'no.such'"),
        ([{"name": "RandomInvert", "p": 3}], "RandomInvert refused its arguments"),
    ],
)
def test_steps_that_cannot_be_are_refused(extra, words):
    with pytest.raises(ConfigError, match=words):
        train(32, extra=extra)


def test_a_step_that_leaves_uint8_is_named():
    transform = train(32, extra=[f"{__name__}.half"])
    with pytest.raises(ConfigError, match=r"half.* made torch.float32 \(3, 32, 32\)"):
        transform(torch.zeros(3, 40, 40, dtype=torch.uint8))
