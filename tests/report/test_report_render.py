"""What any name may hold is text on the page, and never markup."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from rich.console import Console

from lookalike.report.render import render
from lookalike.report.tables import Cell, Column, ReportTable, TableRow

HEADS = [Column("Metric", numeric=False), Column("Value")]


class _Reader(HTMLParser):
    """What a browser would see: elements, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(str(text))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _legal(text: str) -> str:
    text = text.replace("\r\n", "\n")
    bad = {c for c in text if (c < " " and c not in "\n\t") or "\ud800" <= c <= "\udfff"}
    return "".join("\ufffd" if c in bad else c for c in text)


@given(st.text(), st.text())
def test_any_text_comes_back_as_the_text_it_was(inner: str, attribute: str) -> None:
    table = ReportTable(columns=HEADS[:1], rows=[TableRow([Cell(inner, tip=attribute)])])
    read = _Reader(table.to_html())
    heads = [attributes for name, attributes in read.tags if name == "th"]
    assert heads[1] == {"scope": "row"} | ({"title": _legal(attribute)} if attribute else {})
    assert _legal(inner) in read.text
    assert [name for name, _ in read.tags] == ["div", "table", "caption", "thead", "tr", "th",
                                               "tbody", "tr", "th"]  # fmt: skip


def test_lone_surrogates_can_be_encoded() -> None:
    assert (
        render("text.html.j2", data=["a\udcffb\x00"]).encode() == "<p>a\ufffdb\ufffd</p>\n".encode()
    )


def test_only_markup_passes_unescaped() -> None:
    cells = [Cell(html=render("text.html.j2", data=["<"])), Cell("<i>", "<s>", link='a?"b')]
    html = ReportTable(columns=HEADS, rows=[TableRow(cells)]).to_html()
    assert "<p>&lt;</p>" in html
    assert '<a href="a?&#34;b">&lt;i&gt;</a> <small>&lt;s&gt;</small>' in html


def test_a_template_that_lacks_a_value_fails() -> None:
    with pytest.raises(UndefinedError):
        render("compared.html.j2")


def test_one_table_is_read_on_a_page_in_a_terminal_and_in_markdown() -> None:
    heads = [*HEADS, Column("Words", only="page"), Column("Short", only="terminal")]
    rows = [
        TableRow([Cell("a|b"), Cell("0.5", "(0.4–0.6)", strong=True), "may be noise", "noise"]),
        TableRow(["[bold]c", "0.25", "", ""], "minor"),
        TableRow(["mean", "0.375", "", ""], "total"),
    ]
    table = ReportTable(columns=heads, rows=rows, caption="All", notes=["In brackets: <95 %>."])
    html = table.to_html()
    assert '<td class="mine">0.5 <small>(0.4–0.6)</small></td>' in html
    assert '<tr class="minor">' in html and "may be noise" in html and ">noise<" not in html
    assert "In brackets: &lt;95 %&gt;." in html and html.count("<caption>All</caption>") == 1
    assert table.to_markdown().splitlines() == [
        "| Metric | Value | Words |",
        "| --- | ---: | ---: |",
        r"| a\|b | 0.5 (0.4–0.6) | may be noise |",
        r"| \[bold\]c | 0.25 |  |",
        "| mean | 0.375 |  |",
    ]
    console = Console(width=60, color_system=None)
    with console.capture() as out:
        console.print(table)
    told = out.get()
    assert "a|b" in told and "[bold]c" in told and "0.5 (0.4–0.6)" in told
    assert "noise" in told and "may be" not in told and "<95 %>" in told


def test_neither_the_library_nor_the_help_loads_the_engine() -> None:
    code = "import sys, lookalike, lookalike.cli, lookalike.report; print('jinja2' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


SOURCE = Path(str(files("lookalike")))
TEMPLATES = sorted((SOURCE / "report" / "templates").iterdir())


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_switches_escaping_off(template: Path) -> None:
    text = template.read_text("utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape|Markup", text)
    assert "http" not in re.sub(r"https?://www\.w3\.org\S*|http-equiv", "", text)


def test_no_python_writes_markup() -> None:
    """Pages come from templates; only the bar of a notebook, drawn many times, does not."""
    found = []
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        prose = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        found += [
            path.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in prose
            and re.search(
                r"</?(html|div|p|h\d|td|tr|th|table|svg|path|span|b|ul|li)\b[^>]*>?", node.value
            )
        ]
    assert set(found) == {"notebook.py"}


def test_every_template_is_used() -> None:
    texts = [p.read_text("utf-8") for p in [*SOURCE.rglob("*.py"), *TEMPLATES]]
    for template in TEMPLATES:
        name = template.name.split(".")[0]
        named = rf'"{name}(\.(html|md)\.j2)?"'
        assert any(re.search(named, text) for text in texts), template.name
