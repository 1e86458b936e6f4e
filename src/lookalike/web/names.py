"""What an image is called to whoever asks: its path below the folder that was indexed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from lookalike.search.index import Index


class Names:
    """Names in the place of paths, for one index.

    Args:
        index: whose images.
        folder: where it is.
        roots: folders, beside those indexed, whose images may be shown.
    """

    def __init__(self, index: Index, folder: Path, roots: Sequence[str] = ()) -> None:
        self.index = index
        self._roots = [*(index.manifest.get("source") or {}).get("roots", [])]
        here = [str(folder.absolute()), os.path.realpath(folder)]
        self._places = sorted({*here, *self._roots, *roots, str(Path.home())}, key=len)[::-1]

    def name(self, path: str) -> str:
        """A path below its root; of one that lies elsewhere, the last part."""
        for root in self._roots:
            if path.startswith(f"{root}/") and ".." not in Path(path).parts:
                return path[len(root) + 1 :]
        return Path(path).name

    def table(self) -> pa.Table:
        """The column ``path`` of the index as names, for conditions on it."""
        paths = self.index.columns["path"].to_pylist()
        return pa.table({"path": [None if path is None else self.name(path) for path in paths]})

    def hide(self, text: str) -> str:
        """A text without the folders of the index and of its images."""
        for place in self._places:
            if len(place) > 1:
                text = text.replace(f"{place}/", "").replace(place, "the index")
        return text
