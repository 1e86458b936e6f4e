"""`exact_ranks` in plain torch, for tiles that live on an accelerator and should stay there."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch

from lookalike.ops import paths
from lookalike.ops.sizes import sizes
from lookalike.ops.tiles import Pairs

_PAIRS = 2**19  # pairs of vectors gathered at a time
_FEW = 32  # relevant items a query compared with the tile one by one; more share one sort
_CLOSE_BYTES = 40  # for each score of a row that is looked at again
_FEW_IN_TRITON = 512  # the same where one reading of a row serves several of them


def exact_dots(
    query: torch.Tensor, gallery: torch.Tensor, rows: torch.Tensor, items: torch.Tensor
) -> torch.Tensor:
    """`exact_scores` on the device: float64, dimension by dimension.

    Args:
        query: ``(b, d)``.
        gallery: ``(n, d)``.
        rows: ``(m,)`` rows of ``query``.
        items: ``(m,)`` rows of ``gallery``.
    """
    if paths.triton_counts(query):
        return _triton().exact_dots(query, gallery, rows, items)
    total = torch.zeros(len(rows), dtype=torch.float64, device=query.device)
    for part in torch.arange(len(rows), device=query.device).split(_PAIRS):
        one, other, sums = query[rows[part]], gallery[items[part]], total[part[0] : part[-1] + 1]
        # A sum or a scan may add in any order on a device; one step a dimension may not.
        for q, g in zip(one.T, other.T, strict=True):
            sums += q.double() * g.double()
    return total


def exact_counts_torch(
    scores: torch.Tensor,
    error: torch.Tensor,
    relevant: Pairs,
    query: torch.Tensor,
    gallery: torch.Tensor,
) -> torch.Tensor:
    """For every relevant item, ``(3, m)`` int64: items above it, tied with it, tied before it.

    Args:
        scores: ``(b, n)`` float32 or float64; -inf takes an item out of the ranking.
        error: ``(b,)`` float64 bound on the error of a row's scores.
        relevant: the items to rank.
        query: ``(b, d)`` the vectors themselves.
        gallery: ``(n, d)`` likewise.
    """
    device = scores.device
    rows = torch.from_numpy(relevant.rows).to(device)
    items = torch.from_numpy(relevant.items).to(device)
    result = torch.zeros((3, len(rows)), dtype=torch.int64, device=device)
    if len(rows) == 0:
        return result
    most = int(relevant.counts.max())
    few = most <= (_FEW_IN_TRITON if paths.triton_counts(scores) else _FEW)
    # Bands around exact scores are half as wide: worth their price where many lie within.
    exactly = few and scores.dtype == torch.float32
    centre = exact_dots(query, gallery, rows, items) if exactly else scores[rows, items].double()
    radius = error[rows] * (1 if exactly else 2)
    low, high = _outside(centre, radius, scores.dtype)
    places = torch.arange(len(rows), device=device)
    places = places - torch.from_numpy(relevant.starts[:-1]).to(device)[rows]
    shape = (len(scores), most)
    table = [torch.full(shape, torch.inf, dtype=scores.dtype, device=device) for _ in range(2)]
    for bound, values in zip(table, (low, high), strict=True):
        bound[rows, places] = values
    above, reach = (_compare if few else _search)(scores, *table)
    result[0] = above[rows, places]
    unsure = (reach - above)[rows, places] > 1
    if bool(unsure.any()):
        close = _close(scores, table, rows[unsure], places[unsure])
        _settle(result, unsure, close, scores, high, rows, items, query, gallery)
    return result


def best_scores_torch(
    scores: torch.Tensor, error: torch.Tensor, query: torch.Tensor, gallery: torch.Tensor
) -> torch.Tensor:
    """The exact score of each row's nearest item, ``(b,)``; -inf where every item is out."""
    best = torch.full((len(scores),), -torch.inf, dtype=torch.float64, device=scores.device)
    if scores.numel() == 0:
        return best
    low, _ = _outside(scores.amax(dim=1).double(), 2 * error, scores.dtype)
    near = (scores >= low[:, None]) & (scores > -torch.inf)
    rows, items = near.nonzero(as_tuple=True)
    return best.scatter_reduce(0, rows, exact_dots(query, gallery, rows, items), "amax")


