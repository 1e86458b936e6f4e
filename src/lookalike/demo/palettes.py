"""Palettes: the colours of one individual. Every species may wear any of them."""

from dataclasses import dataclass

import numpy as np

from lookalike.demo.chance import Chance

# Base, second, accent, dark, light, background. The darks are dark and the lights are light in
# all of them, so that a pattern keeps its sense whatever the colours.
_COLOURS = (
    "e07a5f f2cc8f 81b29a 3d405b f4f1de 9db4ab",
    "2a9d8f e9c46a e76f51 1d3540 fdf6e3 c9b79c",
    "e5989b ffcdb2 b5838d 4a3b52 fff4ec 8fa3b8",
    "4f86c6 9ad1d4 f7b267 1b2a49 f3f8fb d9c5b2",
    "b56576 eaac8b 6d597a 2b2438 fbeee6 a7b59e",
    "90be6d f9c74f f3722c 27432d fbf8e6 b9c6d2",
    "d4a373 faedcd ccd5ae 4b3621 fefae0 8ba6a9",
    "7b6fb0 c8b6ff ffb3c6 2a2550 f6f0ff c3cfa8",
    "c1440e f0b67f d6d1b1 2e1f1a fff3e2 7fa6a3",
    "3aafa9 def2f1 feb47b 17252a feffff c7a98b",
    "d65780 f4a9c0 f6d55c 3a1c3d fff0f5 9fb8a0",
    "5b8e7d f4e285 bc4b51 24352f fbf7e4 b7a8c4",
)
NUMBER = len(_COLOURS)
TYPE = 6  # the palette of the type specimen, drawn without nuisance


@dataclass(frozen=True)
class Palette:
    """Five ink colours, shape (5, 3), and the background, shape (3,); float32 in [0, 1]."""

    inks: np.ndarray
    background: np.ndarray


def palette(number: int) -> Palette:
    """Return one of the built-in palettes."""
    words = _COLOURS[number % NUMBER].split()
    rgb = np.array([[int(word[i : i + 2], 16) for i in (0, 2, 4)] for word in words], np.float32)
    rgb /= np.float32(255)
    return Palette(rgb[:5], rgb[5])


def individual(chance: Chance, nuisance: float) -> Palette:
    """Draw the colours of one individual: any palette on the ground of any other, a little off."""
    own, ground = chance.integer(NUMBER), chance.integer(NUMBER)
    shift = [chance.signed(0.05) for _ in range(3)]
    mixed = min(1.0, nuisance)
    plain, worn, below = palette(TYPE), palette(own), palette(ground)
    tint = np.array(shift, np.float32)
    inks = plain.inks * (1 - mixed) + (worn.inks + tint) * mixed
    background = plain.background * (1 - mixed) + below.background * mixed
    return Palette(np.clip(inks, 0, 1), background)
