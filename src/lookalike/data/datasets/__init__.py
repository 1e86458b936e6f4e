"""Data sets: each is a function from a folder or file to a `Table`.

The names load on first use, so that listing them costs nothing. A module must not bear the name of
a data set: once imported, it would stand in the function's place.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "folder": "folders",
    "table_file": "table_files",
    "cub": "birds",
    "omniglot": "characters",
    "toy": "built_in",
    "sop": "products",
    "cars196": "cars",
    "inshop": "clothes",
    "inaturalist": "inaturalist18",
    "market1501": "pedestrians",
    "dyml_vehicle": "dynamic",
    "dyml_animal": "dynamic",
    "dyml_product": "dynamic",
    "gldv2": "landmarks",
    "revisited": "oxford_paris",
    "split_dictionary": "split_dictionaries",
    "hugging_face": "hub",
    "cached": "cached_copies",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        found = getattr(import_module(f"lookalike.data.datasets.{_HOMES[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'lookalike.data.datasets' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
