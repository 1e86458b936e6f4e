"""Images of the built-in set, one at a time."""

from functools import lru_cache

import numpy as np

from lookalike.demo.chance import Chance
from lookalike.demo.form import Form
from lookalike.demo.insects import beetle, moth
from lookalike.demo.plants import blossom, leaf
from lookalike.demo.plate import engraved
from lookalike.demo.scene import photograph
from lookalike.demo.sea import fish, medusa
from lookalike.demo.shells import ammonite, scallop
from lookalike.errors import ConfigError

VERSION = 1  # goes up when any drawn bit or any name changes; part of the cache's fingerprint
PLANS = (moth, fish, blossom, ammonite, beetle, leaf, medusa, scallop)
SMALLEST, LARGEST = 16, 1024


def draw(
    family: int,
    genus: int,
    species: int,
    image: int,
    *,
    size: int,
    seed: int,
    nuisance: float = 1.0,
) -> np.ndarray:
    """Draw one image; uint8 (size, size, 3).

    Args:
        family: which body plan, from 0; the plans repeat, with other proportions, after eight.
        genus: which genus of the family, from 0: proportions and kind of pattern.
        species: which species of the genus, from 0: fine details, clear from 96 pixels on.
        image: which individual of the species, from 0: colours, pose, light, ground.
        size: height and width in pixels, 16 … 1024. The same image at another size is the same
            scene, sharper or coarser.
        seed: what the whole set is drawn from; equal arguments give equal bits on any machine.
        nuisance: how much individuals vary, 0 … 2; at 0 all of a species are one: its type.

    Raises:
        ConfigError: for a negative index, or a size or nuisance out of range.

    Example:
        >>> image = draw(0, 0, 0, 0, size=32, seed=0)
        >>> image.shape, image.dtype.name
        ((32, 32, 3), 'uint8')
    """
    places = {"family": family, "genus": genus, "species": species, "image": image}
    for name, value in places.items():
        if value < 0:
            raise ConfigError(f"toy: {name} counts from 0, got {value}")
    check(size=size, seed=seed, nuisance=nuisance)
    chance = Chance(seed, 5, family, genus, species, image)
    return photograph(_texture(family, genus, species, size, seed), size, chance, nuisance)


def check(*, size: int, seed: int, nuisance: float) -> None:
    """Refuse settings that cannot be drawn."""
    if not isinstance(size, int) or not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"toy: size must lie in {SMALLEST} … {LARGEST} pixels, got {size!r}")
    if not isinstance(seed, int):
        raise ConfigError(f"toy: seed must be a whole number, got {seed!r}")
    if not 0 <= nuisance <= 2:
        raise ConfigError(f"toy: nuisance must lie in 0 … 2, got {nuisance}")


@lru_cache(maxsize=8)
def _texture(family: int, genus: int, species: int, size: int, seed: int) -> np.ndarray:
    """Draw the plate of a species once for all its images."""
    form = Form(family, genus, species, seed)
    plan = PLANS[family % len(PLANS)]
    return engraved(plan, form, 4 * size, form.stature(len(PLANS)))
