"""Omniglot: handwritten characters of many alphabets, zipped or unpacked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lookalike.data.archive import unpacked
from lookalike.data.datasets.layout import existing
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, suggest

_LAYOUT = (
    "images_background.zip and images_evaluation.zip, or images_background_small1.zip or"
    " …_small2.zip, or such a zip unpacked: ALPHABET/character01/0001_01.png"
)
# The published division, and one for the small sets, which have none.
_SMALL2_TEST = ("Sanskrit", "Tagalog")


def omniglot(
    root: str | Path,
    *,
    train: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
    cache: str | Path | None = None,
) -> Table:
    """Characters of many alphabets, each drawn by 20 people (Lake et al., Science 2015).

    The levels are character and alphabet. By default the alphabets of ``images_background`` train
    and those of ``images_evaluation`` test; of ``images_background_small2`` Greek, Katakana and
    Latin train, Sanskrit and Tagalog test.

    Args:
        root: a zip, the folder of zips, or the folder they were unpacked into.
        train: alphabets to train on; by default all that are not tested on.
        test: alphabets to test on.
        cache: where zips are unpacked; by default below ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        DataError: no such folder, or no drawings in it.
        ConfigError: an alphabet that is not there, or on both sides, or none to test on.
    """
    home, alphabets = _alphabets(Path(root).expanduser(), cache)
    divided = _divide(alphabets, train, test)
    rows = []
    for alphabet, split in divided.items():
        for file in sorted((home / alphabets[alphabet]).glob("character*/*.png")):
            character = f"{alphabet}/{file.parent.name}"
            rows.append((file.relative_to(home).as_posix(), character, alphabet, split))
    if not rows:
        raise DataError(f"{home}: the alphabets hold no character*/*.png. Expected: {_LAYOUT}")
    frame = pd.DataFrame(rows, columns=["path", "character", "alphabet", "split"])
    notes = [f"alphabets to {s}: {', '.join(_of(divided, s))}" for s in ("train", "test")]
    left = sorted(set(alphabets) - set(divided))
    if left:
        notes.append(f"alphabets left out: {', '.join(left)}")
    return Table.from_frame(
        frame, levels=("character", "alphabet"), name="omniglot", root=home, notes=notes
    )


def _alphabets(root: Path, cache: str | Path | None) -> tuple[Path, dict[str, str]]:
    """The folder that paths start from, and the folder of each alphabet below it."""
    if root.suffix == ".zip":
        if not root.exists():
            raise DataError(f"{root}: no such file. Expected: {_LAYOUT}")
        return _found(unpacked([root], cache))
    base = existing(root, _LAYOUT)
    zips = _whole_sets(sorted(base.glob("images_*.zip")))
    if zips and not any(base.glob("*/**/character*")):
        return _found(unpacked(zips, cache))
    return _found(base)


def _found(base: Path) -> tuple[Path, dict[str, str]]:
    if any(base.glob("*/character*")):
        return base, {f.name: f.name for f in sorted({f.parent for f in base.glob("*/character*")})}
    sets = _whole_sets(sorted({f.parent.parent for f in base.glob("*/*/character*")}))
    if not sets:
        raise DataError(f"{base}: holds no alphabets. Expected: {_LAYOUT}")
    if len(sets) == 1:
        return _found(sets[0])
    return base, {
        folder.name: f"{part.name}/{folder.name}"
        for part in sets
        for folder in sorted({f.parent for f in part.glob("*/character*")})
    }


def _whole_sets(parts: list[Path]) -> list[Path]:
    # The small sets are parts of images_background, and share Greek and Latin.
    whole = [part for part in parts if "_small" not in part.name]
    return whole or parts


def _divide(
    alphabets: dict[str, str], train: Sequence[str] | None, test: Sequence[str] | None
) -> dict[str, str]:
    for option, names in (("train", train), ("test", test)):
        for name in names or ():
            if name not in alphabets:
                raise ConfigError(
                    f"dataset.{option}: no alphabet '{name}'. {suggest(name, alphabets)}"
                )
    if test is None:
        test = [a for a, folder in alphabets.items() if folder.startswith("images_evaluation/")]
        if not test and set(_SMALL2_TEST) < set(alphabets) and len(alphabets) == 5:
            test = list(_SMALL2_TEST)
        test = [a for a in test if a not in (train or ())]
    if not test:
        raise ConfigError(
            "dataset.test: say which alphabets to test on, such as"
            f" dataset.test=[{sorted(alphabets)[-1]}]; there are: {', '.join(sorted(alphabets))}"
        )
    both = set(test) & set(train or ())
    if both:
        raise ConfigError(f"dataset.train and dataset.test both name {', '.join(sorted(both))}")
    if train is None:
        train = [a for a in alphabets if a not in test]
    return {a: "train" if a in train else "test" for a in alphabets if a in {*train, *test}}


def _of(divided: dict[str, str], split: str) -> list[str]:
    return [a for a, s in divided.items() if s == split]
