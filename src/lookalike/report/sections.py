"""The sections of the page below the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from lookalike.errors import DataError, counted
from lookalike.report.contents import EvaluationSection, RunReport, Sheet
from lookalike.report.map_plot import draw_map
from lookalike.report.markup import Html, join, tag
from lookalike.report.meanings import level_legend, meanings
from lookalike.report.pictures import Neighbour, Picture, SheetRow, data_uri, thumbnail

# Pixels kept of a picture's longer side: enough for a dense screen at the size style.css shows.
STORED = 160


def sheet_section(section: EvaluationSection) -> Html | None:
    """The contact sheets, as text and pictures of the page; None where there are none."""
    if not section.sheets:
        return None
    key = tag(
        "p",
        tag("span", mark(True), "same class as the query", class_="right"),
        tag("span", mark(False), "another class", class_="wrong"),
        class_="key",
    )
    return join(key, [_sheet(sheet) for sheet in section.sheets])


def _sheet(sheet: Sheet) -> Html:
    note = tag("p", sheet.note, class_="small") if sheet.note else None
    return join(tag("h3", sheet.title), note, [_row(row) for row in sheet.rows])


def _row(row: SheetRow) -> Html:
    query = tag(
        "figure",
        picture(row.query, "Query"),
        tag("figcaption", tag("b", row.title), tag("span", row.value)),
        class_="query",
    )
    found = tag(
        "ol", [tag("li", _neighbour(n, found)) for n, found in enumerate(row.neighbours, 1)]
    )
    return tag("div", query, found, class_="row", role="group", aria_label=f"Query: {row.title}")


def _neighbour(number: int, found: Neighbour) -> Html:
    kind = "unknown" if found.right is None else "right" if found.right else "wrong"
    score = None if found.score is None else tag("span", f"{found.score:.3f}", class_="score")
    return tag(
        "figure",
        picture(found.picture, f"Neighbour {number}"),
        None if found.right is None else mark(found.right),
        tag("figcaption", tag("span", found.label, title=found.label), score),
        class_=f"found {kind}",
    )


def mark(right: bool) -> Html:
    """A tick in a disc or a cross in a square, drawn, so that no font can lack it."""
    if right:
        shape = tag("circle", cx=10, cy=10, r=10)
        stroke = tag("path", d="M5.2 10.6 8.6 14 15 6.8")
    else:
        shape = tag("rect", width=20, height=20, rx=2.5)
        stroke = tag("path", d="M5.8 5.8 14.2 14.2M14.2 5.8 5.8 14.2")
    label = "right" if right else "wrong"
    return tag(
        "svg", shape, stroke, viewBox="0 0 20 20", class_="mark", role="img", aria_label=label
    )


def picture(source: Picture, alt: str) -> Html:
    """A thumbnail; one that cannot be read becomes a box that says so, with the reason."""
    try:
        image = thumbnail(source, STORED)
    except DataError as error:
        return tag(
            "div",
            "unreadable",
            class_="missing",
            role="img",
            title=str(error),
            aria_label=f"{alt} (unreadable: {error})",
        )
    # Small pictures are shown pixel by pixel; a blur would hide what the model saw.
    kind = "pixels" if max(image.size) <= 32 else None
    width, height = image.size
    return tag("img", src=data_uri(image), alt=alt, width=width, height=height, class_=kind)


def map_section(section: EvaluationSection) -> Html | None:
    """The map of the embeddings; None where there is none."""
    return draw_map(section.map) if section.map is not None else None


def confusion_table(section: EvaluationSection) -> Html | None:
    """The commonest confusions with examples; None where they were not looked for."""
    found = section.confusions
    if found is None:
        return None
    if not found.pairs:
        return tag(
            "p",
            f"None: each of the {counted(found.queries, 'query', 'queries')} has a nearest"
            " neighbour of "
            "its own class.",
        )
    share = found.wrong / found.queries
    words = (
        f"{found.wrong:,} of {counted(found.queries, 'query', 'queries')} ({share:.0%})"
        f" {'has' if found.wrong == 1 else 'have'} a nearest neighbour of another class, in"
        f" {counted(found.distinct, 'combination')}. "
        + ("These are all." if len(found.pairs) == found.distinct else "The commonest:")
    )
    columns = ["Query is", "Nearest is", "Queries", "The other way", "Examples: query, nearest"]
    rows = [
        tag(
            "tr",
            tag("th", pair.actual, scope="row"),
            tag("td", pair.found),
            tag("td", f"{pair.count:,} of {pair.queries:,}", class_="number"),
            tag("td", f"{pair.reverse:,}", class_="number"),
            tag(
                "td",
                [
                    tag(
                        "span",
                        picture(query, f"Query: {pair.actual}"),
                        picture(nearest, f"Nearest: {pair.found}"),
                        class_="pair",
                    )
                    for query, nearest in pair.examples
                ],
            ),
        )
        for pair in found.pairs
    ]
    head = tag("thead", tag("tr", [tag("th", column, scope="col") for column in columns]))
    caption = tag("caption", f"Confusions on {section.split}")
    table = tag("table", caption, head, tag("tbody", rows), class_="confusions")
    return join(
        tag("p", words),
        tag(
            "div",
            table,
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label=f"Confusions on {section.split}",
        ),
    )


def definition_list(sections: Sequence[EvaluationSection]) -> Html | None:
    """Each metric's meaning once, whatever its k, level and split; None where none is given."""
    words = {name: text for section in sections for name, text in section.definitions.items()}
    found = meanings(words)
    items = [
        tag(
            "div",
            tag("dt", meaning.title, tag("code", meaning.name)),
            tag("dd", meaning.words),
        )
        for meaning in found
    ]
    if not items:
        return None
    levels = max((section.levels for section in sections), key=len)
    legend = level_legend(found, levels)
    return join(
        tag("dl", items, class_="definitions"), tag("p", legend, class_="small") if legend else None
    )


def making_of(report: RunReport) -> Html:
    """The command, the versions and the configuration that make the run again."""
    parts = [tag("h3", "Command"), tag("pre", tag("code", report.command), class_="wrap")]
    for title, pairs in (("Data and model", report.facts), ("Versions", report.versions.items())):
        if pairs:
            items = [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs]
            parts += [tag("h3", title), tag("dl", items, class_="facts")]
    if report.config:
        whole = tag("pre", tag("code", report.config), tabindex=0)
        parts.append(tag("details", tag("summary", "Configuration"), whole))
    return join(parts)
