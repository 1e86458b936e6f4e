"""The rank losses at the batches of the hierarchical recipes: half of a batch is positive.

Two coarse classes a batch, as HAPPIER's sampler draws them, and fine classes of four: at the coarse
level every query has B/2 positives. Called by losses.py.
"""

from __future__ import annotations

import math
import time

import torch
from timing import medians, step, two_products

from lookalike import losses
from lookalike.ops import line_sums, native_kernels, paths
from lookalike.ops.line_sums import Points
from lookalike.ops.step_sums import step_slopes_, step_sums_and_slopes, torch_slopes_, torch_sums
from lookalike.ops.steps import SoftStep

DIMENSIONS, PER_CLASS = 512, 4
SUP = {"offset": 1.44}
LOSSES = {
    "SupAP, fine level": lambda: losses.SupAP(**SUP),
    "SupAP(level=1)": lambda: losses.SupAP(**SUP, level=1),
    "SmoothAP(level=1)": lambda: losses.SmoothAP(level=1),
    "SupHAP": lambda: losses.SupHAP(**SUP),
    "SupHAP with H-rank bound": lambda: losses.SupHAP(**SUP, beta=25.0, gamma=0.5, leak=10.0),
    "SmoothHAP": lambda: losses.SmoothHAP(),
    "SupNDCG": lambda: losses.SupNDCG(**SUP),
    "SupRecall(level=1)": lambda: losses.SupRecall(**SUP, level=1),
}
PAIRWISE = {
    "Calibration": lambda: losses.Calibration(),
    "Contrastive": lambda: losses.Contrastive(),
    "MultiSimilarity": lambda: losses.MultiSimilarity(),
    "Triplet": lambda: losses.Triplet(),
}
POSITIVES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)


