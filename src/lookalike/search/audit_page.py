"""What an audit of an index found: as data, as lines, and as a page with images."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np

from lookalike.console import Console
from lookalike.data.decode import read_picture
from lookalike.errors import DataError, counted
from lookalike.report.contents import RunReport, Sheet
from lookalike.report.images import ImageSource, Neighbour, SheetRow
from lookalike.report.render import Part, render_page
from lookalike.search.auditing import Audit
from lookalike.search.index import Index

_NEIGHBOURS = 8


def judged_column(index: Index, label: str | None) -> str | None:
    """The column that ``--label`` names, else the finest level; refuses one that is not there."""
    levels = index.levels
    if label is None:
        return levels[0] if levels else None
    if label not in index.items:
        raise DataError(
            f"--label {label}: {index.folder} has no such column. It has: "
            f"{', '.join(map(str, index.items.columns))}."
        )
    return label


def listed(index: Index, found: Audit) -> dict[str, Any]:
    """What was found, for JSON: items by id and path."""

    def item(row: int, **more: Any) -> dict[str, Any]:
        return {"id": int(index.ids[row]), "path": str(index.items["path"].iloc[row])} | more

    return {
        "exact": [[item(row) for row in group] for group in found.exact],
        "same": found.same,
        "copies": [[item(row) for row in group] for group in found.copies],
        "outliers": [item(row, z=round(z, 3)) for row, z in found.outliers],
        "hubs": [item(row, found_by=count) for row, count in found.hubs],
        "suspects": [
            item(s.row, label=s.label, suggested=s.suggested, share=round(s.share, 3))
            for s in found.suspects
        ],
        "skewness": found.skewness,
        "orphans": found.orphans,
        "agreement": found.agreement,
    }


def summarize(console: Console, found: Audit, column: str | None, k: int) -> None:
    """Print what was found, a line a kind."""
    exact = sum(len(group) for group in found.exact)
    groups = counted(len(found.exact), "group")
    console.say(f"copies    {counted(exact, 'file')} in {groups} of the same bytes")
    copies = sum(len(group) for group in found.copies)
    groups = counted(len(found.copies), "group")
    console.say(
        f"near      {counted(copies, 'image')} in {groups} score {found.same:.5g} or more with the "
        "first of them"
    )
    far = counted(len(found.outliers), "image is", "images are")
    console.say(f"outliers  {far} far from all others")
    console.say(
        f"hubs      {counted(len(found.hubs), 'image is', 'images are')} found by very many, "
        f"{found.orphans:,} by none (skewness {found.skewness:.2f})"
    )
    if found.agreement is None:
        console.say("labels    not judged: no class of three images or more has a label")
        return
    console.say(
        f"labels    {len(found.suspects):,} of '{column}' are doubtful; the {k} nearest vote for "
        f"the label of {found.agreement:.1%}"
    )


class AuditPage:
    """The page: a sheet a kind."""

    def __init__(self, index: Index, found: Audit, labels: np.ndarray | None, shown: int) -> None:
        self.index, self.found, self.labels, self.shown = index, found, labels, shown

    def render(self, title: str, command: str) -> str:
        """The page as HTML."""
        found = self.found
        parts = [
            self._part(
                "Doubtful labels",
                "The nearest images contradict the label; look at the files and fix the labels.",
                [(s.row, f"{s.share:.0%} carry {s.suggested}") for s in found.suspects],
            ),
            self._part(
                "Exact copies",
                "Files that are the same to the byte, first those that carry several labels.",
                [(group[0], self._of(group)) for group in found.exact],
                {group[0]: group[1:] for group in found.exact},
                many=("group", "groups"),
            ),
            self._part(
                "Near-duplicates",
                f"Images that score {found.same:.5g} or more with the first of the group: copies, "
                "or one object seen twice.",
                [(group[0], self._of(group)) for group in found.copies],
                {group[0]: group[1:] for group in found.copies},
                many=("group", "groups"),
            ),
            self._part(
                "Outliers",
                "Images that resemble nothing here, with their nearest neighbours.",
                [(row, f"modified z-score {z:.1f}") for row, z in found.outliers],
            ),
            self._part(
                "Hubs",
                "Images that are among the nearest of very many others, with some of those.",
                [(row, f"found by {count:,}") for row, count in found.hubs],
                {row: self._finders(row) for row, _ in found.hubs[: self.shown]},
            ),
        ]
        notes = []
        if found.agreement is not None:
            notes.append(
                f"The nearest images vote for the label of {found.agreement:.1%} of all that can "
                "be judged: the lower that share, the less a doubt means."
            )
        report = RunReport(
            title=title,
            command=command,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            subtitle=f"{counted(len(self.index), 'image')} beside their "
            f"{found.near.shape[1]} nearest",
            notes=notes,
        )
        return render_page(report, parts)

    def _part(
        self,
        title: str,
        note: str,
        rows: list[tuple[int, str]],
        beside: dict[int, list[int]] | None = None,
        many: tuple[str, str] = ("image", "images"),
    ) -> Part:
        if not rows:
            return Part(title, "text", ["None found."])
        shown = rows[: self.shown]
        near = {row: self.found.near[row].tolist() for row, _ in shown} | (beside or {})
        drawn = [self._row(row, words, near[row]) for row, words in shown]
        count = counted(len(rows), *many)
        count = f"The first {len(shown):,} of {count}" if len(shown) < len(rows) else count
        return Part(title, "sheets", [Sheet(title=count, rows=drawn, note=note)])

    def _of(self, group: list[int]) -> str:
        """How many images a group has, and of how many labels where they are several."""
        labels = {self._label(row) for row in group} - {""}
        several = f", {counted(len(labels), 'label')}" if len(labels) > 1 else ""
        return f"{counted(len(group), 'image')}{several}"

    def _row(self, row: int, words: str, near: list[int]) -> SheetRow:
        name = Path(str(self.index.items["path"].iloc[row])).name
        own = self._label(row)
        return SheetRow(
            query=self._image(row),
            title=f"{own} · {name} #{self.index.ids[row]}" if own else name,
            value=words,
            neighbours=[
                Neighbour(
                    image=self._image(other),
                    label=self._label(other),
                    score=float(self._vector(row) @ self._vector(other)),
                    right=self._label(other) == own if own and self._label(other) else None,
                )
                for other in near[:_NEIGHBOURS]
                if other >= 0
            ],
        )

    def _finders(self, row: int) -> list[int]:
        """Some items that have this one among their nearest, those of the highest score first."""
        finders, place = np.nonzero(self.found.near == row)
        order = np.argsort(-self.found.scores[finders, place], kind="stable")
        return finders[order][:_NEIGHBOURS].tolist()

    def _vector(self, row: int) -> np.ndarray:
        return self.index.vectors[np.array([row])][0]

    def _label(self, row: int) -> str:
        label = "" if self.labels is None else str(self.labels[row])
        return "" if label == "-1" else label

    def _image(self, row: int) -> ImageSource:
        """The file, or the part of it that was embedded."""
        items = self.index.items
        path = str(items["path"].iloc[row])
        if "x_1" not in items or np.isnan(items["x_1"].iloc[row]):
            return path
        x_1, y_1, x_2, y_2 = (float(items[name].iloc[row]) for name in ("x_1", "y_1", "x_2", "y_2"))
        try:
            return read_picture(path, (x_1, y_1, x_2, y_2))
        except DataError:
            return path  # the page draws a box that says why it cannot be read
