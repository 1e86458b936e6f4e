"""What a sweep shows: plain values, nothing of how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One searched option.

    Attributes:
        low: lower end of its range; None where it has choices.
        high: upper end.
        log: whether the range is even in the logarithm.
        choices: its values, where it has no range.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: Sequence[Value] = ()


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial.

    Attributes:
        number: from 0.
        state: ``finished``, ``pruned``, ``failed`` or ``running``.
        values: option → value.
        value: what it reached, pruned ones at their last evaluation; None where there is none.
        epochs: of its evaluations, how far it came.
        reason: why it failed.
        run: its run's report, as a link from the page; empty: it has none.
    """

    number: int
    state: str
    values: Mapping[str, Value]
    value: float | None = None
    epochs: int = 0
    reason: str = ""
    run: str = ""


@dataclass(frozen=True, kw_only=True)
class SweepReport:
    """Everything the page of a sweep shows.

    Attributes:
        title: the study's name.
        metric: what is made large.
        axes: option → its range.
        trials: in the order of their numbers.
        importances: option → share of the spread that it explains.
        command: the command that trains the best again.
        facts: (name, value): sampler, pruner, storage, ….
        created: when, as it shall be written.
    """

    title: str
    metric: str
    axes: Mapping[str, Axis]
    trials: Sequence[TrialRow]
    importances: Mapping[str, float] = field(default_factory=dict)
    command: str = ""
    facts: Sequence[tuple[str, str]] = ()
    created: str = ""

    @property
    def finished(self) -> list[TrialRow]:
        """Trials that ran to their end, best first; equals in their order."""
        done = [t for t in self.trials if t.state == "finished" and t.value is not None]
        return sorted(done, key=lambda t: (-(t.value or 0.0), t.number))
