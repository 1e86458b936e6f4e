"""Hide from Python what a bare GPU machine has not, even with the wheels of scripts/pack_gpu.sh.

Imported by a ``sitecustomize``, so that every process of a program is so.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# What such a machine has; their own requirements are added.
THERE = ["torch", "torchvision", "triton", "numpy", "pandas", "pyarrow", "pillow", "safetensors",
         "matplotlib", "hypothesis"]  # fmt: skip


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def packed() -> list[str]:
    """The names that scripts/pack_gpu.sh lists."""
    text = (REPOSITORY / "scripts" / "pack_gpu.sh").read_text(encoding="utf-8")
    listed = re.search(r'^PACKAGES="(.*?)"', text, re.MULTILINE | re.DOTALL)
    assert listed is not None
    return listed[1].split()


def with_requirements(names: list[str]) -> set[str]:
    """Distributions and all that they require here, optional extras left out."""
    found, waiting = set(), list(names)
    while waiting:
        name = plain(waiting.pop())
        if name in found:
            continue
        found.add(name)
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # of another platform
        waiting += [re.split(r"[^\w.-]", line)[0] for line in required if "extra ==" not in line]
    return found


class Bare(PathFinder):
    """Finds neither the hidden modules nor their metadata."""

    modules: frozenset[str] = frozenset()
    distributions: frozenset[str] = frozenset()

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname.partition(".")[0] in cls.modules:
            return None
        return PathFinder.find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, *args, **kwargs):
        for found in PathFinder.find_distributions(*args, **kwargs):
            if plain(found.name) not in cls.distributions:
                yield found


def hide() -> None:
    """Let this process be as bare."""
    there = with_requirements(THERE) | {plain(name) for name in packed()} | {"lookalike", "pip"}
    owners = metadata.packages_distributions()
    Bare.modules = frozenset(
        module for module, names in owners.items() if not {plain(n) for n in names} & there
    )
    Bare.distributions = frozenset(plain(n) for names in owners.values() for n in names) - there
    sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
