"""The built-in images: the same bits everywhere, the same scene at every size, true species."""

import hashlib
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from lookalike.demo import VERSION, draw, taxonomy
from lookalike.demo.chance import Chance, cosine, fraction, mix
from lookalike.demo.fields import angle
from lookalike.demo.form import Form
from lookalike.demo.image import PLANS
from lookalike.demo.patterns import KINDS
from lookalike.demo.plate import Plate, engraved
from lookalike.errors import ConfigError

# (family, genus, species, image, size, seed, nuisance) -> sha256 of the bytes, drawing version 1.
# If one differs, every cached set is stale: raise VERSION in image.py with the new hashes.
PINNED = {
    (0, 0, 0, 1, 64, 0, 1.0): "1553d9bc06d6c38e",
    (1, 1, 1, 2, 64, 0, 1.0): "80c3139d51276fd1",
    (2, 2, 2, 3, 64, 0, 1.0): "905d06f256cd3b7b",
    (3, 0, 3, 4, 64, 0, 1.0): "a71742210c8b77f6",
    (4, 1, 4, 5, 64, 0, 1.0): "cc6f4076658ee6dc",
    (5, 2, 0, 6, 64, 0, 1.0): "494438afdc8906db",
    (6, 0, 1, 7, 64, 0, 1.0): "785d4d723ae97350",
    (7, 1, 2, 8, 64, 0, 1.0): "b08873272777c797",
    (9, 4, 17, 3, 48, 7, 1.5): "f86c0c6b6af4f855",
    (2, 0, 0, 0, 128, 0, 1.0): "d73c3df81deea7a5",
    (0, 0, 0, 0, 33, -1, 0.0): "1cb50eb944d1b9ed",
}
PINNED_NAME = (
    "Modidae",
    "Glullus",
    "Glullus serriornensis",
)  # number 100 of twelve families of nine genera, seed 3


def shrink(picture, factor):
    """Average factor × factor pixels."""
    size = picture.shape[0] // factor
    return picture.reshape(size, factor, size, factor, 3).astype(float).mean((1, 3))


