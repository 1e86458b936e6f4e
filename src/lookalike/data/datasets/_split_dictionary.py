"""A split dictionary as RAML defines one: split, then class, then paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from lookalike.data import unpickle
from lookalike.data.table import Table
from lookalike.errors import DataError

_FORM = "{'train': [[paths of class 1], [paths of class 2], …], 'val': …, 'test': …}"


def split_dictionary(
    root: str | Path, *, pictures: str | Path | None = None, validation: bool = False
) -> Table:
    """A file of ``{"train": [[paths of a class], …], "val": …, "test": …}``.

    Args:
        root: the file: a pickle (read without running it), or ``.json``.
        pictures: folder that the paths start from; by default the file's own.
        validation: keep ``val`` as a split to evaluate; by default its classes join training, as
            for RAML's final models.

    Raises:
        DataError: a file that cannot be read or is no such dictionary.
    """
    file = Path(root).expanduser()
    content = _read(file)
    rows = []
    number = 0
    for split, classes in content.items():
        name = "train" if split == "val" and not validation else str(split)
        for place, paths in enumerate(classes):
            if not isinstance(paths, (list, tuple)) or not all(isinstance(p, str) for p in paths):
                raise DataError(
                    f"{file}: class {place} of '{split}' is not a list of paths; {_FORM}"
                )
            rows += [(path, number, name) for path in paths]
            number += 1
    frame = pd.DataFrame(rows, columns=["path", "label", "split"])
    notes = ["the classes of 'val' join training"] if "val" in content and not validation else []
    return Table.from_frame(
        frame,
        name=file.stem,
        root=file.parent if pictures is None else pictures,
        notes=notes,
        source=file,
    )


def _read(file: Path) -> dict[str, list[Any]]:
    if file.suffix == ".json":
        try:
            content = json.loads(file.read_text(encoding="utf-8-sig"))
        except OSError as e:
            raise DataError(f"{file}: cannot be read: {e.strerror or e}") from None
        except (ValueError, RecursionError) as e:
            raise DataError(f"{file}: is not valid JSON: {e}") from None
    else:
        content = unpickle.load(file)
    if not isinstance(content, dict) or not all(
        isinstance(classes, (list, tuple)) for classes in content.values()
    ):
        raise DataError(f"{file}: is not a split dictionary; expected {_FORM}")
    return content