def world(size, levels=2):
    """Unit vectors, and labels from fine classes of four to a coarsest level of two classes.

    From three levels on the classes double in size from level to level; of seven, as in
    iNaturalist's whole tree, the last is a kingdom that holds nearly all.
    """
    random = torch.Generator().manual_seed(0)
    item = torch.arange(size)
    each = [PER_CLASS, *(PER_CLASS * 4**depth for depth in range(1, levels - 1)), size // 2]
    labels = torch.stack([item // min(n, size // 2) for n in each], dim=1)
    if levels == 7:
        labels[:, -1] = (item >= size - size // 16).long()

    def centres(n):
        count = math.ceil(size / n)
        return torch.randn(count, DIMENSIONS, generator=random).repeat_interleave(n, 0)[:size]

    x = 0.7 * centres(size // 2) + centres(PER_CLASS)
    x = x + 2.5 * torch.randn(size, DIMENSIONS, generator=random)
    return torch.nn.functional.normalize(x).requires_grad_(), labels


def every_triple(x, labels):
    """SupHAP as it is published: one step for each query, item and other item, B³ of them."""

    def go():
        x.grad = None
        scores = x @ x.T
        level = (labels[:, None] == labels).sum(2)
        ahead = scores[:, None, :] - scores[:, :, None]
        is_lower = level[:, None, :] < level[:, :, None]
        bound = torch.where(ahead > 0.05, 100 * (ahead - 0.05) + 1.44, torch.sigmoid(ahead / 0.01))
        bound = bound + 0.5 * ((ahead > 0) & (ahead <= 0.05))
        push = torch.where(is_lower, bound, (ahead >= 0).to(x.dtype))
        push = push * (1 - torch.eye(len(x)))
        same = [(level == depth).sum(1, keepdim=True).clamp(min=1) for depth in range(3)]
        worth = sum(depth * (level == depth) / same[depth] for depth in (1, 2))
        exact = (ahead >= 0).to(x.dtype) * (1 - torch.eye(len(x)))
        h_rank = worth + (exact * torch.minimum(worth[:, None], worth[:, :, None])).sum(2)
        score = (h_rank / (1 + push.sum(2))).sum(1) / worth.sum(1)
        (1 - score).mean().backward()

    return go


def ratios(size, makes, x, labels, more=(), repeat=3):
    """Of each loss, the CPU time over that of the two products."""
    runs = {"floor": two_products(x), **{n: step(m(), x, labels) for n, m in makes.items()}}
    took = medians(runs | dict(more), repeat if size < 4096 else 2)
    base = took.pop("floor")
    return {name: (value / base, value) for name, value in took.items()}


def by_size(sizes):
    rows, seen = {}, {}
    for size in sizes:
        x, labels = world(size)
        more = {"SupHAP, B³ steps": every_triple(x, labels)} if size <= 256 else {}
        for name, (ratio, value) in ratios(size, LOSSES, x, labels, more).items():
            rows.setdefault(name, {"loss": name})[f"{size}"] = f"{ratio:.1f} × ({value:.3g} s)"
            seen.setdefault(name, {})[size] = value
    for name, values in seen.items():
        # Below a thousand, what every call costs hides the growth.
        pairs = [(s, 2 * s) for s in values if 2 * s in values and s >= 1024]
        growth = ", ".join(f"{values[b] / values[a]:.1f}" for a, b in pairs)
        rows[name]["twice the batch costs"] = growth
    heads = ["loss", *map(str, sizes), "twice the batch costs"]
    return [{head: row.get(head, "") for head in heads} for row in rows.values()]


def by_levels(size):
    rows = []
    for levels in (2, 3, 5, 7):
        x, labels = world(size, levels)
        makes = {name: LOSSES[name] for name in ("SupHAP", "SmoothHAP", "SupNDCG")}
        found = ratios(size, makes, x, labels)
        rows.append({"levels": levels} | {n: f"{ratio:.1f} ×" for n, (ratio, _) in found.items()})
    return rows


def pairwise(size):
    x, labels = world(size)
    found = ratios(size, PAIRWISE, x, labels[:, 0])
    return [{"loss": name, f"{size}": f"{ratio:.1f} ×"} for name, (ratio, _) in found.items()]


def microseconds(function, rows):
    function()
    start = time.process_time()
    function()
    return (time.process_time() - start) / rows * 1e6


def faces(step):
    """For each face, the sums of a row and then its slopes, which may use what the sums found."""
    known = []

    def native_line(scores, pivots):
        known[:] = [native_kernels.line_sums_and_slopes(scores, pivots, step)[2]]

    def native_slopes(scores, pivots, weights):
        native_kernels.line_slopes_(scores, pivots, weights, *known, step)

    def torch_line(scores, pivots):
        return line_sums.line_sums(Points.of(scores), pivots, step)

    def torch_line_slopes(scores, pivots, weights):
        line_sums.line_sums(Points.of(scores), pivots, step, is_slope=True)
        line_sums.line_sums(Points.of(-pivots, weights), -scores, step, is_slope=True)

    def chosen(scores, pivots):
        known[:] = [step_sums_and_slopes(scores, pivots, step)[1]]

    def chosen_slopes(scores, pivots, weights):
        step_slopes_(scores, pivots, weights, step, *known)

    def by_pair(sums, slopes):
        return lambda s, p: sums(s, p, step), lambda s, p, w: slopes(s, p, w, step)

    native = {}
    if paths.native() is not None:
        native["native, by pair"] = by_pair(native_kernels.step_sums, native_kernels.step_slopes_)
        native["native, on the line"] = native_line, native_slopes
    return native | {
        "torch, by pair": by_pair(torch_sums, torch_slopes_),
        "torch, on the line": (torch_line, torch_line_slopes),
        "as chosen": (chosen, chosen_slopes),
    }


def by_positives(size=4096):
    """Values and slopes of one row, pair by pair and on the line, over the number of positives."""
    step = SoftStep.upper_bound(0.01, 100.0, 0.05, 0.5, 1.44)
    random = torch.Generator().manual_seed(0)
    found = []
    for positives in POSITIVES:
        count = max(4, 256 // positives)
        scores = torch.randn(count, size - positives, generator=random) * 0.15
        pivots = torch.randn(count, positives, generator=random) * 0.15 + 0.2
        weights = torch.randn(count, positives, generator=random)
        row = {"positives": positives}
        for face, (sums, slopes) in faces(step).items():

            def go(sums=sums, slopes=slopes, scores=scores, pivots=pivots, weights=weights):
                sums(scores, pivots)
                slopes(scores.clone(), pivots, weights)

            row[face] = round(microseconds(go, count))
        found.append(row)
    return found


CROSSING = "Microseconds a row of 4096 scores, values and slopes, over the number of positives"


def parts(sizes):
    """Tables by title."""
    largest = max(sizes)
    return {
        "Half of the batch positive, in two products of the embeddings": by_size(
            sorted({128, 256, *sizes})
        ),
        "The same by the number of levels, batch 1024": by_levels(1024),
        f"Pair losses, fine level, batch {largest}": pairwise(largest),
        CROSSING: by_positives(),
    }


def draw(found, path):
    """Cost over the number of positives, both ways."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    rows = found[CROSSING]
    for name in [head for head in rows[0] if head not in ("positives", "as chosen")]:
        axes.loglog([r["positives"] for r in rows], [r[name] for r in rows], "o-", label=name)
    axes.set(xlabel="positives of 4,096", ylabel="µs a row")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
