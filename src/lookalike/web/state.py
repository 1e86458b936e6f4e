"""The index and the model that a server answers with: taken up together, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike.errors import LookalikeError
from lookalike.search.encoders import Encoder
from lookalike.search.generations import MANIFEST
from lookalike.search.index import Index

Stamp = tuple[int, int]


class Unready(LookalikeError):  # noqa: N818 (an answer of HTTP: 503)
    """The model is not loaded yet, or could not be."""


@dataclass(frozen=True)
class Pair:
    """An index and the model that made its vectors; `encoder` is None while it is not loaded."""

    index: Index
    stamp: Stamp
    encoder: Encoder | None = None
    failure: str = "the model is being loaded"

    @property
    def model(self) -> tuple[object, ...]:
        """What the vectors depend on: an index with another of these needs its own model."""
        manifest = self.index.manifest
        bound = manifest.get("model") or {}
        names = ("sha256", "origin", "preprocessing", "folder")
        return manifest["width"], manifest.get("precision"), *(bound.get(name) for name in names)

    def require_encoder(self) -> Encoder:
        """The model.

        Raises:
            Unready: it is not loaded.
        """
        if self.encoder is None:
            raise Unready(self.failure)
        return self.encoder


class State:
    """What a server answers with, kept up with the folder on disk.

    Args:
        folder: the index.
        open_encoder: loads the model of an index.
        changed: called after another state has been taken up.
    """

    def __init__(
        self,
        folder: Path,
        open_encoder: Callable[[Index], Encoder],
        changed: Callable[[Pair], None],
    ) -> None:
        self.folder, self._open_encoder, self._changed = folder, open_encoder, changed
        self._lock, self._loading = threading.Lock(), threading.Lock()
        self._pair = Pair(Index.open(folder), self._read_stamp())

    @property
    def latest(self) -> Pair:
        """What was taken up last, without a look at the folder."""
        return self._pair

    def present(self) -> Pair:
        """The index as it is on disk now, which the command line may have changed, and its model.

        Where it was built again with another model, that one is loaded in a thread of its own, and
        until then `Pair.require_encoder` says so.

        Raises:
            Unready: the folder cannot be read at this moment.
        """
        if self._read_stamp() != self._pair.stamp:
            with self._lock:
                stamp = self._read_stamp()
                if stamp != self._pair.stamp:
                    self._take(self._open(), stamp)
        return self._pair

    def load(self) -> None:
        """Load the model of the present index and warm it up; readiness comes with it."""
        with self._loading:
            while True:
                pair = self._pair
                if pair.encoder is not None:
                    return
                encoder, failure = self._load(pair.index)
                with self._lock:
                    if self._pair.model == pair.model:
                        self._put(Pair(self._pair.index, self._pair.stamp, encoder, failure))
                        return
                # The index got yet another model while this one was being loaded.

    def change(self, change: Callable[[Index], Index]) -> Index:
        """Write to the index, and take up what comes of it."""
        with self._lock:
            index = change(self._pair.index)
            self._take(index, self._read_stamp())
            return index

    def _load(self, index: Index) -> tuple[Encoder | None, str]:
        try:
            encoder = self._open_encoder(index)
            grey = np.full((64, 64, 3), 128, np.uint8)
            index.search(encoder.pictures([grey]), 1)
        except LookalikeError as error:
            return None, str(error)
        return encoder, ""

    def _take(self, index: Index, stamp: Stamp) -> None:
        before, after = self._pair, Pair(index, stamp)
        if after.model == before.model:
            self._put(Pair(index, stamp, before.encoder, before.failure))
            return
        self._put(Pair(index, stamp, None, "the index was built again with another model, which "
                       "is being loaded; ask again in a moment"))  # fmt: skip
        threading.Thread(target=self.load, daemon=True).start()

    def _put(self, pair: Pair) -> None:
        self._pair = pair
        self._changed(pair)

    def _open(self) -> Index:
        try:
            return Index.open(self.folder)
        except LookalikeError as error:
            raise Unready(f"the index cannot be read at this moment: {error}") from error

    def _read_stamp(self) -> Stamp:
        try:
            stat = (self.folder / MANIFEST).stat()
        except OSError as error:
            raise Unready(f"the index is not there at this moment ({error.strerror})") from error
        return stat.st_mtime_ns, stat.st_ino
