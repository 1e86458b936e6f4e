"""Where two traced trainings part, and by how much."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike.errors import ConfigError
from lookalike.training.trace import KIND

DOUBLE, SINGLE = 1e-9, 1e-5  # tolerances of trainings in float64, and in anything less
# In the order in which one causes the next within a step.
_QUANTITIES = ("batches", "rates", "losses", "gradient_norms", "weight_norms")
_WORDS = {
    "batches": "the images",
    "rates": "the learning rate",
    "losses": "the loss",
    "gradient_norms": "the gradient norm",
    "weight_norms": "the weight norm",
}


@dataclass(frozen=True)
class Difference:
    """One quantity of one step in two trainings.

    Attributes:
        step: from 1.
        quantity: such as ``rates``.
        part: of it: a group of parameters, or the number of a batch in its step.
        values: in the first and in the second.
        relative: |a − b| / max(|a|, |b|); infinite where one has no number, or other images.
    """

    step: int
    quantity: str
    part: str
    values: tuple[Any, Any]
    relative: float

    def words(self) -> str:
        """Such as ``the learning rate of head: 2e-05 and 1e-05 (5.0e-01 apart)``."""
        a, b = self.values
        name = _WORDS[self.quantity] + (f" of {self.part}" if self.part else "")
        if self.quantity == "batches":
            return f"{name}: {_shown(a)} and {_shown(b)}"
        apart = f"{self.relative:.1e} apart" if math.isfinite(self.relative) else "no number"
        return f"{name}: {a:.12g} and {b:.12g} ({apart})"


@dataclass(frozen=True)
class Comparison:
    """Two traces side by side.

    Attributes:
        steps: how many each has.
        common: steps that both have.
        tolerance: of relative differences.
        first: of the first step that differs by more, in the order of cause: images, rates,
            losses, gradients, weights; None where none does.
        others: what else differs in that step.
        largest: the largest difference of each quantity, over all common steps.
        before: the largest difference before ``first``.
    """

    steps: tuple[int, int]
    common: int
    tolerance: float
    first: Difference | None
    others: tuple[Difference, ...]
    largest: dict[str, Difference]
    before: float

    @property
    def equal(self) -> bool:
        """Whether they agree in every step, and have the same number of them."""
        return self.first is None and self.steps[0] == self.steps[1]


def read_trace(file: Path) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """The first line of a trace, and its rows by step.

    A row needs ``step``; ``losses``, ``rates``, ``gradient_norms``, ``weight_norms`` and
    ``batches`` are compared where both have them, so any program can write one.

    Raises:
        ConfigError: no such file, or one that is no trace; names the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(
            f"{file}: cannot be read as a trace ({reason}). `lookalike train … --trace FILE` "
            "writes one."
        ) from None
    about: dict[str, Any] = {}
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if number == 1 and isinstance(row, dict) and row.get("kind") == KIND:
            about = row
        elif isinstance(row, dict) and isinstance(row.get("step"), int):
            rows[row["step"]] = row
        else:
            raise ConfigError(
                f"{file}, line {number}: no row of a trace (a JSON object with the number 'step')."
            )
    if not rows:
        raise ConfigError(f"{file}: no step is in it.")
    return about, rows


def compare_traces(
    a: dict[int, dict[str, Any]], b: dict[int, dict[str, Any]], tolerance: float
) -> Comparison:
    """Step by step.

    Args:
        a: rows by step, of :func:`read_trace`.
        b: the other's.
        tolerance: a larger relative difference is one.

    Raises:
        ConfigError: they have no step, or no quantity, in common.
    """
    common = sorted(a.keys() & b.keys())
    if not common:
        raise ConfigError("The two traces have no step in common.")
    largest: dict[str, Difference] = {}
    first: list[Difference] = []
    before, compared = 0.0, False
    for step in common:
        found = list(_differences(step, a[step], b[step]))
        compared = compared or bool(found)
        for one in found:
            if one.quantity not in largest or one.relative > largest[one.quantity].relative:
                largest[one.quantity] = one
        if first:
            continue
        first = [one for one in found if not one.relative <= tolerance]
        if not first:
            before = max([before, *(one.relative for one in found)])
    if not compared:
        raise ConfigError(
            "The two traces have no quantity in common: "
            f"{_held(a[common[0]])} and {_held(b[common[0]])}."
        )
    steps = (len(a), len(b))
    leading, others = (first[0], tuple(first[1:])) if first else (None, ())
    return Comparison(steps, len(common), tolerance, leading, others, largest, before)


def _differences(step: int, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    for quantity in _QUANTITIES:
        if quantity not in a or quantity not in b:
            continue
        mine, theirs = _parts(a[quantity]), _parts(b[quantity])
        for part in [*mine, *(name for name in theirs if name not in mine)]:
            x, y = mine.get(part), theirs.get(part)
            name = part if isinstance(part, str) else f"batch {part}" if len(mine) > 1 else ""
            if quantity == "batches":
                relative = 0.0 if x == y else math.inf
            else:
                x, y = (math.nan if value is None else float(value) for value in (x, y))
                relative = _relative(x, y)
            yield Difference(step, quantity, name, (x, y), relative)


def _parts(found: Any) -> dict[Any, Any]:
    return found if isinstance(found, dict) else dict(enumerate(found, 1))


def _relative(x: float, y: float) -> float:
    if x == y:
        return 0.0
    found = abs(x - y) / max(abs(x), abs(y))
    return math.inf if math.isnan(found) else found


def _shown(rows: Any) -> str:
    if rows is None:
        return "none"
    some = ", ".join(str(row) for row in rows[:4])
    return f"rows {some}{', …' if len(rows) > 4 else ''}"


def _held(row: dict[str, Any]) -> str:
    return ", ".join(name for name in _QUANTITIES if name in row) or "none"
