from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from lookalike.report.markup import Html, join, tag


class _Reader(HTMLParser):
    """What a browser would see: elements, attributes and text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

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
    reader = _Reader()
    reader.feed(tag("p", inner, title=attribute))
    reader.close()
    assert reader.tags == [("p", {"title": _legal(attribute)})]
    assert reader.text == _legal(inner)


def test_lone_surrogates_can_be_encoded() -> None:
    assert tag("p", "a\udcffb\x00").encode("utf-8") == "<p>a\ufffdb\ufffd</p>".encode()


def test_only_markup_passes_unescaped() -> None:
    assert join(tag("b", "<"), "<", None, [Html("<i>"), 3]) == "<b>&lt;</b>&lt;<i>3"


def test_attributes() -> None:
    made = tag("img", aria_label="a", class_=None, hidden=True, width=1.50, x=False)
    assert made == '<img aria-label="a" hidden width="1.5">'
