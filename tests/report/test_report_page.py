from __future__ import annotations

import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import LookalikeError, RunError
from lookalike.report import EvaluationSection, Published, RunReport, render_report, write_report

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
BARE = RunReport(title="bare", command="lookalike train", created="today")


class Page(HTMLParser):
    """The tree as far as the tests ask for it; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        self.tags.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes, _ in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(report: RunReport) -> str:
    return render_report(report)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_everything_strangers_named_is_text(html: str, page: Page) -> None:
    kinds = {tag for tag, _, _ in page.tags}
    assert not kinds & {"script", "iframe", "object", "embed", "form", "base"}
    assert all(not name.startswith("on") for _, attributes, _ in page.tags for name in attributes)
    assert "<script" not in html
    text = " ".join(page.words)
    # Where the hostile name stands as text: title, notes, tables, sheets, map, command, config, …
    assert text.count('<script>alert("x")</script>') >= 15


def test_nothing_outside_the_file_is_asked_for(page: Page) -> None:
    for tag, attributes, _ in page.tags:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")), (tag, name, address)
        assert "style" not in attributes
    assert "default-src 'none'" in str(page.of("meta"))


def test_the_style_asks_for_nothing_either(html: str) -> None:
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert len(style) == 1
    assert "url(" not in style[0] and "@import" not in style[0] and "@font-face" not in style[0]


def test_a_screen_reader_finds_its_way(page: Page) -> None:
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("main")) == len(page.of("header")) == len(page.of("nav")) == 1
    assert len(page.of("h1")) == 1
    ids = [attributes["id"] for _, attributes, _ in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for section in page.of("section"):
        assert section["aria-labelledby"] in ids
    for link in page.of("a"):
        assert (link["href"] or "").removeprefix("#") in ids
    assert all(image.get("alt") for image in page.of("img"))
    assert all(heading.get("scope") in ("row", "col") for heading in page.of("th"))
    assert len(page.of("caption")) == len(page.of("table")) == 2
    for _, attributes, _ in (found for found in page.tags if found[0] == "svg"):
        spoken = attributes.get("role") == "img" and attributes.get("aria-label")
        assert spoken or attributes.get("aria-hidden") == "true"


def test_right_and_wrong_are_said_in_words_and_drawn(
    page: Page, section: EvaluationSection
) -> None:
    found = [n for sheet in section.sheets for row in sheet.rows for n in row.neighbours]
    marks = [a["aria-label"] for a in page.of("svg") if a.get("class") == "mark"]
    right = sum(neighbour.right is True for neighbour in found)
    # One more of each in the key above the sheets.
    assert marks.count("right") == right + 1 > 1
    assert marks.count("wrong") == len(found) - right + 1 > 1


def test_the_order_of_the_page(html: str) -> None:
    titles = re.findall(r"<h2 [^>]*>(.*?)</h2>", html)
    assert titles == [
        "Results",
        "Training",
        "Retrieved neighbours",
        "Map of the embeddings",
        "Confused classes",
        "What the numbers mean",
        "How it was made",
    ]


def test_numbers_stand_with_their_intervals_and_rivals(page: Page) -> None:
    text = " ".join(" ".join(page.words).split())
    assert "0.812 (0.79–0.83)" in text.replace("0.812  (", "0.812 (")
    assert "95 % bootstrap over queries" in text
    assert "2 queries without a positive count in no metric." in text
    assert "untrained" in text and "0.300" in text and "0.840" in text
    assert "24 queries · 4 classes" in text
    assert "H-AP" in text and "nan" not in text


def test_the_same_report_gives_the_same_bytes(report: RunReport, html: str) -> None:
    assert render_report(report) == html
    assert render_report(replace(report, title="other")) != html


def test_levels_become_columns(section: EvaluationSection, report: RunReport) -> None:
    values = {f"recall_at_1_level{level}": 0.5 + level / 10 for level in range(3)} | {"h_ap": 0.25}
    leveled = replace(
        section,
        values=values,
        levels=("species", "genus", "family"),
        intervals={},
        baselines=[("raw pixels", {"recall_at_1_level1": 0.125})],
        skipped={"family": 3},
    )
    text = " ".join(Page(render_report(replace(report, evaluations=[leveled], rows=()))).words)
    head = "Metric species genus family all levels"
    assert head in " ".join(text.split())
    row = re.search(r"all levels\s+Recall@1\s+0.500\s+0.600\s+0.700\s+raw pixels\s+0.125", text)
    assert row is not None
    assert "3 queries without a positive (family)" in text


def test_published_figures_are_compared_with_the_finest_level_or_named(
    section: EvaluationSection, report: RunReport
) -> None:
    values = {"recall_at_1_level0": 0.5, "recall_at_1_level1": 0.75}
    leveled = replace(section, values=values, levels=("species", "genus"), intervals={})
    papers = [
        Published(metric="recall_at_1", value=0.625, source="A"),
        Published(metric="recall_at_10", value=0.875, source="B"),
        Published(metric="recall_at_1", value=0.125, source="C", split="other"),
    ]
    page = Page(render_report(replace(report, evaluations=[leveled], published=papers, rows=())))
    text = " ".join(" ".join(page.words).split())
    assert "Published 0.625 A" in text and "published 0.625" in text
    assert "Published, not measured here: Recall@10 0.875 (B)." in text
    assert "0.125" not in text


def test_a_headline_that_was_not_measured_is_refused(section: EvaluationSection) -> None:
    wrong = replace(section, headline=["recall_at_2"])
    with pytest.raises(LookalikeError, match="Did you mean 'recall_at_1'"):
        render_report(replace(BARE, evaluations=[wrong]))
    page = render_report(replace(BARE, evaluations=[replace(section, headline=["h_ap"])]))
    assert page.count('class="card"') == 1


def test_several_splits_each_have_their_own_parts(section: EvaluationSection) -> None:
    two = replace(BARE, evaluations=[section, replace(section, split="test <2>")])
    html = render_report(two)
    titles = re.findall(r"<h2 [^>]*>(.*?)</h2>", html)
    assert titles[:4] == [
        "Results: test",
        "Results: test &lt;2&gt;",
        "Retrieved neighbours: test",
        "Retrieved neighbours: test &lt;2&gt;",
    ]
    Page(html)


def test_a_report_of_nothing_is_still_a_page() -> None:
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", render_report(BARE)) == ["How it was made"]
    empty = EvaluationSection(split="test", values={})
    assert "Results" in render_report(replace(BARE, evaluations=[empty]))


def test_pictures_that_cannot_be_read_say_so(section: EvaluationSection) -> None:
    sheet = section.sheets[0]
    row = replace(sheet.rows[0], query="no/such/picture.jpg")
    lost = replace(section, sheets=[replace(sheet, rows=[row])])
    html = render_report(replace(BARE, evaluations=[lost]))
    assert html.count(">unreadable<") == 1
    assert "no/such/picture.jpg" in html


def test_no_confusions_is_good_news(section: EvaluationSection) -> None:
    from lookalike.report import find_confusions

    clean = replace(section, confusions=find_confusions(np.arange(4), np.arange(4)))
    html = render_report(replace(BARE, evaluations=[clean]))
    assert "None: each of the 4 queries has a nearest neighbour of its own class." in html


def test_writing_replaces_whole_pages_only(
    tmp_path: Path, report: RunReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    assert write_report(target, BARE) == target
    before = target.read_bytes()
    assert before.decode().startswith("<!doctype html>")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=r"report\.html: No space left"):
            write_report(target, report)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    write_report(target, report)
    assert target.read_bytes() == render_report(report).encode()


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(RunError, match=r"Cannot write .*report\.html"):
        write_report(tmp_path / "report.html", BARE)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
