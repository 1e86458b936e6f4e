"""The configuration in a run folder, as it may be believed.

It was resolved when it was written, so nothing in it is resolved again: variables, ``~`` and
interpolations are letters like others. Where the file does not bear the user's own mark (see
`lookalike.trust`), it may name only what lookalike and timm provide, and places to write to, or
services to tell, are not followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lookalike import documents, trust
from lookalike.config import Config
from lookalike.errors import ConfigError

KIND = "config"  # of its mark
_PATH = re.compile(r"(?<![\w./~-])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?![\w/.-])")
# Free mappings of other programs, in which a name is not a component.
_FOREIGN = ("tracker_options", "published")
# Components in which any text may be the name of another one.
_NESTED = ("loss", "rank", "miner")
# What would be written or told elsewhere, and what stands there instead: lookalike's own choice.
_ELSEWHERE: dict[tuple[str, ...], Any] = {
    ("tracker",): None,
    ("tracker_options",): {},
    ("distillation", "cache"): None,
}
_WRITES = {"toy": ("root", "cache")}  # arguments of data sets that are places to write to


def checked(text: str, source: str) -> dict[str, Any]:
    """A stored configuration as nested dicts for OmegaConf, all texts literal.

    Args:
        text: the file's content.
        source: its name, for messages.

    Raises:
        ConfigError: no YAML, no such configuration, or an import path that nobody trusts; names
            file and key.
    """
    own = is_own(text)
    content = documents.parse_yaml(text, source, fault=ConfigError)
    if not isinstance(content, dict):
        raise ConfigError(f"{source} is not a configuration of a run.")
    documents.check(content, Config, source, fault=ConfigError)
    refuse_imports(content, source, own=own)
    return believed(content, source, own=own)


def is_own(text: str) -> bool:
    """Whether a configuration bears the user's own mark."""
    return trust.is_sealed_text(text, KIND)


def refuse_imports(content: Mapping[str, Any], source: str, *, own: bool) -> None:
    """Refuse import paths that nobody trusts; one's own file may name any.

    Raises:
        ConfigError: names file and key.
    """
    for where, name in () if own else import_paths(content):
        trust.refuse_import(name, f"{source}: {where}")


def believed(content: dict[str, Any], source: str, *, own: bool) -> dict[str, Any]:
    """The content with all texts literal, and a stranger's places to write to left out."""
    if not own:
        _forget_places(content, source)
    return {key: _literal(value, own=own) for key, value in content.items()}


def import_paths(
    content: Mapping[str, Any], where: str = "", *, nested: bool = False
) -> Iterator[tuple[str, str]]:
    """Every import path in a configuration, with its key; also in words for later trainings.

    Args:
        content: the configuration, or a part of it.
        where: the key of the part.
        nested: whether any text in it may be the name of a component.

    >>> list(import_paths({"loss": {"name": "a.B"}, "model": {"backbone": "resnet18.a1_in1k"}}))
    [('loss.name', 'a.B')]
    """
    for key, value in content.items():
        place = f"{where}.{key}" if where else str(key)
        if not where and key in _FOREIGN:
            continue
        if key in ("name", "backbone", "teacher") and isinstance(value, str):
            if is_import_path(value):
                yield place, value
        elif key == "finetune" and isinstance(value, list):
            yield from ((place, name) for name in paths_in_words(value))
        else:
            inside = nested or key in _NESTED
            yield from _inside(value, place, steps=inside or key == "extra", nested=inside)


def paths_in_words(words: Sequence[Any]) -> Iterator[str]:
    """Import paths, and variables to be resolved, in options as a person would type them.

    >>> list(paths_in_words(["loss=a.b.C", "model.weights=runs/a.b", "x=${oc.env:HOME}"]))
    ['a.b.C', '${oc.env:HOME}']
    """
    for word in words:
        value = str(word).partition("=")[2]
        if "${" in value:
            yield value
        else:
            yield from (name for name in _PATH.findall(value) if is_import_path(name))


def is_import_path(name: str) -> bool:
    """Whether a name can only be imported: dotted, and no network of timm's.

    >>> is_import_path("os.system"), is_import_path("resnet18.a1_in1k"), is_import_path("resnet18")
    (True, False, False)
    """
    parts = name.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        return False
    import timm

    return not timm.is_model(parts[0])


def _inside(value: Any, place: str, *, steps: bool, nested: bool) -> Iterator[tuple[str, str]]:
    """Of what stands at a key; ``steps``: a text in the list is the name of a step."""
    if isinstance(value, Mapping):
        yield from import_paths(value, place, nested=nested)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            here = f"{place}[{number}]"
            if steps and isinstance(one, str) and is_import_path(one):
                yield here, one
            else:
                yield from _inside(one, here, steps=steps, nested=nested)
    elif steps and isinstance(value, str) and is_import_path(value):
        yield place, value


def _forget_places(content: dict[str, Any], source: str) -> None:
    """Take out where to write and whom to tell."""
    for path, instead in _ELSEWHERE.items():
        node: Any = content
        for part in path[:-1]:
            node = node.get(part) or {}
        if node.get(path[-1]):
            node[path[-1]] = instead
            _say(source, ".".join(path))
    dataset = content.get("dataset") or {}
    name = str(dataset.get("name", "")).lower()
    for key in _WRITES.get(name, ("cache",)):
        if dataset.pop(key, None) is not None:
            _say(source, f"dataset.{key}")


def _say(source: str, key: str) -> None:
    trust.log.warning(
        "%s: %s is not followed, for the file does not bear your mark; say it yourself if you "
        "want it",
        source,
        key,
    )


def _literal(value: Any, *, own: bool) -> Any:
    """A value in which OmegaConf, and in a stranger's file the shell's customs, find nothing."""
    if isinstance(value, dict):
        return {key: _literal(one, own=own) for key, one in value.items()}
    if isinstance(value, list):
        return [_literal(one, own=own) for one in value]
    if not isinstance(value, str):
        return value
    text = value if own else trust.literal(value)
    return re.sub(r"(\\*)\$\{", lambda found: f"{found[1] * 2}\\${{", text)
