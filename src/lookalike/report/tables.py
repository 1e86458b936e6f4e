"""One table for every reader: HTML on a page, columns in a terminal, Markdown in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.console import Group
    from rich.text import Text

Place = Literal["page", "terminal"]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: its head.
        numeric: aligned to the right.
        only: "page" or "terminal" where the other has no room for it; Markdown counts as a page.
        width: of a terminal's column, in characters; None: as wide as the longest cell.
        whole: never broken over two lines in a terminal.
    """

    title: str
    numeric: bool = True
    only: Place | None = None
    width: int | None = None
    whole: bool = False


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what it says.
        small: what stands smaller beside it, such as an interval or a source.
        strong: whether it stands out.
        tip: shown on a page while the cell is pointed at.
        link: address that the text leads to.
        html: markup in place of the text, which only a page can show.
    """

    text: str = ""
    small: str = ""
    strong: bool = False
    tip: str = ""
    link: str = ""
    html: Markup | None = None

    @property
    def plain(self) -> str:
        """Text and small text on one line."""
        return f"{self.text} {self.small}".rstrip()


@dataclass(frozen=True)
class TableRow:
    """One row, the first cell its head.

    Attributes:
        cells: one a column; plain strings stand for themselves.
        kind: ``mine`` stands out, ``minor`` belongs to the row above, ``total`` closes the table.
    """

    cells: Sequence[Cell | str]
    kind: Literal["", "mine", "minor", "total"] = ""


@dataclass(frozen=True, kw_only=True)
class ReportTable:
    r"""A table and what must be known to read it.

    Attributes:
        columns: the first holds the heads of the rows.
        rows: from the top.
        caption: its title.
        notes: sentences below it.
        style: class of the style sheet, such as ``numbers``.
        stacked: in a terminal, small text goes below the text: columns are narrower.
        headless: in a terminal, no heads and no rules.

    >>> heads = [Column("Metric", numeric=False), Column("Value")]
    >>> rows = [TableRow(["a|b", Cell("0.5", "(0.4–0.6)")])]
    >>> table = ReportTable(columns=heads, rows=rows)
    >>> print(table.to_markdown())
    | Metric | Value |
    | --- | ---: |
    | a\|b | 0.5 (0.4–0.6) |
    >>> '<td class="number">0.5 <small>(0.4–0.6)</small></td>' in table.to_html()
    True
    """

    columns: Sequence[Column]
    rows: Sequence[TableRow]
    caption: str = ""
    notes: Sequence[str] = ()
    style: str = ""
    stacked: bool = False
    headless: bool = False

    def of(self, row: TableRow, place: Place) -> Iterator[tuple[Column, Cell]]:
        """The cells of a row that a place shows, with their columns."""
        for column, cell in zip(self.columns, row.cells, strict=True):
            if column.only in (None, place):
                yield column, Cell(cell) if isinstance(cell, str) else cell

    def to_html(self) -> Markup:
        """The table for a page or a notebook; every text in it is escaped."""
        from lookalike.report.render import render

        return render("table.html.j2", table=self)

    def to_markdown(self) -> str:
        """The table as GitHub shows it, without its caption and notes."""
        shown = [column for column in self.columns if column.only != "terminal"]
        lines = [
            [escape_markdown(column.title) for column in shown],
            ["---:" if column.numeric else "---" for column in shown],
            *(
                [escape_markdown(cell.plain) for _, cell in self.of(row, "page")]
                for row in self.rows
            ),
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def __rich__(self) -> Group:
        """What rich prints: the table, then the notes."""
        from rich import box
        from rich.console import Group
        from rich.table import Table as Printed
        from rich.text import Text

        printed = Printed(
            title=Text(self.caption) if self.caption else None,
            title_justify="left",
            box=None if self.headless else box.SIMPLE_HEAD,
            show_header=not self.headless,
            padding=(0, 2, 0, 0) if self.headless else (0, 1),
            collapse_padding=any(column.width for column in self.columns),
            pad_edge=False,
            show_edge=False,
        )
        for column in self.columns:
            if column.only != "page":
                printed.add_column(
                    Text(column.title),
                    justify="right" if column.numeric else "left",
                    width=column.width,
                    overflow="fold" if column.width else "ellipsis",
                    no_wrap=column.whole,
                )
        for row in self.rows:
            if row.kind == "total":
                printed.add_section()
            cells = (self._text(cell) for _, cell in self.of(row, "terminal"))
            printed.add_row(*cells, style="dim" if row.kind == "minor" else None)
        return Group(printed, *(Text(note, style="dim") for note in self.notes))

    def _text(self, cell: Cell) -> Text:
        from rich.text import Text

        text = Text(cell.text, style="bold" if cell.strong else "")
        if cell.small:
            text.append(f"{chr(10) if self.stacked else ' '}{cell.small}", style="dim not bold")
        return text


def escape_markdown(text: str) -> str:
    r"""Text as text: nothing in it may end a cell or start a tag.

    >>> print(escape_markdown("<b> a|b"))
    \<b\> a\|b
    """
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
