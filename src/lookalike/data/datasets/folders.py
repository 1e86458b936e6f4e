"""A folder of images: every folder with images in it is a class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import pandas as pd

from lookalike.data.datasets.layout import existing, some, unused
from lookalike.data.split_words import (
    OTHERS,
    ROLES,
    is_exact,
    is_known,
    meant,
    refuse_synonyms,
    split_name,
)
from lookalike.data.splits import TestClasses, class_disjoint
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, counted

EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2",
)  # fmt: skip
_LAYOUT = (
    "one folder per class with its images (CLASS/a.jpg), perhaps below folders of coarser"
    " classes (FAMILY/GENUS/a.jpg), perhaps below train/ and test/"
)


def folder(
    root: str | Path,
    *,
    test_classes: TestClasses = 0.5,
    seed: int = 0,
    levels: Sequence[str] | None = None,
    strays: Literal["refuse", "leave_out"] = "refuse",
    name: str | None = None,
) -> Table:
    """Images in folders: the folder is the class, the folders above it are coarser classes.

    Where the top folders are ``train`` and ``test…`` or ``val…``, they are the splits (a test
    folder that holds just ``query`` and ``gallery`` gives the roles). Otherwise the classes are
    divided: some to train on, the others, never seen, to test on.

    Args:
        root: the folder. Hidden files and files without an image's extension are left out.
        test_classes: a share of the classes to test on (0.5; 1.0 or ``all``: all of them), their
            number (a whole number: 1), or their names; 0 for none.
        seed: of the draw of test classes.
        levels: names for the levels, finest first; by default ``label, label_1, …``.
        strays: what to do with images at another depth than most: ``"refuse"``, or ``"leave_out"``
            as evaluations and exports of a trained run do, whose folder may have grown since.
        name: what reports call it; by default the folder's name.

    Raises:
        DataError: no such folder, no images, images outside a class folder, or class folders
            at different depths.

    Example:
        ``folder("birds")`` reads ``birds/Corvidae/Corvus/crow.jpg`` as label ``Corvus`` of
        label_1 ``Corvidae``.
    """
    base = existing(root, _LAYOUT)
    found = list_pictures(base)
    if found.unreadable:
        raise DataError(
            f"{base}: {counted(len(found.unreadable), 'name')} cannot be read as UTF-8:"
            f" {some(found.unreadable)}; rename {'it' if len(found.unreadable) == 1 else 'them'}"
        )
    files, notes = found.files, list(found.notes)
    if not files:
        raise DataError(
            f"{base}: holds no images ({', '.join(EXTENSIONS)}). Expected there: {_LAYOUT}"
        )
    frame = pd.DataFrame({"path": files}, dtype="str")
    parts = [PurePosixPath(f).parts[:-1] for f in files]
    if _has_splits(parts, base, notes):
        refuse_synonyms(sorted({p[0] for p in parts}), str(base))
        frame["split"] = [split_name(p[0]) for p in parts]
        parts = [p[1:] for p in parts]
        roles, parts = _roles(frame["split"], parts)
        frame = frame.assign(**roles)
    if strays == "leave_out":
        kept, left = _at_one_depth(parts, files)
        notes += left
        frame = frame.loc[kept].reset_index(drop=True)
        files, parts = [files[row] for row in kept], [parts[row] for row in kept]
    elif strays != "refuse":
        raise ConfigError(f"dataset.strays={strays}: write refuse or leave_out.")
    _refuse_inner_splits(parts, files, base)
    names = _add_levels(frame, parts, base, levels)
    if "split" not in frame:
        frame["split"], note = class_disjoint(frame[names[0]], test_classes, seed=seed)
        notes.append(note)
    table = Table.from_frame(
        frame, levels=names, name=name or base.resolve().name, root=base, notes=notes
    )
    return table.with_notes(*unused(table))


def loose_folder(root: str | Path) -> Table:
    """All images below a folder, however they lie there: a gallery to search, not to train on.

    The label is the name of the folder an image lies in, its path where two folders share a name;
    directly in ``root`` it is −1, none. Where all folders lie equally deep, those above are coarser
    levels, ``label_1`` and on, as :func:`folder` reads them.

    Args:
        root: the folder.

    Raises:
        DataError: no such folder, or no images below it.
    """
    base = existing(root, "images, in folders or not")
    found = list_pictures(base)
    notes = list(found.notes)
    if found.unreadable:
        left = counted(len(found.unreadable), "file")
        notes.append(f"{left} left out, for names that are not UTF-8: {some(found.unreadable)}")
    if not found.files:
        raise DataError(f"{base}: holds no images ({', '.join(EXTENSIONS)}).")
    parents = [PurePosixPath(f).parts[:-1] for f in found.files]
    depths = {len(p) for p in parents if p}
    levels = depths.pop() if len(depths) == 1 else 1
    frame = pd.DataFrame({"path": found.files, "split": "gallery"}, dtype="str")
    names = ["label", *(f"label_{i}" for i in range(1, levels))]
    for level, column in enumerate(names):
        frame[column] = pd.Series(
            _class_names([p[: max(0, len(p) - level)] for p in parents]), dtype="str"
        )
    return Table.from_frame(
        frame.assign(is_query=False, is_gallery=True),
        levels=names,
        name=base.resolve().name,
        root=base,
        notes=notes,
    )


class Listing(NamedTuple):
    """Image files below a folder in order, statements on what was left out, and odd names."""

    files: list[str]
    notes: list[str]
    unreadable: list[str]  # image files whose names are not UTF-8, with those bytes as \\xNN


def list_pictures(base: Path) -> Listing:
    """The image files below a folder; links are followed unless they lead to a folder above."""
    if base.resolve() == Path(base.resolve().anchor):
        raise DataError(f"{base}: is the whole file system; name the folder that holds the images")
    files, others, empty, odd = [], Counter[str](), [], list[str]()
    above = {str(base): frozenset([os.path.realpath(base)])}
    for folder, inner, names in os.walk(base, followlinks=True):
        here = above.pop(folder)
        places = {d: os.path.realpath(f"{folder}/{d}") for d in sorted(inner)}
        # A link to a folder above would go round for ever; a second way to one beside is data.
        inner[:] = [
            d for d, at in places.items() if not d.startswith((".", "__MACOSX")) and at not in here
        ]
        above |= {os.path.join(folder, d): here | {places[d]} for d in inner}  # noqa: PTH118
        below = Path(folder).relative_to(base).as_posix()
        found = False
        for file in sorted(names):
            if file.startswith(".") or file in ("Thumbs.db", "desktop.ini"):
                continue
            if file.lower().endswith(EXTENSIONS):
                path = file if below == "." else f"{below}/{file}"
                plain = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                (files if plain == path else odd).append(plain)
                found = True
            else:
                others[Path(file).suffix or file] += 1
        if not found and not inner and below != ".":
            empty.append(below)
    notes = []
    if empty:
        notes.append(f"{counted(len(empty), 'folder')} without images left out: {some(empty)}")
    if others:
        kinds = some(f"{n} × {kind}" for kind, n in others.most_common())
        left = counted(
            others.total(), "file that is not an image by name", "files that are not images by name"
        )
        notes.append(f"{left} left out: {kinds}")
    return Listing(files, notes, odd)


def _has_splits(parts: Sequence[tuple[str, ...]], base: Path, notes: list[str]) -> bool:
    """Whether the top folders are splits; refuses splits beside folders that are none."""
    tops = {p[0] for p in parts if p}
    market = sorted(tops & {"bounding_box_train", "bounding_box_test"})
    if market:
        raise DataError(
            f"{base}: {market[0]}/ is of the Market-1501 layout, whose identities stand in the"
            f" names of the files. Read it with dataset=market1501 dataset.root={base}"
        )
    # A class may well be called "valley", "testudo" or "test_tube": only whole words count alone.
    exact = {t for t in tops if is_exact(t)}
    roles = {t for t in tops if split_name(t) in ROLES}
    both = {split_name(t) for t in roles} == set(ROLES)
    if not exact and not both:
        return bool(tops) and all(is_known(t) for t in tops)
    known = exact | roles | {t for t in tops if is_known(t)}
    strangers = sorted(t for t in tops - known if t not in OTHERS)
    if not strangers and (both or not roles):
        return True
    if strangers and all(len(p) == 1 for p in parts):
        notes.append(
            f"{', '.join(sorted(known))}: read as a class, as the folders beside it hold images too"
        )
        return False
    if not strangers:
        role, other = sorted(roles)[0], next(r for r in ROLES if r != split_name(sorted(roles)[0]))
        raise DataError(
            f"{base}: '{role}' stands beside {some(sorted(exact))} without '{other}'; queries and"
            " their gallery need a folder each"
        )
    hint = next((f" Did you mean '{m}'?" for t in strangers if (m := meant(t))), "")
    raise DataError(
        f"{base}: '{some(sorted(exact or roles))}' is the name of a split, '{some(strangers)}'"
        f" beside it is not.{hint} Name all top folders train, test… or val…, or none of them"
    )


def _at_one_depth(
    parts: Sequence[tuple[str, ...]], files: Sequence[str]
) -> tuple[list[int], list[str]]:
    """The rows at the depth of most, and a note on the others."""
    depths = Counter(len(p) for p in parts)
    most = max(depths, key=lambda depth: (depths[depth], depth))
    kept = [row for row, p in enumerate(parts) if len(p) == most]
    others = [files[row] for row, p in enumerate(parts) if len(p) != most]
    what = counted(len(others), "image")
    notes = [f"{what} at another depth than most left out: {some(others)}"] if others else []
    return kept, notes


def _refuse_inner_splits(
    parts: Sequence[tuple[str, ...]], files: Sequence[str], base: Path
) -> None:
    """Refuse two splits below other folders: read as classes, they would be mixed."""
    for depth in range(max(map(len, parts), default=0)):
        names = {p[depth] for p in parts if len(p) > depth and is_exact(p[depth])}
        spelt = {split_name(n) for n in names}
        if len(spelt) > 1:
            above = {f.split("/")[0] for f in files}
            remedy = (
                f"Name the folder that holds them: dataset={base / above.pop()}"
                if len(above) == 1 and depth == 1
                else "Put the splits on top: train/CLASS/, test/CLASS/"
            )
            raise DataError(
                f"{base}: the splits {some(sorted(names))} lie below other folders, where they"
                f" would be read as classes. {remedy}"
            )


def _roles(
    split: pd.Series, parts: list[tuple[str, ...]]
) -> tuple[dict[str, list[bool]], list[tuple[str, ...]]]:
    seconds: dict[str, set[str]] = {}
    for s, p in zip(split, parts, strict=True):
        seconds.setdefault(s, set()).add(split_name(p[0]) if p else "")
    divided = {s for s, names in seconds.items() if names == {"query", "gallery"}}
    if not divided:
        return {}, parts
    evaluated = [not s.startswith("train") for s in split]
    query, gallery, below = [], [], []
    for s, p, e in zip(split, parts, evaluated, strict=True):
        query.append(e and (s not in divided or split_name(p[0]) == "query"))
        gallery.append(e and (s not in divided or split_name(p[0]) == "gallery"))
        below.append(p[1:] if s in divided else p)
    return {"is_query": query, "is_gallery": gallery}, below


def _add_levels(
    frame: pd.DataFrame, parts: list[tuple[str, ...]], base: Path, levels: Sequence[str] | None
) -> list[str]:
    depths = {len(p): f for p, f in zip(reversed(parts), reversed(frame["path"]), strict=True)}
    if 0 in depths:
        raise DataError(
            f"{base / depths[0]}: an image outside any class folder. Expected: {_LAYOUT}"
        )
    if len(depths) > 1:
        found = ", ".join(f"{file} ({d} deep)" for d, file in sorted(depths.items()))
        raise DataError(
            f"{base}: class folders at different depths: {found}. Bring all images to one depth"
        )
    (depth,) = depths
    names = list(levels or ["label", *(f"label_{i}" for i in range(1, depth))])
    if len(names) != depth:
        raise ConfigError(
            f"dataset.levels: {counted(len(names), 'name')} ({', '.join(names)}) for"
            f" {counted(depth, 'level')} of"
            f" folders in {base}"
        )
    for level, name in enumerate(names):
        frame[name] = pd.Series(_class_names([p[: depth - level] for p in parts]), dtype="str")
    return names


def _class_names(folders: list[tuple[str, ...]]) -> list[str]:
    """The last part of each; -1 of none. The same name in two folders is two classes: paths."""
    paths: dict[str, set[tuple[str, ...]]] = {}
    for folder in folders:
        paths.setdefault(folder[-1] if folder else "-1", set()).add(folder)
    twice = any(len(of_name) > 1 for of_name in paths.values())
    return ["-1" if not f else "/".join(f) if twice else f[-1] for f in folders]
