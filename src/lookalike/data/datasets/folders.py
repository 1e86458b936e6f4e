"""A folder of pictures: every folder with pictures in it is a class."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from lookalike.data.datasets.layout import existing, some
from lookalike.data.splits import class_disjoint
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError

EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2",
)  # fmt: skip
_LAYOUT = (
    "one folder per class with its pictures (CLASS/a.jpg), perhaps below folders of coarser"
    " classes (FAMILY/GENUS/a.jpg), perhaps below train/ and test/"
)
_SPLIT = re.compile(r"(train|test|val|valid|validation)([-_. ]\w+|\d+)?", re.IGNORECASE)


def folder(
    root: str | Path,
    *,
    test_classes: float | Sequence[str] = 0.5,
    seed: int = 0,
    levels: Sequence[str] | None = None,
    name: str | None = None,
) -> Table:
    """Pictures in folders: the folder is the class, the folders above it are coarser classes.

    Where the top folders are ``train`` and ``test…`` or ``val…``, they are the splits (a test
    folder that holds just ``query`` and ``gallery`` gives the roles). Otherwise the classes are
    divided: some to train on, the others, never seen, to test on.

    Args:
        root: the folder. Hidden files and files without a picture's extension are left out.
        test_classes: share of the classes to test on, their number, or their names; 0 for none.
        seed: of the draw of test classes.
        levels: names for the levels, finest first; by default ``label, label_1, …``.
        name: what reports call it; by default the folder's name.

    Raises:
        DataError: no such folder, no pictures, pictures outside a class folder, or class folders
            at different depths.

    Example:
        ``folder("birds")`` reads ``birds/Corvidae/Corvus/crow.jpg`` as label ``Corvus`` of
        label_1 ``Corvidae``.
    """
    base = existing(root, _LAYOUT)
    files, notes = list_pictures(base)
    if not files:
        raise DataError(
            f"{base}: holds no pictures ({', '.join(EXTENSIONS)}). Expected there: {_LAYOUT}"
        )
    frame = pd.DataFrame({"path": files}, dtype="str")
    parts = [PurePosixPath(f).parts[:-1] for f in files]
    if _has_splits({p[0] for p in parts if p}):
        frame["split"] = [p[0] for p in parts]
        parts = [p[1:] for p in parts]
        roles, parts = _roles(frame["split"], parts)
        frame = frame.assign(**roles)
    names = _add_levels(frame, parts, base, levels)
    if "split" not in frame:
        frame["split"], note = class_disjoint(frame[names[0]], test_classes, seed=seed)
        notes.append(note)
    return Table.from_frame(
        frame, levels=names, name=name or base.resolve().name, root=base, notes=notes
    )


def loose_folder(root: str | Path) -> Table:
    """All pictures below a folder, however they lie there: a gallery to search, not to train on.

    The label is the name of the folder a picture lies in; directly in ``root`` it is −1, none.

    Args:
        root: the folder.

    Raises:
        DataError: no such folder, or no pictures below it.
    """
    base = existing(root, "pictures, in folders or not")
    files, notes = list_pictures(base)
    if not files:
        raise DataError(f"{base}: holds no pictures ({', '.join(EXTENSIONS)}).")
    parents = [PurePosixPath(f).parent.name or "-1" for f in files]
    frame = pd.DataFrame({"path": files, "label": parents, "split": "gallery"}, dtype="str")
    return Table.from_frame(
        frame.assign(is_query=False, is_gallery=True),
        name=base.resolve().name,
        root=base,
        notes=notes,
    )


def list_pictures(base: Path) -> tuple[list[str], list[str]]:
    """Picture files below a folder in order, and statements on what was left out."""
    files, others, empty = [], Counter[str](), []
    walked: set[str] = set()
    for folder, inner, names in os.walk(base, followlinks=True):
        walked.add(os.path.realpath(folder))
        inner[:] = sorted(d for d in inner if not d.startswith((".", "__MACOSX")))
        # A link to a folder above would go round for ever.
        inner[:] = [d for d in inner if os.path.realpath(f"{folder}/{d}") not in walked]
        below = Path(folder).relative_to(base).as_posix()
        found = False
        for file in sorted(names):
            if file.startswith(".") or file in ("Thumbs.db", "desktop.ini"):
                continue
            if file.lower().endswith(EXTENSIONS):
                files.append(file if below == "." else f"{below}/{file}")
                found = True
            else:
                others[Path(file).suffix or file] += 1
        if not found and not inner and below != ".":
            empty.append(below)
    notes = []
    if empty:
        count = f"{len(empty)} folder{'s' if len(empty) > 1 else ''} without pictures"
        notes.append(f"{count} left out: {some(empty)}")
    if others:
        kinds = some(f"{n} × {kind}" for kind, n in others.most_common())
        notes.append(f"{others.total()} files that are no pictures by name left out: {kinds}")
    return files, notes


def _has_splits(tops: set[str]) -> bool:
    named = {t for t in tops if _SPLIT.fullmatch(t)}
    # All tops must look like splits, or train must stand beside one more: a class may well be
    # called "valley" or "testudo".
    return bool(named) and (named == tops or ("train" in named and len(named) > 1))


def _roles(
    split: pd.Series, parts: list[tuple[str, ...]]
) -> tuple[dict[str, list[bool]], list[tuple[str, ...]]]:
    seconds: dict[str, set[str]] = {}
    for s, p in zip(split, parts, strict=True):
        seconds.setdefault(s, set()).add(p[0] if p else "")
    divided = {s for s, names in seconds.items() if names == {"query", "gallery"}}
    if not divided:
        return {}, parts
    evaluated = [not s.startswith("train") for s in split]
    query, gallery, below = [], [], []
    for s, p, e in zip(split, parts, evaluated, strict=True):
        query.append(e and (s not in divided or p[0] == "query"))
        gallery.append(e and (s not in divided or p[0] == "gallery"))
        below.append(p[1:] if s in divided else p)
    return {"is_query": query, "is_gallery": gallery}, below


def _add_levels(
    frame: pd.DataFrame, parts: list[tuple[str, ...]], base: Path, levels: Sequence[str] | None
) -> list[str]:
    depths = {len(p): f for p, f in zip(reversed(parts), reversed(frame["path"]), strict=True)}
    if 0 in depths:
        raise DataError(
            f"{base / depths[0]}: a picture outside any class folder. Expected: {_LAYOUT}"
        )
    if len(depths) > 1:
        found = ", ".join(f"{file} ({d} deep)" for d, file in sorted(depths.items()))
        raise DataError(
            f"{base}: class folders at different depths: {found}. Bring all pictures to one depth"
        )
    (depth,) = depths
    names = list(levels or ["label", *(f"label_{i}" for i in range(1, depth))])
    if len(names) != depth:
        raise ConfigError(
            f"dataset.levels: {len(names)} names ({', '.join(names)}) for {depth} levels of"
            f" folders in {base}"
        )
    for level, name in enumerate(names):
        here = [p[: depth - level] for p in parts]
        leaves: dict[str, set[tuple[str, ...]]] = {}
        for p in here:
            leaves.setdefault(p[-1], set()).add(p)
        # The same name below two coarser classes is two classes, told apart by the path.
        twice = any(len(paths) > 1 for paths in leaves.values())
        frame[name] = pd.Series(["/".join(p) if twice else p[-1] for p in here], dtype="str")
    return names
