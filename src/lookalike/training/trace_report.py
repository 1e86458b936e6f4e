"""``lookalike compare --trace A B``: where two trainings part, and by how much."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lookalike.console import Console
from lookalike.errors import ConfigError, counted
from lookalike.training.parting import (
    DOUBLE,
    SINGLE,
    Comparison,
    compare_traces,
    read_trace,
)


def compare_trace_files(
    files: Sequence[str | Path], *, tolerance: float | None = None, as_json: bool = False
) -> Comparison:
    """Compare two traces of ``lookalike train … --trace FILE``.

    Args:
        files: two.
        tolerance: a larger relative difference is one; None: 1e-9 where both were trained in
            float64 (``precision=fp64``), else 1e-5.
        as_json: print JSON instead of sentences.

    Returns:
        What was found; its ``equal`` is the exit code.

    Raises:
        ConfigError: not two files, one that is no trace, or a tolerance below zero.
    """
    if len(files) != 2:
        raise ConfigError(f"compare --trace takes two traces, got {len(files)}.")
    if tolerance is not None and not tolerance >= 0:
        raise ConfigError(f"--tolerance {tolerance}: a relative difference, at least 0.")
    (one, mine), (other, theirs) = (read_trace(Path(file)) for file in files)
    if tolerance is None:
        double = one.get("precision") == other.get("precision") == "fp64"
        tolerance = DOUBLE if double else SINGLE
    found = compare_traces(mine, theirs, tolerance)
    names = (str(files[0]), str(files[1]))
    tables = {about["data"] for about in (one, other) if about.get("data")}
    if as_json:
        print(json.dumps(_finite({"equal": found.equal, **asdict(found)}), indent=2))
    else:
        console = Console()
        for line in sentences(found, names, other_data=len(tables) > 1):
            console.say(line)
    return found


def _finite(node: Any) -> Any:
    """As JSON has it: no number where there is none."""
    if isinstance(node, dict):
        return {key: _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def sentences(found: Comparison, names: tuple[str, str], *, other_data: bool = False) -> list[str]:
    """What a comparison says, in words."""
    lines = []
    if found.first is None:
        worst = max(found.largest.values(), key=lambda one: one.relative)
        lines.append(
            f"The two trainings agree over {counted(found.common, 'step')} to {worst.relative:.1e} "
            f"(tolerance {found.tolerance:.0e})."
        )
    else:
        lines.append(f"The two trainings part at step {found.first.step}: {found.first.words()}.")
        lines += [f"  also there: {one.words()}" for one in found.others[:4]]
        if found.first.step > 1:
            lines.append(f"Before it they agree to {found.before:.1e}.")
    for one in found.largest.values():
        if one.relative > 0:
            lines.append(f"  largest at step {one.step}: {one.words()}")
    if found.steps[0] != found.steps[1]:
        a, b = found.steps
        lines.append(
            f"They are of different length: {names[0]} {counted(a, 'step')}, {names[1]} {b:,}."
        )
    if other_data:
        lines.append("They were trained on different tables: equal row numbers are other images.")
    return lines