def _outside(
    centre: torch.Tensor, radius: torch.Tensor, kind: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """The numbers of a type that enclose ``centre ± radius``."""
    infinity = torch.tensor(torch.inf, dtype=kind, device=centre.device)
    low = torch.nextafter((centre - radius).to(kind), -infinity)
    return low, torch.nextafter((centre + radius).to(kind), infinity)


def _compare(
    scores: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Items above each band, and items above its lower end: by Triton, or a column at a time."""
    if paths.triton_counts(scores):
        return _triton().counts(scores, low, high)
    above = [(scores > bound[:, None]).sum(dim=1) for bound in high.T]
    reach = [(scores >= bound[:, None]).sum(dim=1) for bound in low.T]
    return torch.stack(above, dim=1), torch.stack(reach, dim=1)


def _triton() -> ModuleType:
    return import_module("lookalike.ops.triton_counts")


def _search(
    scores: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same through one sort of each row."""
    ordered = torch.sort(scores, dim=1).values
    width = scores.shape[1]
    above = width - torch.searchsorted(ordered, high, right=True)
    return above, width - torch.searchsorted(ordered, low)


def _close(
    scores: torch.Tensor, table: list[torch.Tensor], rows: torch.Tensor, places: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and item of every score inside a band that the tile could not settle.

    Args:
        scores: ``(b, n)``.
        table: the lower and the upper ends of all bands, ``(b, p)`` each.
        rows: ``(u,)``, rising, of the bands in question.
        places: ``(u,)`` their columns in the table.
    """
    # Most rows have none: only the others are looked at again.
    few, row = rows.unique_consecutive(return_inverse=True)
    low, high = (torch.full_like(bound[: len(few)], torch.inf) for bound in table)
    for mine, bound in zip((low, high), table, strict=True):
        mine[row, places] = bound[rows, places]
    # Bands of a row are equally wide, so both ends have one order. Of those that start below an
    # item only the last can still hold it, unless none does.
    low, high = low.sort(dim=1).values, high.sort(dim=1).values
    step = max(1, sizes(scores.device).chunk // (_CLOSE_BYTES * max(1, scores.shape[1])))
    parts = []
    for numbers, bottom, top in zip(
        few.split(step), low.split(step), high.split(step), strict=True
    ):
        own = scores[numbers]
        last = torch.searchsorted(bottom, own, right=True).sub_(1)
        inside = (own <= top.gather(1, last.clamp(min=0))) & (last >= 0)
        row, item = inside.nonzero(as_tuple=True)
        parts.append((numbers[row], item))
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def _settle(
    result: torch.Tensor,
    unsure: torch.Tensor,
    close: tuple[torch.Tensor, torch.Tensor],
    scores: torch.Tensor,
    high: torch.Tensor,
    rows: torch.Tensor,
    items: torch.Tensor,
    query: torch.Tensor,
    gallery: torch.Tensor,
) -> None:
    """Score the close ones again, exactly, and correct the counts of the unsure."""
    row, item = close  # by row, then by item
    mine, own = rows[unsure], items[unsure]
    exact, code = exact_dots(query, gallery, row, item).unique(return_inverse=True)
    step = len(exact) + 1
    keys, order = (row * step + code).sort(stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    width = scores.shape[1]
    at = torch.searchsorted(row * width + item, mine * width + own)
    key = mine * step + code[at]
    left, right = torch.searchsorted(keys, key), torch.searchsorted(keys, key, right=True)
    end = torch.searchsorted(keys, (mine + 1) * step)
    # Those of the close ones beyond a band are among its `above` already.
    rough, level = torch.cat([scores[row, item], high[unsure]]).unique(return_inverse=True)
    step = len(rough) + 1
    shelf = (row * step + level[: len(row)]).sort().values
    beyond = torch.searchsorted(shelf, mine * step + level[len(row) :], right=True)
    counted = torch.searchsorted(shelf, (mine + 1) * step) - beyond
    result[0, unsure] += (end - right) - counted
    result[1, unsure] = right - left - 1
    result[2, unsure] = place[at] - left
