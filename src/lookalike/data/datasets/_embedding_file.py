"""An embedding file as a data set: vectors in place of images, for a head to learn on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lookalike.data.datasets.table_files import divided_frame
from lookalike.data.embedding_file import Embeddings, place
from lookalike.data.splits import TestClasses
from lookalike.data.table import Table
from lookalike.errors import DataError


def embedding_file(
    root: str | Path,
    *,
    levels: Sequence[str] | None = None,
    test_classes: TestClasses = 0.5,
    seed: int = 0,
    name: str | None = None,
) -> Table:
    """Anyone's vectors with their labels: ``features.npy`` and, beside it, ``features.parquet``.

    The array is ``(N, D)`` (``.npy``, or ``.safetensors`` with the key ``embeddings``); the table
    (``.parquet`` or ``.csv``) has its N rows in the same order, with the columns of `table_file`
    except ``path``, which may be missing. `lookalike embed` writes such files.

    Args:
        root: the array's file.
        levels: label columns, finest first; by default those that the table notes, else ``label``.
        test_classes: where there is no split: share, number or names of the classes to test on.
        seed: of the draw of test classes.
        name: what reports call it; by default the file's name.

    Raises:
        DataError: no table with labels beside it, or one of another length.
    """
    file = Path(root).expanduser()
    held = Embeddings.load(file)
    wanted = list(levels or held.rows.attrs.get("levels") or ["label"])
    missing = [level for level in wanted if level not in held.rows]
    if missing:
        raise DataError(
            f"{file}: a head learns from labels, and the table beside it has no column "
            f"{missing[0]}. Put a {file.with_suffix('.csv').name} or .parquet with one row a "
            "vector there, or name the columns with dataset.levels=[…]"
        )
    paths = [place(file.name, row) for row in range(len(held.vectors))]
    shown = {"image": held.rows["path"]} if "path" in held.rows else {}
    frame = held.rows.drop(columns=["row"], errors="ignore").assign(path=paths, **shown)
    return divided_frame(
        frame,
        file,
        levels=wanted,
        root=file.parent,
        test_classes=test_classes,
        seed=seed,
        name=name or file.stem,
    )
