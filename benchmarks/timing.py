"""What the benchmarks of losses share: one thread, CPU time, medians, candidates in turns."""

from __future__ import annotations

import os
import statistics
import time

import torch

# Which face of the kernels a path is: the environment that chooses it.
PATHS = {
    "native": {"LOOKALIKE_NATIVE": "1", "LOOKALIKE_COMPILE": "0"},
    "torch": {"LOOKALIKE_NATIVE": "0", "LOOKALIKE_COMPILE": "0"},
    "compiled": {"LOOKALIKE_NATIVE": "0", "LOOKALIKE_COMPILE": "1"},
}


def step(loss, x, labels, path="native"):
    """One forward and backward."""

    def go():
        os.environ.update(PATHS[path])
        x.grad = None
        loss(x, labels).backward()

    return go


def two_products(x):
    """The scores of all pairs and a product of their size with the embeddings."""
    x = x.detach()
    scores, gradient = x.new_empty(len(x), len(x)), torch.empty_like(x)

    def go():
        torch.mm(x, x.T, out=scores)
        torch.mm(scores, x, out=gradient)

    return go


def seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def medians(runs, repeat):
    """CPU seconds of each, taken in turns after one unmeasured round."""
    times = {key: [] for key in runs}
    for turn in range(repeat + 1):
        for key, function in runs.items():
            took = seconds(function)
            if turn:
                times[key].append(took)
    return {key: statistics.median(values) for key, values in times.items()}


def table(rows):
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([str(row[h]) for h in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
