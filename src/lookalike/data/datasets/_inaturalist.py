"""iNaturalist 2018 in its three guises: base, full taxonomy, and the open-world split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from lookalike.data.datasets.layout import against_official, existing, lines
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError

_LAYOUT = (
    "train_val2018/<super-category>/<class>/*.jpg and Inat_dataset_splits/"
    "Inaturalist_train_set1.txt, Inaturalist_test_set1.txt"
)
_FULL = ("species", "genus", "family", "order", "class", "phylum", "kingdom")
_OFFICIAL = {"train": 325846, "test": 136093}
_OPEN_WORLD = {"train": 29011, "u_in": 18403}


def inaturalist(
    root: str | Path,
    *,
    guise: Literal["base", "full", "open_world"] = "base",
    train_list: str | None = None,
    test_list: str | None = None,
) -> Table:
    """8,142 species in the wild, 461,939 photos, 5,690 species to train on (Van Horn et al., 2018).

    Args:
        root: the folder that holds ``train_val2018`` and the split files (which may also lie in
            ``Inat_dataset_splits``, as in the published zip).
        guise: ``"base"``: levels species and super-category, from the paths; ``"full"``: seven
            levels from ``train2018.json`` or ``categories.json``; ``"open_world"``: of PSS, where
            a sixth of the species is known: split ``train`` is labelled (L_in), ``u_in`` holds
            unlabelled images of the same species, ``u_out`` of others, from
            ``lin_train_set1.txt``, ``uin_train_set1.txt`` and ``uout_train_set1.txt`` (without the
            last: all training images of other species).
        train_list: another list of the training images than the guise's; its name where the split
            files lie, or a path. An open world then has it for L_in.
        test_list: as ``train_list``, of the test images.

    Raises:
        DataError: a file that is missing or cannot be read, naming it and the layout.

    Example:
        ``inaturalist("data/Inaturalist", guise="full").levels``
    """
    base = existing(root, _LAYOUT)
    if guise == "open_world":
        train, official = train_list or "lin_train_set1.txt", _OPEN_WORLD
    elif guise in ("base", "full"):
        train, official = train_list or "Inaturalist_train_set1.txt", _OFFICIAL
    else:
        raise ConfigError(f"dataset.guise: '{guise}'; give 'base', 'full' or 'open_world'")
    lists = {"train": _paths(_find(base, train))}
    if guise == "open_world":
        lists |= _unlabelled(base, lists["train"])
    lists["test"] = _paths(_find(base, test_list or "Inaturalist_test_set1.txt"))
    named = [name for name in (train_list, test_list) if name is not None]
    notes = [f"lists of your own: {', '.join(named)}"] if named else []
    frame = pd.DataFrame(
        {
            "path": pd.Series([p for paths in lists.values() for p in paths], dtype="str"),
            "split": pd.Series([s for s, p in lists.items() for _ in p], dtype="str"),
        }
    )
    short = frame["path"].str.count("/") < 3
    if short.any():
        path = frame["path"][short].iloc[0]
        raise DataError(f"{base}: the path {path!r} is not train_val2018/SUPER/CLASS/….jpg")
    parts = frame["path"].str.rsplit("/", n=3, expand=True)
    frame["super_category"] = parts[1]
    frame["species"] = parts[1] + "/" + parts[2]
    levels = ("species", "super_category")
    if guise == "full":
        frame, levels = _with_taxonomy(frame, parts[2], _categories(base)), _FULL
    return Table.from_frame(
        frame,
        levels=levels,
        name=f"inaturalist_{guise}",
        root=base,
        notes=notes or against_official(Counter(frame["split"]), official),
        source=base,
    )


def _find(base: Path, name: str, needed: bool = True) -> Path | None:
    """A file where split files lie; a path of its own stands for itself."""
    for folder in (base / "Inat_dataset_splits", base, base / "annotations"):
        if (folder / name).exists():
            return folder / name
    if needed:
        raise DataError(f"{base / name} is missing. Expected in {base}: {_LAYOUT}")
    return None


def _paths(file: Path | None) -> list[str]:
    return [] if file is None else list(lines(file))


def _unlabelled(base: Path, train: list[str]) -> dict[str, list[str]]:
    """Of the open world: images of the labelled species, and of others."""
    lists = {"u_in": _paths(_find(base, "uin_train_set1.txt"))}
    outside = _find(base, "uout_train_set1.txt", needed=False)
    if outside is not None:
        lists["u_out"] = _paths(outside)
    elif whole := _find(base, "Inaturalist_train_set1.txt", needed=False):
        known = {p.rsplit("/", 1)[0] for p in train}
        lists["u_out"] = [p for p in _paths(whole) if p.rsplit("/", 1)[0] not in known]
    return lists


def _categories(base: Path) -> dict[int, dict[str, Any]]:
    for name in ("categories.json", "train2018.json"):
        file = _find(base, name, needed=False)
        if file is not None:
            return {int(c["id"]): c for c in _category_list(file)}
    raise DataError(
        f"{base / 'train2018.json'} is missing, which guise=full needs (or categories.json, with"
        f" {', '.join(_FULL[1:])} of each category)"
    )


def _category_list(file: Path) -> list[dict[str, Any]]:
    # train2018.json lists half a million images besides: only its categories are parsed.
    text = file.read_text(encoding="utf-8-sig")
    start = text.find("[", max(text.find('"categories"'), 0))
    try:
        found = json.JSONDecoder().raw_decode(text, max(start, 0))[0]
    except json.JSONDecodeError as e:
        raise DataError(f"{file}: is not valid JSON with categories: {e}") from None
    if not isinstance(found, list) or not all(isinstance(c, dict) and "id" in c for c in found):
        raise DataError(f"{file}: its categories are no list of entries with an id")
    return found


def _with_taxonomy(
    frame: pd.DataFrame, numbers: pd.Series, categories: dict[int, dict[str, Any]]
) -> pd.DataFrame:
    wanted = numbers.unique().tolist()
    strange = [n for n in wanted if not n.isdigit() or int(n) not in categories]
    if strange:
        raise DataError(f"no category {strange[0]} in the JSON file ({len(strange)} missing)")
    for level in _FULL[1:]:
        names = {n: categories[int(n)].get(level) for n in wanted}
        if any(name is None for name in names.values()):
            raise DataError(
                f"the categories have no '{level}', only"
                f" {', '.join(categories[int(wanted[0])])}; the file with the whole taxonomy is"
                " categories.json of the 2018 challenge"
            )
        frame[level] = numbers.map(names).astype("str")
    return frame.drop(columns="super_category")
