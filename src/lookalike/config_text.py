"""A configuration as a person reads it: every option with its value, its default, its meaning.

Options that are not said but could be, such as those of the transforms, stand as comments, so that
the text is a recipe (``recipe=my.yaml``) of the very same run.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any

from lookalike import components
from lookalike import config as schema
from lookalike.components import AFTERWARDS, FILLED, imported
from lookalike.config import Config

_WIDTH = 100
_TRANSFORMS = "lookalike.data.transforms."  # whose functions transform.train and .evaluation call
_ENTRY = re.compile(r"(\w+(?:, \w+)*): (.*)")
_AS_IN = re.compile(r"as in :class:`(?:[\w.]*\.)?(\w+)`")


def explained(config: Config) -> str:
    """The configuration as YAML with comments.

    >>> "tau: 0.01" in explained(Config(loss={"name": "smooth_ap"}))
    True
    """
    return "\n".join(_dataclass(config, 0, "")) + "\n"


# ── the lines ───────────────────────────────────────────────────────────────────────────────────


def _dataclass(node: Any, depth: int, path: str) -> Iterator[str]:
    meanings = _schema_meanings()[type(node).__name__]
    for field in fields(node):
        value, place = getattr(node, field.name), f"{path}{field.name}"
        meaning = meanings.get(field.name, "")
        if is_dataclass(value):
            yield from _above(meaning or (value.__doc__ or "").partition("\n")[0], depth)
            yield f"{_indent(depth)}{field.name}:"
            yield from _dataclass(value, depth + 1, f"{place}.")
        elif place in components.ROOMS and value:
            yield f"{_indent(depth)}{field.name}:"
            yield from _component(place, value, depth + 1)
        elif place in ("transform.train", "transform.evaluation"):
            yield from _transform(field.name, value, depth)
        else:
            yield from _option(field.name, value, _default(field), meaning, depth)


def _component(group: str, node: Mapping[str, Any], depth: int) -> Iterator[str]:
    """A component's arguments, and as comments what every one of its group takes."""
    if node["name"] == components.OBJECT:
        yield from (_line(key, value, depth) for key, value in node.items())
        return
    component = components.find(group, str(node["name"]))
    first = (inspect.getdoc(component) or "").partition("\n")[0].replace("``", "").replace("`", "")
    yield from _option("name", node["name"], node["name"], first, depth)
    later = imported(AFTERWARDS[group], option=group) if group in AFTERWARDS else None
    for key, value in components.completed(group, node).items():
        if key != "name":
            of = component if key in components.parameters(component)[0] else later or component
            yield from _option(key, value, _default_of(of, key), meaning_of(of, key), depth)
    yield from _unsaid(later, {*node, *FILLED.get(group, ())}, depth) if later else ()


def _transform(name: str, value: Mapping[str, Any], depth: int) -> Iterator[str]:
    function = imported(f"{_TRANSFORMS}{name}", option=name)
    yield f"{_indent(depth)}{name}:{'' if value else ' {}'}"
    for key, given in value.items():
        yield from _option(
            key, given, _default_of(function, key), meaning_of(function, key), depth + 1
        )
    yield from _unsaid(function, {*value, "size"}, depth + 1)


def _unsaid(function: Callable[..., Any], said: set[str], depth: int) -> Iterator[str]:
    """What could be said beside what is, commented out."""
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in said and parameter.default is not inspect.Parameter.empty:
            value = _plain(parameter.default)
            for line in _option(
                parameter.name, value, value, meaning_of(function, parameter.name), 0
            ):
                yield f"{_indent(depth)}# {line.removeprefix('# ')}"


def _option(name: str, value: Any, default: Any, meaning: str, depth: int) -> Iterator[str]:
    """The line of an option; a meaning that has no room behind it stands above."""
    if value != default and default is not MISSING:
        meaning = f"{meaning.removesuffix('.')}{'; ' * bool(meaning)}default: {_flow(default)}"
    line = _line(name, value, depth)
    if not meaning:
        yield line
    elif len(line) + len(meaning) + 4 <= _WIDTH:
        yield f"{line}  # {meaning}"
    else:
        yield from _above(meaning, depth)
        yield line


def _above(meaning: str, depth: int) -> Iterator[str]:
    lead = f"{_indent(depth)}# "
    yield from textwrap.wrap(meaning, _WIDTH, initial_indent=lead, subsequent_indent=lead)


def _line(name: str, value: Any, depth: int) -> str:
    return f"{_indent(depth)}{name}: {_flow(value)}"


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    import yaml

    text = yaml.safe_dump(_plain(value), default_flow_style=True, width=10**6, sort_keys=False)
    return text.removesuffix("\n...\n").rstrip("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _indent(depth: int) -> str:
    return "  " * depth


# ── defaults and meanings ───────────────────────────────────────────────────────────────────────


def _default(field: Field[Any]) -> Any:
    return field.default if field.default is not MISSING else field.default_factory()  # pyright: ignore


def _default_of(function: Callable[..., Any], name: str) -> Any:
    parameter = components.parameters(function)[0].get(name)
    if parameter is None or parameter.default is inspect.Parameter.empty:
        return MISSING
    return _plain(parameter.default)


def meaning_of(component: Callable[..., Any], name: str) -> str:
    """What an argument means, from the Args of the component's documentation; empty if unsaid.

    >>> from lookalike.losses import SupAP
    >>> meaning_of(SupAP, "level")
    'label column that says who matches, 0 the finest.'
    """
    for doc in (inspect.getdoc(component), inspect.getdoc(getattr(component, "__init__", None))):
        text = _arguments(doc or "").get(name)
        if text is None:
            continue
        other = _AS_IN.match(text)
        module = inspect.getmodule(component)
        if other is not None and hasattr(module, other[1]):
            return meaning_of(getattr(module, other[1]), name) or text
        return text.replace("``", "").replace("`", "")
    return ""


@cache
def _arguments(doc: str) -> dict[str, str]:
    """The entries below ``Args:``, each on one line."""
    found: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in doc.splitlines():
        if not line.startswith(" "):
            inside = line.strip() == "Args:" or (inside and not line.strip())
            continue
        if not inside:
            continue
        entry = _ENTRY.fullmatch(line[4:]) if line.startswith("    ") else None
        if entry is not None:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        else:
            for name in names:
                found[name] += f" {line.strip()}"
    return found


@cache
def _schema_meanings() -> dict[str, dict[str, str]]:
    """Class → option → what the comments above and behind it say, in `lookalike.config`."""
    found: dict[str, dict[str, str]] = {}
    options: dict[str, str] = {}
    above: list[str] = []
    for line in inspect.getsource(schema).splitlines():
        if match := re.match(r"class (\w+)", line):
            options = found.setdefault(match[1], {})
        elif match := re.match(r"    # (.*)", line):
            above.append(match[1])
            continue
        elif match := re.match(r"    (\w+): [^#]*(?:# (.*))?", line):
            options[match[1]] = " ".join([*above, match[2] or ""]).strip()
        above = []
    return found
