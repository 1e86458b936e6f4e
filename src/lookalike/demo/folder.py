"""The set on disk: drawn once, kept under the fingerprint of everything it depends on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

from filelock import FileLock
from PIL import Image

from lookalike.demo.image import VERSION, check, draw
from lookalike.demo.names import Name, taxonomy
from lookalike.errors import ConfigError, DataError, counted

Progress = Callable[[int, int], None]
SETTINGS = "toy.json"


@dataclass(frozen=True)
class Collection:
    """What a drawn set depends on; see `lookalike.data.datasets.toy` for the meaning."""

    families: int
    genera: int
    species: int
    pictures: int
    size: int
    seed: int
    nuisance: float

    def __post_init__(self) -> None:
        for name in ("families", "genera", "species", "pictures"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"toy: {name} must be a whole number from 1, got {value!r}")
        object.__setattr__(self, "nuisance", float(self.nuisance))
        check(size=self.size, seed=self.seed, nuisance=self.nuisance)

    def __len__(self) -> int:
        return self.families * self.genera * self.species * self.pictures

    @property
    def fingerprint(self) -> str:
        """Hash of the settings and of the version of the drawing code."""
        text = json.dumps({**asdict(self), "version": VERSION}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def kinds(self) -> list[tuple[int, int, int]]:
        """Return the place (family, genus, species) of every species, in the order of `names`."""
        return [
            (f, g, s)
            for f in range(self.families)
            for g in range(self.genera)
            for s in range(self.species)
        ]

    def names(self) -> list[Name]:
        """Return the name of every species."""
        return taxonomy(self.families, self.genera, self.species, self.seed)


def folder_of(name: Name) -> str:
    """Return where the images of a species lie, relative to the set's folder."""
    return f"{name.family}/{name.genus}/{name.species.replace(' ', '_')}"


def cache_root() -> Path:
    """Return the user's cache folder for drawn sets: $XDG_CACHE_HOME or ~/.cache, lookalike/toy."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lookalike" / "toy"


def drawn(
    collection: Collection,
    root: Path,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of a set below `root`, drawing it first if it is not there.

    The set is drawn into a folder beside its place and then renamed, so it is there whole or not
    at all. Processes that want the same set at once wait for the first; what a killed one left
    behind is cleared away by the next.

    Raises:
        DataError: if the folder cannot be written, or a set found there has lost images.
    """
    target = root / collection.fingerprint
    try:
        if not target.exists():
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / f".{collection.fingerprint}.lock"):
                if not target.exists():
                    _draw_beside(target, collection, workers, progress)
    except BrokenProcessPool as error:
        raise DataError(
            f"toy: one of the {workers} drawing processes died (out of memory, or the program lacks"
            " its `if __name__ == '__main__':`). Draw with workers=0, in this process"
        ) from error
    except OSError as error:
        raise DataError(
            f"toy: cannot draw the images under {root}: {error}. Name a folder that can be"
            " written with dataset.root="
        ) from error
    found = sum(name.endswith(".png") for _, _, files in os.walk(target) for name in files)
    if found != len(collection) or not (target / SETTINGS).is_file():
        raise DataError(
            f"toy: {target} should hold {counted(len(collection), 'image')} and {SETTINGS}, but"
            " holds"
            f" {counted(found, 'image')}; remove the folder and they are drawn again"
        )
    return target


def _draw_beside(
    target: Path, collection: Collection, workers: int, progress: Progress | None
) -> None:
    prefix = f".{target.name}.part-"
    for stale in target.parent.glob(f"{prefix}*"):  # the lock is ours: it is of a killed process
        shutil.rmtree(stale)
    part = target.with_name(prefix + uuid4().hex)
    part.mkdir()
    try:
        _draw_all(part, collection, workers, progress)
        (part / SETTINGS).write_text(
            json.dumps({**asdict(collection), "version": VERSION}, indent=1) + "\n"
        )
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _draw_all(part: Path, collection: Collection, workers: int, progress: Progress | None) -> None:
    jobs = [
        (collection, kind, part / folder_of(name))
        for kind, name in zip(collection.kinds(), collection.names(), strict=True)
    ]
    done = 0
    for count in _results(jobs, workers):
        done += count
        if progress:
            progress(done, len(collection))


def _results(jobs: list, workers: int) -> Iterator[int]:
    if workers < 2:
        yield from (_draw_species(*job) for job in jobs)
        return
    # spawn: a fork of a process that holds torch's threads may hang.
    # Ctrl-C is for the process that waits; it cancels the others' work.
    quiet = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), **quiet) as pool:
        try:
            for future in as_completed([pool.submit(_draw_species, *job) for job in jobs]):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _draw_species(collection: Collection, kind: tuple[int, int, int], folder: Path) -> int:
    """Draw all images of one species; return how many."""
    folder.mkdir(parents=True)
    for image in range(collection.pictures):
        pixels = draw(
            *kind,
            image,
            size=collection.size,
            seed=collection.seed,
            nuisance=collection.nuisance,
        )
        Image.fromarray(pixels).save(folder / f"{image:04d}.png", compress_level=1)
    return collection.pictures
