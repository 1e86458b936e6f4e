"""What one word can choose: files of ``conf/``, public names, paths, timm names."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from lookalike import components, recipe_files, trust
from lookalike.config import Config
from lookalike.errors import ConfigError, suggest
from lookalike.typed_paths import expand

CONF = Path(__file__).parent / "conf"
OPEN_GROUPS = tuple(components.ROOMS)
_OPTIONS = {f.name for f in fields(Config)}  # beside the groups, conf/ holds search spaces
GROUPS = tuple(sorted(p.name for p in CONF.iterdir() if p.name in _OPTIONS))
_VECTORS = (".npy", ".safetensors")
_TABLES = (".csv", ".parquet", ".tsv", ".pq")


def choices(group: str) -> list[str]:
    """What a group offers by name: the files of ``conf/GROUP`` and the room's public names."""
    folder = CONF / group
    names = {str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.yaml")}
    if group in OPEN_GROUPS:
        names |= set(components.public_names(group))
    return sorted(names - {"none", "default"})


def given_node(group: str, value: str, *, typed: bool = True) -> dict[str, Any] | None:
    """The node of a choice that is not a file of ``conf/``, or None when it is one.

    ``typed``: by a person, whose ``~`` and variables in paths are resolved.
    """
    if len(value) < 200 and (CONF / group / f"{value}.yaml").is_file():
        return None
    if group == "dataset" and (node := _dataset_path(value, typed=typed)):
        return node
    if group == "recipe" and recipe_files.is_file_name(value):
        return {"file": str(recipe_files.find(group, value))}
    if group == "model":
        return {"backbone": value}
    if group == "optimizer" and value.isidentifier():
        return {"name": value}
    if group in OPEN_GROUPS and ("." in value or components.is_public(group, value)):
        return {"name": value}
    raise ConfigError(
        f"{group}={value}: there is no such {group}. {suggest(value, choices(group))}"
    )


def _dataset_path(value: str, *, typed: bool) -> dict[str, Any] | None:
    path = Path(expand("dataset", value) if typed else trust.literal(value))
    if len(path.name) > 255 or "\0" in value:
        raise ConfigError(f"dataset={value[:40]}…: no file or folder can be called so.")
    if path.suffix.lower() in _TABLES:
        return {"name": "table_file", "root": str(path)}
    if path.suffix.lower() in _VECTORS:
        return {"name": "embedding_file", "root": str(path)}
    if (path / "cache.json").is_file():  # of `lookalike data cache`
        return {"name": "cached", "root": str(path)}
    if path.is_dir():
        return {"name": "folder", "root": str(path)}
    if "/" in value:
        raise ConfigError(f"dataset={value}: there is no such folder, and no dataset of that name.")
    return None
