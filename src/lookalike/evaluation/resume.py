"""What an evaluation has done so far, kept beside its model until it is complete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from lookalike.config import EvaluationConfig
from lookalike.data.table import Table
from lookalike.errors import counted
from lookalike.files import remove_tree
from lookalike.models.embedder import Embedder
from lookalike.models.embedding_store import EmbeddingStore
from lookalike.runs import Run

FOLDER = "unfinished"


class ResumeStore:
    """Folders of finished parts, each under a name made of everything that decides its numbers.

    Args:
        folder: the run or model folder; the parts lie in ``unfinished/`` in it.
        say: told what is found there.

    Raises:
        OSError: nothing can be written there.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        Run(folder).refuse_links()
        self._say = say
        self._root = folder / FOLDER
        self._root.mkdir(parents=True, exist_ok=True)
        self._used: set[Path] = set()

    def vectors(
        self, model: Embedder, rows: Table, c: EvaluationConfig, precision: torch.dtype | None
    ) -> EmbeddingStore:
        """Where the embeddings of some rows by a model are kept."""
        digest = hashlib.sha256(json.dumps(model.spec.to_dict(), sort_keys=True).encode())
        for name, tensor in model.state_dict().items():
            whole = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(name.encode() + whole.numpy().data)
        how = (c.batch_size, c.scales, precision, model.device.type, rows.fingerprint)
        digest.update(repr(how).encode())
        for path in map(Path, rows.paths):
            about = path.stat() if path.is_file() else None
            stamp = None if about is None else (about.st_size, about.st_mtime_ns)
            digest.update(repr((str(path), stamp)).encode())
        found = EmbeddingStore(self._part("vectors", digest), len(rows))
        if found.before is not None:
            self._say(
                f"resumed  {found.done.sum():,} of {counted(len(rows), 'image')} were embedded "
                "before"
            )
        return found

    def queries(self, title: str, c: EvaluationConfig, vectors: Sequence[np.ndarray]) -> Path:
        """Where the ranked queries of an evaluation of some vectors are kept.

        Args:
            title: what is evaluated.
            c: what is measured.
            vectors: of one or of both sides.
        """
        digest = hashlib.sha256(repr((title, sorted(asdict(c).items()))).encode())
        for array in vectors:
            digest.update(np.ascontiguousarray(array).data)
        return self._part("queries", digest)

    def _part(self, kind: str, digest: hashlib._Hash) -> Path:
        part = self._root / f"{kind}-{digest.hexdigest()[:16]}"
        self._used.add(part)
        return part

    def remove(self) -> None:
        """Remove the parts of this evaluation: it is complete."""
        for part in self._used:
            remove_tree(part, self._root)
        if not any(self._root.iterdir()):
            self._root.rmdir()
