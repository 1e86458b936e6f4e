"""Names for creatures that do not exist, in the manner of Linnaeus."""

import math
from typing import NamedTuple

from lookalike.demo.chance import mix

_ONSETS = "b c d f g l m n p r s t v z br cl cr dr fl gl pl pr st tr"
_VOWELS = "a e i o u"
_MIDDLES = "b c d g l m n p r s t v ll lm mb nd nt rd rm rn rv st"
_GENUS_ENDINGS = "a us is ia ella ina idia opsis"
_STEMS = (
    "albi alti angusti atri auri brevi clari crassi curvi denti fusci gracili grandi lati leni"
    " longi magni micro molli multi nigri nobili obscuri pauci plani pulchri puncti rari recti"
    " rotundi rubri serri simili striati tenui tri undi varii veli viridi"
)
_PARTS = (
    "caud cap cornu fron gen lin marg mor"  # codespell:ignore fron,mor
    " nerv ocul op orn pes punct rostr sign som spin squam"  # codespell:ignore som
    " stri tinct umbr ven zon"
)
_EPITHET_ENDINGS = "ata ella ensis ica ina osa ula"


class Name(NamedTuple):
    """The place of a species in the taxonomy; `species` is the full binomial, unique in the set."""

    family: str
    genus: str
    species: str


def taxonomy(families: int, genera: int, species: int, seed: int) -> list[Name]:
    """Name every species of the set, in drawing order (family, then genus, then species).

    A name depends on the seed and on its own place alone: asking for more species renames none.

    Args:
        families: number of families.
        genera: number of genera in each family.
        species: number of species in each genus.
        seed: what the names are drawn from.

    Example:
        >>> names = taxonomy(2, 2, 3, seed=0)
        >>> len(names), len({name.species for name in names}), len({name.genus for name in names})
        (12, 12, 4)
    """
    return [
        Name(
            _family(f, seed), _genus(f, g, seed), f"{_genus(f, g, seed)} {_epithet(f, g, s, seed)}"
        )
        for f in range(families)
        for g in range(genera)
        for s in range(species)
    ]


def _family(family: int, seed: int) -> str:
    stem = _pick(family, mix(seed, 10), _ONSETS, _VOWELS, _MIDDLES).capitalize()
    return f"{stem}idae"  # codespell:ignore idae


def _genus(family: int, genus: int, seed: int) -> str:
    # One number for each pair (Cantor), so that no two genera of the set share a name.
    pair = (family + genus) * (family + genus + 1) // 2 + genus
    return _pick(pair, mix(seed, 11), _ONSETS, _VOWELS, _MIDDLES, _GENUS_ENDINGS).capitalize()


def _epithet(family: int, genus: int, species: int, seed: int) -> str:
    return _pick(species, mix(seed, 12, family, genus), _STEMS, _PARTS, _EPITHET_ENDINGS)


def _pick(number: int, key: int, *parts: str) -> str:
    """Join one word of each part; different numbers give different words, in a mixed order."""
    choices = [part.split() for part in parts]
    words = math.prod(len(choice) for choice in choices)
    lap, at = divmod(number, words)
    stride = key % words | 1
    while math.gcd(stride, words) > 1:
        stride += 2
    at = (at * stride + (key >> 32)) % words
    word = ""
    for choice in choices:
        at, which = divmod(at, len(choice))
        word += choice[which]
    return word if lap == 0 else f"{word}-{lap + 1}"
