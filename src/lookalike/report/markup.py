"""HTML that cannot forget to escape: text is escaped by its type, not by the writer's memory."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Html(str):
    """Markup that is already safe; any other string is text and is escaped on its way in."""

    __slots__ = ()


Child = str | int | Iterable["Child"] | None


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """One element. Strings are escaped, `Html` is taken as it is, None and False are left out.

    A trailing underscore frees Python's words (``class_``), an inner one is written as a dash
    (``aria_label``). True writes a bare attribute.

    >>> tag("p", "<b> & ", tag("em", "x"), class_="note", hidden=False)
    '<p class="note">&lt;b&gt; &amp; <em>x</em></p>'
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Children side by side, each escaped unless it is `Html`."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, (str, int, float)):
            parts.append(text(child))
        else:
            parts.append(join(*child))
    return Html("".join(parts))


def text(value: str | float) -> str:
    """One value as markup; what HTML or UTF-8 forbids becomes U+FFFD."""
    if isinstance(value, Html):
        return value
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    clean = "".join(
        "\ufffd" if (c < " " and c not in "\n\t") or "\ud800" <= c <= "\udfff" else c
        for c in str(value).replace("\r\n", "\n")
    )
    return escape(clean, quote=True)
