"""Words of the command line whose option is a text: kept letter for letter.

YAML and Hydra read ``2024_01_31`` as a number and ``a,b`` as two values. An option that is a text
means neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_ITEM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,\[\]{}"']*?)\s*(,|$)""")
_WORDS = ("null", "true", "false")


def as_written(value: str, hint: Any) -> str | list[str] | None:
    """A value of the command line as the text it is, or None where it is not text alone.

    Args:
        value: what stands behind the equals sign.
        hint: the option's type.

    Returns:
        The text or the list of texts; None: the option is not text, the value is null, or it is
        written in quotes or in brackets of another kind, which others read.

    >>> as_written("2024_01_31", str | None), as_written("[1_0,10]", list[str])
    ('2024_01_31', ['1_0', '10'])
    >>> as_written("0.5", float | str), as_written("null", str | None), as_written("1", int)
    (None, None, None)
    """
    kinds = _members(hint)
    if not kinds or value == "null" or value[:1] in ("'", '"'):
        return None
    if value.startswith("[") and value.endswith("]"):
        return _items(value[1:-1]) if any(map(_is_texts, kinds)) else None
    if not any(kind is str or get_origin(kind) is Literal for kind in kinds):
        return None
    numbers = any(kind in (int, float) for kind in kinds) and _NUMBER.fullmatch(value)
    others = [kind for kind in kinds if get_origin(kind) in (dict, list, Mapping)]
    if numbers or (bool in kinds and value.lower() in _WORDS) or (others and value[:1] in "[{"):
        return None
    return value


def _members(hint: Any) -> list[Any]:
    """The kinds a type allows, without None; none where it allows anything."""
    if hint in (None, Any, type(None)):
        return []
    if get_origin(hint) is not None and get_origin(hint) not in (
        list,
        dict,
        Mapping,
        tuple,
        Literal,
    ):
        args = get_args(hint)
        if not _is_texts(hint) and args:
            return [kind for arg in args for kind in _members(arg)]
    return [hint]


def _is_texts(kind: Any) -> bool:
    """Whether a type is a list of texts."""
    return get_origin(kind) in (list, Sequence) and get_args(kind) == (str,)


def _items(inner: str) -> list[str] | None:
    """The items between brackets, quotes taken off; None for what is not a plain list."""
    if not inner.strip():
        return []
    found, place = [], 0
    while place < len(inner) or (found and inner[place - 1] == ","):
        item = _ITEM.match(inner, place)
        if item is None or item.end() == place:
            return None
        text = item[1]
        if text[:1] in ("'", '"'):
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        found.append(text)
        place = item.end()
    return found
