"""JSON and YAML files that are read: one door, at which each is checked against its schema.

A `Document` says which keys a file must have, and of which kind; further keys are let through, so
that a file of a newer version opens. Whoever reads a file gets plain dicts and lists, checked. A
file that is absent, cut, of another kind, too large or nested too deeply is refused by its name and
that of the key.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from pathlib import Path
from typing import Annotated, Any

import msgspec

from lookalike.errors import DataError, LookalikeError

MOST_BYTES = 64 << 20

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
# The name of a file or folder right there: no path, nothing hidden, and no way up.
PlainName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]


class Document(msgspec.Struct):
    """What a file must hold. The subclass names it in its docstring."""


def read_json(
    path: Path,
    schema: Any,
    *,
    fault: type[LookalikeError] = DataError,
    remedy: str = "",
    most: int = MOST_BYTES,
) -> Any:
    """The content of a JSON file, checked.

    Args:
        path: the file.
        schema: a `Document`, a dataclass or any type that msgspec knows.
        fault: the error to raise.
        remedy: a sentence on what to do, for messages.
        most: bytes that the file may have.

    Returns:
        Dicts, lists and plain values as they stand in the file.

    Raises:
        LookalikeError: of kind ``fault``; it names the file and, where one is at fault, the key.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.json"
        >>> _ = file.write_text('{"width": "wide"}')
        >>> read_json(file, dict[str, int])
        Traceback (most recent call last):
        lookalike.errors.DataError: ...a.json: width: expected a whole number, got a text.
    """
    text = read_text(path, fault=fault, remedy=remedy, most=most)
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise fault(_said(path, "is nested too deeply", remedy)) from error
    except ValueError as error:
        raise fault(_said(path, f"is not JSON ({error})", remedy)) from error
    check(content, schema, str(path), fault=fault, remedy=remedy)
    return content


def parse_yaml(text: str, source: str, *, fault: type[LookalikeError] = DataError) -> Any:
    """Dicts, lists and plain values of a YAML text; tags, which name classes, are refused.

    So are anchors: a few lines of them stand for more memory than there is.

    Args:
        text: the content.
        source: the file, for messages.
        fault: the error to raise.

    Raises:
        LookalikeError: of kind ``fault``.

    >>> parse_yaml("lr: 1e-4", "config.yaml")
    {'lr': 0.0001}
    """
    from yaml import YAMLError

    try:
        return _load_yaml(text)
    except RecursionError as error:
        raise fault(_said(source, "is nested too deeply", "")) from error
    except (YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise fault(_said(source, f"is not YAML that can be read ({reason})", "")) from error


def read_text(
    path: Path,
    *,
    fault: type[LookalikeError] = DataError,
    remedy: str = "",
    most: int = MOST_BYTES,
) -> str:
    """A text file as UTF-8, refused by its name where it cannot be read or is too large.

    Raises:
        LookalikeError: of kind ``fault``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise fault(_said(path, f"cannot be read ({reason})", remedy)) from error
    if len(data) > most:
        raise fault(_said(path, f"is larger than {most / 1e6:,.0f} MB", remedy))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise fault(_said(path, f"is not text ({error})", remedy)) from error


def check(
    content: Any,
    schema: Any,
    source: str,
    *,
    fault: type[LookalikeError] = DataError,
    remedy: str = "",
) -> None:
    """Refuse content that does not fit a schema.

    Raises:
        LookalikeError: of kind ``fault``; it names the key.
    """
    try:
        msgspec.convert(content, schema)
    except RecursionError as error:
        raise fault(_said(source, "is nested too deeply", remedy)) from error
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        what = str(error).split(" - at `")[0]
        key = _place(str(error), content, schema)
        if missing := re.fullmatch("Object missing required field `(.*)`", what):
            key, what = f"{key}.{missing[1]}".lstrip("."), "is missing"
        else:
            what = _in_words(what)
        raise fault(_said(source, f"{key}: {what}" if key else what, remedy, colon=True)) from error


def _place(text: str, content: Any, schema: Any) -> str:
    """Where msgspec's sentence finds the fault, with the names of entries that it leaves out.

    For an entry of a mapping it writes ``[...]``. Entries are read in their order, so the wrong one
    is the last of the shortest beginning of that mapping which gives the same sentence.

    >>> _place("Expected `int`, got `str` - at `$[...]`", {"a": 1, "b": "2"}, dict[str, int])
    'b'
    """
    found = re.search(r" - at (`key` in )?`\$(.*)`$", text)
    if found is None:
        return ""
    path: list[Any] = []
    steps = found[2] + ("[...]" if found[1] else "")
    for name, number in re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", steps):
        if number == "...":
            path.append(_wrong_entry(text, content, schema, path))
        else:
            path.append(name or int(number))
    return ".".join(str(step)[:100] for step in path)


def _wrong_entry(text: str, content: Any, schema: Any, path: list[Any]) -> Any:
    entries = content
    for step in path:
        entries = entries[step]
    entries = list(entries.items())

    def is_wrong(last: int) -> bool:
        try:
            msgspec.convert(_replaced(content, path, dict(entries[: last + 1])), schema)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            return str(error) == text
        return False

    return entries[bisect_left(range(len(entries) - 1), True, key=is_wrong)][0]


def _replaced(content: Any, path: list[Any], part: Any) -> Any:
    """A copy of nested content with another part at a path."""
    if not path:
        return part
    copy = content.copy()
    copy[path[0]] = _replaced(content[path[0]], path[1:], part)
    return copy


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "null": "null",
    "object": "a mapping",
    "array": "a list",
}


def _in_words(what: str) -> str:
    """msgspec's words in ours.

    >>> _in_words("Expected `int`, got `str`"), _in_words("Expected `int | null`, got `array`")
    ('expected a whole number, got a text', 'expected a whole number or null, got a list')
    """

    def named(match: re.Match[str]) -> str:
        return " or ".join(_KINDS.get(kind, kind) for kind in match[1].split(" | "))

    what = re.sub("`([a-z| ]+)`", named, what)
    if "matching regex" in what:
        return "is not such a name or number as may stand here"
    return what[:1].lower() + what[1:]


def _said(source: str | Path, what: str, remedy: str, *, colon: bool = False) -> str:
    return f"{source}{': ' if colon else ' '}{what}.{' ' if remedy else ''}{remedy}"


def _load_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.2's numbers, such as 1e-4, and no anchors."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                mark = self.peek_event().start_mark
                raise yaml.YAMLError(f"line {mark.line + 1}: anchors (*name) are not read")
            return super().compose_node(parent, index)

    number = re.compile(r"[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return yaml.load(text, Loader)
