"""Recipes of one's own: a YAML file of options, or the ``config.yaml`` of a run.

Such a file is taken as all files are (see `lookalike.stored_config`): nothing in it is resolved but
``${data_root}``, and it may name an import path only where it bears the user's own mark, or
``--trust`` names the module.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookalike import components, documents, stored_config
from lookalike.config import Config
from lookalike.errors import ConfigError

_ENDINGS = (".yaml", ".yml")
_FORGOTTEN = ("run", "recipe")  # of a run's own configuration: the new run has its own
_CHOICE = {"model": "backbone"}  # the option that a choice sets; of other groups it is ``name``
_DATA_ROOT = "${data_root}"


def is_file_name(value: str) -> bool:
    """Whether a recipe is called by its file, or by the folder of a run.

    >>> is_file_name("my.yaml"), is_file_name("roadmap/cub")
    (True, False)
    """
    return value.lower().endswith(_ENDINGS) or (Path(value).expanduser() / "config.yaml").is_file()


def find(option: str, value: str) -> Path:
    """The file that an option names.

    Raises:
        ConfigError: there is none.
    """
    path = Path(value).expanduser()
    path = path / "config.yaml" if path.is_dir() else path
    if not path.is_file():
        raise ConfigError(
            f"{option}={value}: there is no such file. Name a YAML file of options, or a run."
        )
    return path


@dataclass(frozen=True)
class OwnRecipe:
    """What a file says.

    Attributes:
        chosen: group → choice, as on the command line.
        named: group → name of a component, of those given as ``{name: …}``.
        options: all else, nested.
    """

    chosen: Mapping[str, str]
    named: Mapping[str, str]
    options: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """The same in the form of lookalike's own recipes."""
        lines = [{f"override /{g}": name} for g, name in {**self.chosen, **self.named}.items()]
        return {"defaults": lines, **self.options}


def read(path: Path, groups: Collection[str], check_key: Callable[[str], None]) -> OwnRecipe:
    """The choices and options of a file.

    A group may be chosen as on the command line (``loss: smooth_ap``), by a component's name
    (``loss: {name: smooth_ap, tau: 0.02}``) or as lookalike's own recipes do it (``override /loss:
    smooth_ap`` below ``defaults``). An option may be written flat (``optimizer.lr: 1e-3``).

    Args:
        path: the file.
        groups: what can be chosen.
        check_key: refuses an option that does not exist.

    Raises:
        ConfigError: no mapping, an option that does not exist, or an import path that nobody
            trusts; names the file.
    """
    source = str(path)
    text = documents.read_text(path, fault=ConfigError)
    content = documents.parse_yaml(text, source, fault=ConfigError)
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{source}: holds no options. Write one a line, such as epochs: 20")
    chosen = dict(_overridden(content.pop("defaults", []), source))
    named: dict[str, str] = {}
    options: dict[str, Any] = {}
    for key, value in content.items():
        if key in groups and isinstance(value, str):
            chosen[key] = value
        elif key not in _FORGOTTEN:
            _put(options, str(key), value, source)
    for group in components.ROOMS:
        node = options.get(group)
        if isinstance(node, dict) and "name" in node:
            named[group] = str(node.pop("name"))
    for key in (*chosen, *named, *_keys(options)):
        try:
            check_key(key)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from error
    documents.check(options, Config, source, fault=ConfigError)
    own = stored_config.is_own(text)
    names = {g: {_CHOICE.get(g, "name"): name} for g, name in {**chosen, **named}.items()}
    for part in (names, options):
        stored_config.refuse_imports(part, source, own=own)
    believed = stored_config.believed(options, source, own=own)
    literal = {key: _with_data_root(value) for key, value in believed.items()}
    return OwnRecipe(chosen, named, literal)


def _overridden(lines: Any, source: str) -> Iterator[tuple[str, str]]:
    """The choices below ``defaults``, as lookalike's own recipes write them."""
    for line in lines if isinstance(lines, list) else [lines]:
        pairs = list(line.items()) if isinstance(line, Mapping) else []
        words = str(pairs[0][0]).split("/") if len(pairs) == 1 else []
        if len(words) != 2 or words[0].strip() != "override" or not isinstance(pairs[0][1], str):
            raise ConfigError(f"{source}: defaults: write `override /loss: smooth_ap`, not {line}.")
        yield words[1], pairs[0][1]


def _put(options: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set ``group.option``, beside what the group holds already."""
    *above, last = key.split(".")
    node = options
    for part in above:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{source}: {key}: '{part}' holds a value already, {node}.")
    if isinstance(value, Mapping) and isinstance(node.get(last), dict):
        node[last] |= dict(value)
    else:
        node[last] = value


def _keys(options: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping) and value:
            yield from _keys(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _with_data_root(value: Any) -> Any:
    """The value with ``${data_root}`` to be resolved, the one thing that is."""
    if isinstance(value, dict):
        return {key: _with_data_root(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_data_root(one) for one in value]
    return value.replace("\\" + _DATA_ROOT, _DATA_ROOT) if isinstance(value, str) else value
