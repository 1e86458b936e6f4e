"""What the parts of gpu.py share: the device, a clock, and rows with an aim."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_CARD = DEVICE.type == "cuda"


def wait() -> None:
    """Until the device has done all it was given."""
    if ON_CARD:
        torch.cuda.synchronize()


def seconds(function: Callable[[], object], rounds: int = 7, warm: int = 2) -> float:
    """Median seconds of a call, by CUDA events where there are such."""
    times = []
    for turn in range(warm + rounds):
        wait()
        if ON_CARD:
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            function()
            stop.record()
            wait()
            took = start.elapsed_time(stop) / 1e3
        else:
            began = time.perf_counter()
            function()
            took = time.perf_counter() - began
        if turn >= warm:
            times.append(took)
    return statistics.median(times)


def peak_gib(function: Callable[[], object]) -> float:
    """GiB that a call allocates beside what is there; 0 on a CPU."""
    if not ON_CARD:
        function()
        return 0.0
    wait()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    function()
    wait()
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def row(what: str, found: float, unit: str, aim: float | None = None, more: str = "", **rest):
    """A figure; it must be at most ``aim``, or at least with ``at_least=True``."""
    at_least = rest.pop("at_least", False)
    met = None if aim is None else (found >= aim if at_least else found <= aim)
    sign = "≥" if at_least else "≤"
    return {
        "what": what,
        "found": f"{found:.3g} {unit}",
        "aim": "" if aim is None else f"{sign} {aim:g} {unit}",
        "met": met if ON_CARD else None,
        "more": more,
        **rest,
    }
