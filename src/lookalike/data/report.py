"""What the doctor found, as text and as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lookalike.errors import counted


@dataclass(frozen=True)
class ClassSizes:
    """Spread of the number of images per class."""

    count: int
    smallest: int
    median: float
    largest: int

    @classmethod
    def of(cls, counts: np.ndarray) -> ClassSizes:
        """From the number of images of each class."""
        if not len(counts):
            return cls(0, 0, 0.0, 0)
        return cls(len(counts), int(counts.min()), float(np.median(counts)), int(counts.max()))

    def __str__(self) -> str:
        if not self.count:
            return "no classes"
        classes = counted(self.count, "class", "classes")
        return f"{classes} of {self.smallest}–{self.largest} (median {self.median:g})"


@dataclass(frozen=True)
class SplitSummary:
    """Size of one split; ``classes`` has an entry a level, finest first."""

    name: str
    rows: int
    queries: int
    gallery: int
    classes: tuple[ClassSizes, ...]


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        kind: ``missing``, ``broken``, ``conflict``, ``leak``, ``contradiction``, ``copy``,
            ``overlap``, ``singleton``, ``lonely``, ``near``, ``flat``, ``unused``, ``sideless``,
            ``twins`` or ``nameless``.
        problem: whether it spoils results, or is worth knowing only.
        count: how often.
        what, remedy: in words.
        items: the first twenty, in words.
        rows: all row numbers concerned, where they are rows.
    """

    kind: str
    problem: bool
    count: int
    what: str
    remedy: str
    items: tuple[str, ...]
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        shown = 5
        listed = "".join(f"\n    {item}" for item in self.items[:shown])
        more = f"\n    and {self.count - shown:,} more" if self.count > shown else ""
        return f"{self.count:,} {self.what}; {self.remedy}{listed}{more}"


@dataclass(frozen=True)
class DataReport:
    """What `check` found.

    Attributes:
        name, fingerprint, rows, levels, notes: of the table.
        splits: a `SplitSummary` each.
        findings: problems and remarks.
        pictures: whether files were read.
    """

    name: str
    fingerprint: str
    rows: int
    levels: tuple[str, ...]
    splits: tuple[SplitSummary, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    pictures: bool

    @property
    def ok(self) -> bool:
        """Whether there are no problems; remarks do not count."""
        return not any(finding.problem for finding in self.findings)

    def found(self, kind: str) -> Finding | None:
        """The finding of a kind, or None; several of a kind give the first."""
        return next((f for f in self.findings if f.kind == kind), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, fit for JSON."""
        return asdict(self) | {"ok": self.ok}

    def to_text(self) -> str:
        """For the terminal."""
        lines = [f"{self.name}: {counted(self.rows, 'image')}, fingerprint {self.fingerprint}"]
        for split in self.splits:
            roles = ""
            if (split.queries, split.gallery) not in ((0, 0), (split.rows, split.rows)):
                queries = counted(split.queries, "query", "queries")
                roles = f", {queries}, {split.gallery:,} in the gallery"
            lines.append(f"  {split.name}: {counted(split.rows, 'image')}{roles}")
            lines += [
                f"    {level}: {sizes}"
                for level, sizes in zip(self.levels, split.classes, strict=True)
            ]
        lines += [f"  note: {note}" for note in self.notes]
        for title, problem in (("Problems", True), ("Worth knowing", False)):
            chosen = [f for f in self.findings if f.problem == problem]
            if chosen:
                lines += [f"{title}:", *(f"  {finding}" for finding in chosen)]
        if self.ok:
            read = "every file was read" if self.pictures else "files were not read"
            lines.append(f"No problems found ({read}).")
        return "\n".join(lines)