def digest(place):
    family, genus, species, picture, size, seed, nuisance = place
    drawn = draw(family, genus, species, picture, size=size, seed=seed, nuisance=nuisance)
    return hashlib.sha256(drawn.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("place", PINNED)
def test_the_bits_are_pinned(place):
    assert VERSION == 1
    assert digest(place) == PINNED[place]


def test_another_process_without_vector_instructions_draws_the_same_bits():
    # numpy picks its kernels by processor; with the newer ones off it must still agree.
    places = [(f, 1, 2, 3, 48, 5, 1.0) for f in range(len(PLANS))]
    code = (
        "import hashlib, json, sys\n"
        "from lookalike.demo import draw\n"
        "print(json.dumps([hashlib.sha256(draw(*p[:4], size=p[4], seed=p[5], nuisance=p[6])"
        ".tobytes()).hexdigest()[:16] for p in json.loads(sys.argv[1])]))"
    )
    config = np.show_config(mode="dicts")
    found = config["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("this numpy has no kernels beyond the plainest to turn off")
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    run = subprocess.run(
        [sys.executable, "-c", code, json.dumps(places)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout) == [digest(place) for place in places]


def test_splitmix_follows_its_definition():
    # Steele, Lea and Flood's generator, seeded 0, gives these first two numbers.
    assert mix(0) == 0xE220A8397B1DCDAF
    state = Chance(1)
    lattice = state.lattice(3, 4)
    word = (mix(state.key, state.drawn) + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    word ^= word >> 31
    assert lattice[0, 0] == np.float32((word >> 40) * 2.0**-23 - 1)
    values = [fraction(7, i) for i in range(4000)]
    assert min(values) >= 0 and max(values) < 1
    assert abs(np.mean(values) - 0.5) < 0.02


def test_angles_agree_with_the_exact_ones():
    t = np.linspace(-np.pi, np.pi, 1001)[1:-1]
    x, y = np.cos(t).astype(np.float32), np.sin(t).astype(np.float32)
    assert np.abs(angle(x, y) - t / (2 * np.pi)).max() < 1e-5
    assert abs(cosine(1 / 3) + 0.5) < 2**-30


@pytest.mark.parametrize("family", range(len(PLANS)))
def test_a_larger_picture_shows_the_same_scene(family):
    for picture in range(3):
        small = draw(family, 0, 1, picture, size=64, seed=0).astype(float)
        large = shrink(draw(family, 0, 1, picture, size=128, seed=0), 2)
        other = shrink(draw(family, 0, 1, picture + 1, size=128, seed=0), 2)
        error = np.abs(small - large).mean()
        assert error < 5
        assert error < 0.25 * np.abs(small - other).mean()


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.__name__)
def test_a_figure_fits_its_plate_and_strips_do_not_show(plan):
    family = PLANS.index(plan)
    for genus in range(6):
        form = Form(family, genus, 0, 0)
        whole = Plate(192)
        plan(whole, form)
        opacity = whole.inks.sum(0)
        assert opacity.max() <= 1.0001 and opacity.min() >= -0.0001
        assert 0.1 < opacity.mean() < 0.75
        ring = np.concatenate([opacity[:2].ravel(), opacity[-2:].ravel()])
        ring = np.concatenate([ring, opacity[:, :2].ravel(), opacity[:, -2:].ravel()])
        assert ring.max() == 0
    upper = Plate(192, 0, 100)
    plan(upper, form)
    assert np.array_equal(upper.inks, whole.inks[:, :100])
    assert engraved(plan, form, 192).shape == (96, 96, 8)


def types(family, genus, count, size):
    """Return the type specimens of a genus, without nuisance."""
    kinds = range(count)
    return [draw(family, genus, s, 0, size=size, seed=0, nuisance=0).astype(float) for s in kinds]


@pytest.mark.parametrize("family", range(len(PLANS)))
def test_species_differ_and_only_finely(family):
    first = types(family, 0, 8, 64)
    gaps = [np.abs(a - b).mean() for i, a in enumerate(first) for b in first[:i]]
    assert min(gaps) > 0.4
    genus = np.mean(gaps)
    across = [np.abs(a - b).mean() for a in first for b in types(family, 1, 2, 64)]
    strange = [np.abs(a - b).mean() for a in first for b in types((family + 1) % 8, 0, 2, 64)]
    assert genus < np.mean(across) < np.mean(strange)


def test_families_that_share_a_plan_are_told_apart_by_their_stature():
    laps = [Form(family, 0, 0, 0).stature(8) for family in range(0, 160, 8)]
    assert laps[0] == (1.0, 0.0)
    assert all(broad * (1 + abs(taper)) <= 1 for broad, taper in laps)
    gaps = [abs(a - c) + abs(b - d) for i, (a, b) in enumerate(laps) for c, d in laps[:i]]
    assert min(gaps) > 0.01
    within = np.mean([np.abs(a - b).mean() for a, b in itertools.pairwise(types(0, 0, 4, 48))])
    for family in (8, 16, 24):
        other = types(family, 0, 1, 48)[0]
        assert np.abs(other - types(0, 0, 1, 48)[0]).mean() > 1.5 * within


def test_low_resolution_takes_species_first_and_families_last():
    """At 32 pixels less than half of what parts species is left; genera and families keep more."""

    def kept(pairs):
        """Share of the squared difference at 128 pixels that is still there at 32."""
        fine = sum(((a - b) ** 2).mean() for a, b in pairs)
        coarse = sum(((shrink(a, 4) - shrink(b, 4)) ** 2).mean() for a, b in pairs)
        return coarse / fine

    kin = [types(family, 0, 2, 128) for family in range(len(PLANS))]
    cousins = [types(family, 1, 1, 128)[0] for family in range(len(PLANS))]
    species = kept([(first, other) for first, *others in kin for other in others])
    genera = kept([(one[0], other) for one, other in zip(kin, cousins, strict=True)])
    families = kept([(kin[i - 3][0], kin[i][0]) for i in range(len(PLANS))])
    assert species < 0.5
    assert species + 0.05 < genera < families


def test_without_nuisance_individuals_are_their_type():
    assert np.array_equal(
        draw(1, 0, 0, 0, size=32, seed=0, nuisance=0), draw(1, 0, 0, 9, size=32, seed=0, nuisance=0)
    )
    assert not np.array_equal(draw(1, 0, 0, 0, size=32, seed=0), draw(1, 0, 0, 9, size=32, seed=0))


def test_traits_of_siblings_never_coincide():
    forms = [Form(2, 1, s, 0) for s in range(500)]
    traits = np.array([[form.detail(k) for k in range(6)] for form in forms])
    assert traits.min() >= 0 and traits.max() < 1
    distance = np.abs(traits[:, None] - traits[None]).max(-1)
    assert distance[~np.eye(500, dtype=bool)].min() > 0.05
    assert len({Form(0, g, 0, 0).kind(KINDS) for g in range(KINDS)}) == KINDS


def test_names_are_unique_and_do_not_depend_on_how_many_there_are():
    names = taxonomy(12, 9, 40, seed=3)
    assert len({name.family for name in names}) == 12
    assert len({name.genus for name in names}) == 12 * 9
    assert len({name.species for name in names}) == len(names)
    few = taxonomy(2, 2, 2, seed=3)
    assert set(few) < set(names)
    assert taxonomy(1, 1, 1, seed=4) != taxonomy(1, 1, 1, seed=3)
    # Names are paths of cached files: a change of names is a change of VERSION, too.
    assert names[100] == PINNED_NAME
    many = [name.species for name in taxonomy(1, 1, 7_000, seed=0)]
    assert len(set(many)) == 7_000
    assert len({name.genus for name in taxonomy(1, 3_000, 1, seed=0)}) == 3_000


@pytest.mark.parametrize(
    ("place", "settings", "says"),
    [
        ((0, 0, -1, 0), {}, "species counts from 0, got -1"),
        ((0, 0, 0, 0), {"size": 8}, "size must lie in 16 … 1024 pixels, got 8"),
        ((0, 0, 0, 0), {"nuisance": 3}, "nuisance must lie in 0 … 2, got 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(place, settings, says):
    with pytest.raises(ConfigError, match=says):
        draw(*place, **{"size": 32, "seed": 0, **settings})
