"""The ways of an index that begin with images instead of vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

if TYPE_CHECKING:
    from lookalike.data.table import Table
    from lookalike.models.embedder import Embedder
    from lookalike.search.image_search import ImageHits
    from lookalike.search.index import Index


class BuildOptions(TypedDict, total=False):
    """Options of `lookalike.search.build.build_index`."""

    split: str | None
    batch_size: int
    workers: int
    overwrite: bool
    engine: str
    engine_options: Mapping[str, Any] | None
    storage: str
    precision: str


class SearchOptions(TypedDict, total=False):
    """Options of `lookalike.search.image_search.search_images`."""

    top: int
    box: Sequence[float] | None
    fuse: str | None
    label: str | None
    where: Sequence[str]
    min_score: float | None
    rerank: str | None
    model: str | Path | None
    student: bool
    exclude_self: bool


class FromImages:
    """What `lookalike.search.Index` can do with images."""

    @classmethod
    def from_images(
        cls,
        model: Embedder | str | Path,
        source: str | Path | Table,
        folder: str | Path,
        **options: Unpack[BuildOptions],
    ) -> Index:
        """Embed images and write an index of them; called again after a kill, it goes on.

        Args:
            model: an embedder, or a run or model folder.
            source: a folder of images, a table file, a data set's name, or a table.
            folder: the index folder to write.
            options: see `lookalike.search.build.build_index`.

        Raises:
            LookalikeError: no model, no images, or a folder that cannot be written.
        """
        from lookalike.search.build import build_index

        return build_index(model, source, folder, **options).index

    def search_images(
        self, queries: str | Path | Sequence[str | Path], **options: Unpack[SearchOptions]
    ) -> ImageHits:
        """The nearest items of image files, or of items of the index by id, as ``#12``.

        Args:
            queries: one or several.
            options: see `lookalike.search.image_search.search_images`.

        Raises:
            DataError: an index without model, or an image that cannot be read.
        """
        from lookalike.search.image_search import search_images

        asked = [queries] if isinstance(queries, str | Path) else queries
        return search_images(cast("Index", self), asked, **options)
