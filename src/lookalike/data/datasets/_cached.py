"""The fast copy of a data set, as a data set."""

from __future__ import annotations

from pathlib import Path

from lookalike.data.cache import open_cache
from lookalike.data.table import Table


def cached(root: str | Path, *, verify: bool = False) -> Table:
    """What `lookalike.data.cache.build_cache` wrote: small images in a few large files.

    Args:
        root: the cache's folder.
        verify: compare every shard's checksum first.

    Raises:
        DataError: no cache, or a shard that is damaged or missing.
    """
    return open_cache(root, verify=verify)
