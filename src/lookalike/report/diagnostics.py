"""What the rows of a watch warn of, in words that name what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

# One odd row is chance; so many in a row are not.
ROWS = 3
# ‖x − y‖² of 0.1 on the average, a cosine of 0.95, for t = 2: all images look the same.
COLLAPSED = -0.2
FEW_DIRECTIONS = 2.0
# A loss at its margin says something only where distances are nearly equal.
CROWDED = -1.0
NEAR_MARGIN = 0.05
STARVED = 0.01
WAITING = 0.3

Row = Mapping[str, Any]


def concerns(rows: Sequence[Row]) -> dict[str, str]:
    """Name → warning, of everything that is wrong now.

    Args:
        rows: of ``metrics.jsonl``, in order; those of kind ``watch`` are read, the last three
            decide. A run resumed warns as one never stopped.

    >>> row = {"kind": "watch", "values": {}, "clock": {"waiting_share": 0.5}}
    >>> list(concerns([row] * 3))
    ['data-bound']
    """
    latest = [row for row in rows if row["kind"] == "watch"][-ROWS:]
    if len(latest) < ROWS:
        return {}
    checks = {
        "collapse": _collapse,
        "stuck at the margin": _stuck,
        "starved proxies": _starved,
        "data-bound": _data_bound,
        "falling loss scale": _falling_scale,
    }
    found = {name: check(latest) for name, check in checks.items()}
    return {name: words for name, words in found.items() if words is not None}


def concerns_of_run(rows: Sequence[Row]) -> dict[str, str]:
    """Name → warning, of everything that was wrong at any time, with the steps it was said at.

    >>> row = {"kind": "watch", "step": 50, "values": {}, "clock": {"waiting_share": 0.5}}
    >>> concerns_of_run([row] * 3)["data-bound"][:20]
    'Step 50: Data-bound:'
    """
    watched = [row for row in rows if row["kind"] == "watch"]
    steps: dict[str, list[int]] = {}
    words: dict[str, str] = {}
    for end in range(ROWS, len(watched) + 1):
        for name, said in concerns(watched[end - ROWS : end]).items():
            steps.setdefault(name, []).append(watched[end - 1]["step"])
            words[name] = said
    return {name: f"{_span(steps[name])}: {said}" for name, said in words.items()}


def _span(steps: Sequence[int]) -> str:
    return f"Step {steps[0]}" if len(steps) == 1 else f"Steps {steps[0]} to {steps[-1]}"


def _collapse(rows: Sequence[Row]) -> str | None:
    spread = _values(rows, "uniformity")
    ranks = _values(rows, "effective_rank")
    if spread is None or ranks is None:
        return None
    improves = spread[-1] < spread[0] - 0.05 or ranks[-1] > 1.1 * ranks[0]
    if improves:
        return None
    if min(spread) > COLLAPSED:
        what = f"all images get nearly the same embedding (uniformity {spread[-1]:.2f})"
    elif max(ranks) < FEW_DIRECTIONS:
        what = f"the embeddings lie along one direction (effective rank {ranks[-1]:.1f})"
    else:
        return None
    return (
        f"Collapse: {what}. Lower optimizer.lr, warm up (optimizer.warmup_epochs=1), or use a loss "
        "that pushes negatives apart (loss=norm_softmax; with loss=triplet, loss.mining=semihard)."
    )


def _stuck(rows: Sequence[Row]) -> str | None:
    losses, margins = _values(rows, "loss"), _values(rows, "margin")
    spread = _values(rows, "uniformity")
    if losses is None or margins is None or spread is None or min(spread) < CROWDED:
        return None
    margin = margins[-1]
    if margin <= 0 or any(abs(loss - margin) > NEAR_MARGIN * margin for loss in losses):
        return None
    return (
        f"The loss is stuck at its margin ({losses[-1]:.4f} of {margin:g}): positives are as far "
        "as negatives. Lower optimizer.lr, take larger batches, mine less hard (with loss=triplet, "
        "loss.mining=semihard), or begin with a loss of proxies such as loss=norm_softmax."
    )


def _starved(rows: Sequence[Row]) -> str | None:
    shares = _values(rows, "starved_proxies")
    if shares is None or min(shares) <= STARVED:
        return None
    return (
        f"Starved proxies: {shares[-1]:.0%} of the loss's proxies have not had one image of "
        "their class. Give every class its turn (sampler=m_per_class), or lower loss.num_classes "
        "to the classes there are."
    )


def _data_bound(rows: Sequence[Row]) -> str | None:
    shares = [row["clock"].get("waiting_share", 0.0) for row in rows]
    if min(shares) <= WAITING:
        return None
    return (
        f"Data-bound: {shares[-1]:.0%} of the time goes into waiting for images. Raise workers, "
        "or store the images at the size they are used in (`lookalike data cache`)."
    )


def _falling_scale(rows: Sequence[Row]) -> str | None:
    scales = _values(rows, "loss_scale")
    if scales is None or any(later >= sooner for sooner, later in pairwise(scales)):
        return None
    return (
        f"The loss scale keeps falling (now {scales[-1]:g}): float16 overflows and steps are "
        "skipped. Train with precision=bf16, lower optimizer.lr, or set optimizer.clip_norm=1."
    )


def _values(rows: Sequence[Row], name: str) -> list[float] | None:
    """A figure of all rows, or None where one of them lacks it."""
    found = [row["values"].get(name) for row in rows]
    return None if any(value is None for value in found) else found
