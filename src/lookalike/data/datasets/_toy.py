"""The built-in images as a dataset."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lookalike.data.table import Table
from lookalike.demo.chance import mix
from lookalike.demo.folder import Collection, Progress, cache_root, drawn, folder_of


def toy(
    root: str | Path | None = None,
    *,
    families: int = 8,
    genera: int = 3,
    species: int = 6,
    pictures: int = 40,
    size: int = 64,
    seed: int = 0,
    nuisance: float = 1.0,
    workers: int = 0,
    progress: Progress | None = None,
) -> Table:
    """Draw the built-in images, or find them drawn, and return their table.

    The levels are species, genus and family. Half of the species of every genus are for training
    and the other half, never seen, for testing: the test then asks for what training must teach,
    the fine differences within a genus, among look-alikes that are all in the gallery. (Keeping
    whole genera apart would let a model succeed on proportions alone.) Which half a species falls
    into depends on the seed alone. A genus with an odd number lends its odd one to either side in
    turn.

    Args:
        root: folder that keeps drawn sets, each in a folder of its own named by a fingerprint of
            the settings; default ``$XDG_CACHE_HOME`` or ``~/.cache``, then ``lookalike/toy``.
        families: number of families (body plans; from the ninth on they repeat, reproportioned).
        genera: number of genera in a family.
        species: number of species in a genus; with one, genera alternate between train and test.
        pictures: number of images of each species.
        size: height and width in pixels, 16 … 1024.
        seed: what the set is drawn from.
        nuisance: how much images of a species vary, 0 … 2.
        workers: processes that draw; 0 or 1 draws in this one.
        progress: called with (images drawn, images in all) after each species.

    Raises:
        ConfigError: for a setting out of range.
        DataError: if the cache cannot be written or has lost images.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> table = toy(folder, families=2, genera=1, species=2, pictures=2, size=32)
        >>> len(table), table.levels, table.num_classes("species")
        (8, ('species', 'genus', 'family'), 4)
    """
    collection = Collection(families, genera, species, pictures, size, seed, nuisance)
    keep = cache_root() if root is None else Path(root).expanduser()
    folder = drawn(collection, keep, workers=workers, progress=progress)
    rows = [
        (f"{folder_of(name)}/{picture:04d}.png", name.species, name.genus, name.family, split)
        for name, split in zip(collection.names(), splits(collection), strict=True)
        for picture in range(pictures)
    ]
    frame = pd.DataFrame(rows, columns=["path", "species", "genus", "family", "split"])
    test = frame["split"] == "test"
    frame = frame.assign(is_query=test, is_gallery=test)
    return Table.from_frame(frame, levels=("species", "genus", "family"), name="toy", root=folder)


def splits(collection: Collection) -> list[str]:
    """Return "train" or "test" for every species: half of each genus, by a hash of the seed."""
    words = []
    for f in range(collection.families):
        for g in range(collection.genera):
            key = (collection.seed, 20, f, g)
            order = sorted(range(collection.species), key=lambda s: mix(*key, s))
            tests = (collection.species + (f * collection.genera + g) % 2) // 2
            words += ["test" if s in order[:tests] else "train" for s in range(collection.species)]
    return words
