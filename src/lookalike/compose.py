"""From the command line's words to one resolved, checked configuration.

Hydra's compose API does the composing; this front makes its errors kind. Every option is checked
before anything heavy is imported: groups and their choices against ``conf/``, typed options against
``config.py``, a component's arguments against its signature.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_origin

from lookalike import (
    components,
    distributed,
    documents,
    ranges,
    recipe_body,
    recipe_files,
    stored_config,
    texts,
    trust,
)
from lookalike.choices import CONF, GROUPS, OPEN_GROUPS, choices, given_node
from lookalike.config import Config
from lookalike.errors import ConfigError, suggest
from lookalike.files import write_text
from lookalike.hydra_errors import first_line
from lookalike.typed_paths import expand, expand_paths

if TYPE_CHECKING:
    from omegaconf import DictConfig

_LOG = logging.getLogger("lookalike")


@dataclass(frozen=True)
class Override:
    """One ``key=value`` of the command line."""

    text: str
    prefix: str  # "", "+", "++" or "~"
    key: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Override:
        """Split ``key=value``; whatever else is refused with what was probably meant."""
        prefix = next((p for p in ("++", "+", "~") if text.startswith(p)), "")
        key, equals, value = text[len(prefix) :].partition("=")
        if (not equals and prefix != "~") or not key:
            raise ConfigError(
                f"'{text}' is not an override. Write option=value, e.g. {_example(text)}."
            )
        return cls(text, prefix, key, value)


def check_words(overrides: Sequence[str]) -> None:
    """Refuse what is wrong by its words alone, without importing anything heavy.

    The grammar, group names, choices and typed options; arguments of components need the
    components, and :func:`compose` checks them.

    Raises:
        ConfigError: as :func:`compose`.
    """
    for override in _one_recipe([Override.parse(text) for text in overrides]):
        _check_key(override)
        if override.key in GROUPS:
            given_node(override.key, override.value)


def compose(overrides: Sequence[str] = ()) -> Config:
    """Compose groups and overrides into one checked configuration.

    Args:
        overrides: as Hydra's users write them: ``dataset=cub``, ``loss=smooth_ap``,
            ``optimizer.lr=1e-4``, ``evaluation.k=[1,10]``. A dataset may also be a folder or a
            table file, a model any timm name, a loss any import path.

    Raises:
        ConfigError: an unknown group, choice, option or argument, or a value of the wrong type.

    >>> compose(["loss.tau=0.02", "epochs=3"]).loss["tau"]
    0.02
    """
    parsed = _one_recipe([Override.parse(text) for text in overrides])
    _check_keys(parsed)
    config = _hydra(parsed)
    recipe = [o.value for o in parsed if o.key == "recipe" and not o.prefix]
    from_file = bool(recipe) and recipe_files.is_file_name(recipe[-1])
    config.recipe = recipe[-1] if recipe and recipe[-1] != "none" and not from_file else None
    for group in OPEN_GROUPS:
        if getattr(config, group) or group not in components.OPTIONAL:
            components.check(group, getattr(config, group))
    _keep_texts(config, parsed)
    ranges.check(config)
    if from_file:  # what a file says is literal; what was typed beside it is not
        return expand_paths(config, {override.key for override in parsed})
    return expand_paths(config)


def _one_recipe(parsed: list[Override]) -> list[Override]:
    """The words with ``config=FILE``, which begins as a run began, as the recipe that it is."""
    given = [o for o in parsed if o.key in ("recipe", "config")]
    if len(given) > 1 and any(o.key == "config" for o in given):
        raise ConfigError(f"{' '.join(o.text for o in given)}: a run begins with one of them.")
    for override in given:
        if override.key == "config":
            recipe_files.find("config", override.value)
    return [replace(o, key="recipe") if o.key == "config" else o for o in parsed]


def with_defaults(config: Config) -> Config:
    """The configuration with every argument of its components, defaults written out.

    >>> with_defaults(compose(["loss=triplet"])).loss["margin"]
    0.05
    """
    nodes = {group: components.completed(group, getattr(config, group)) for group in OPEN_GROUPS}
    return replace(config, **nodes)


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML that :func:`from_yaml` reads back."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(config))


def write_config(file: Path, config: Config) -> None:
    """Write a run's configuration, with the mark of this user (see `lookalike.trust`)."""
    write_text(file, trust.sealed_text(to_yaml(config), stored_config.KIND))


def read_config(file: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration of a run folder, with typed overrides on top (no groups).

    Raises:
        ConfigError: as :func:`from_yaml`; names the file.
    """
    text = documents.read_text(file, fault=ConfigError)
    return from_yaml(text, overrides, source=str(file))


def from_yaml(
    text: str, overrides: Sequence[str] = (), *, source: str = "the configuration"
) -> Config:
    """A stored configuration, with typed overrides on top (no groups).

    What is stored is taken literally, and as far as its mark lets it be believed: see
    `lookalike.stored_config`.

    Raises:
        ConfigError: an override or a stored value that cannot be; an import path in a
            configuration that the user did not write.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    stored = stored_config.checked(text, source)
    parsed = [Override.parse(override) for override in overrides]
    _check_keys(parsed)
    words = []
    for override in parsed:
        found = texts.as_written(override.value, _hint(override.key))
        words.append(override.text if found is None else f"{override.key}={json.dumps(found)}")
    try:
        typed = OmegaConf.from_dotlist(words)
    except (YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(f"{' '.join(words)}: cannot be read ({first_line(error)}).") from error
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), stored)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{source}: {first_line(error)}") from error
    try:
        config = cast("Config", OmegaConf.to_object(OmegaConf.merge(merged, typed)))
    except OmegaConfBaseException as error:
        raise ConfigError(first_line(error)) from error
    _keep_texts(config, parsed)
    ranges.check(config)
    return expand_paths(config, {override.key for override in parsed})


# ── checks before Hydra sees anything ───────────────────────────────────────────────────────────


def _example(text: str) -> str:
    """What was probably meant by a word without an equals sign."""
    for group in GROUPS:
        if text in choices(group):
            return f"{group}={text}"
    return f"{text}=…" if text.partition(".")[0] in GROUPS else "epochs=5"


def _check_keys(parsed: Sequence[Override]) -> None:
    for override in parsed:
        _check_key(override)


def _check_name(key: str) -> None:
    _check_key(Override(f"{key}=…", "", key, "…"))


def _check_key(override: Override) -> None:
    head, _, rest = override.key.partition(".")
    if override.prefix == "~" or "@" in override.key or ":" in override.key:
        raise ConfigError(
            f"'{override.text}': lookalike has no use for Hydra's ~, @ and : here. "
            "Choose a group with group=name and set an option with group.option=value."
        )
    known = {f.name for f in fields(Config)} | set(GROUPS)
    if head not in known:
        known.add("config")
        raise ConfigError(f"{override.key}: no such option. {suggest(head, known)}")
    node: Any = Config
    path = ""
    for part in override.key.split("."):
        if not is_dataclass(node):  # an open node: checked against a signature later
            return
        names = {f.name: f for f in fields(node)}
        if part not in names:
            raise ConfigError(f"{override.key}: no such option. {suggest(part, names)}")
        node = _field_type(node, part)
        path = f"{path}.{part}" if path else part
    if not rest and is_dataclass(node) and override.key not in GROUPS:
        raise ConfigError(f"{override.text}: '{override.key}' is a group of options.")


def _field_type(owner: Any, name: str) -> Any:
    from typing import get_type_hints

    return get_type_hints(owner)[name]


# ── Hydra ───────────────────────────────────────────────────────────────────────────────────────


def _hydra(parsed: Sequence[Override]) -> Config:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    _store_public_names(store)
    words: list[str] = []
    chosen = {o.key: o.value for o in parsed}
    if root := os.environ.get("LOOKALIKE_DATA"):
        words.append(f"data_root={_quote(expand('LOOKALIKE_DATA', root))}")
    for number, override in enumerate(parsed):
        words.append(_hydra_word(store, number, override, chosen))
    try:
        with initialize_config_module(config_module="lookalike.conf", version_base="1.3"):
            composed = hydra_compose(config_name="run", overrides=words)
        return cast("Config", OmegaConf.to_object(composed))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(first_line(error)) from error


def _store_public_names(store: Any) -> None:
    """Make every public name a choice, so that recipes can write ``override /loss: sup_ap``."""
    for group in OPEN_GROUPS:
        for name in components.public_names(group):
            if not (CONF / group / f"{name}.yaml").is_file():
                store.store(group=group, name=name, node={"name": name})


def _hydra_word(store: Any, number: int, override: Override, chosen: Mapping[str, str]) -> str:
    head = override.key.partition(".")[0]
    if override.key == "recipe":
        given_node("recipe", override.value)
        return _recipe_word(store, number, override.value, chosen)
    if override.key in GROUPS:
        node = given_node(override.key, override.value)
        if node is None:
            return override.text
        store.store(group=override.key, name=f"given_{number}", node=node)
        return f"{override.key}=given_{number}"
    written = texts.as_written(override.value, _hint(override.key))
    if override.key == "data_root" and isinstance(written, str):
        written = expand("data_root", written)  # before a recipe puts it into its own paths
    value = _readable(override.key, override.value) if written is None else _quoted(written)
    if head in OPEN_GROUPS or _is_free(override.key):
        return f"++{override.key}={value}"
    return f"{override.key}={value}"


def _recipe_word(store: Any, number: int, name: str, chosen: Mapping[str, str]) -> str:
    """A recipe, without its options for what the person chose otherwise; they are told of those."""
    from omegaconf import OmegaConf

    own = recipe_files.find("recipe", name) if recipe_files.is_file_name(name) else None
    if own is None:
        body = cast("DictConfig", OmegaConf.load(CONF / "recipe" / f"{name}.yaml"))
        whole = body.copy()
        fallen = recipe_body.fit(body, chosen, _file)
        if body == whole:
            return f"recipe={name}"
    else:
        found = recipe_files.read(own, GROUPS, _check_name)
        body = OmegaConf.create(found.body())
        fallen = recipe_body.fit(body, chosen, _file)
        _stored_choices(store, own, body, found.named)
    if fallen and distributed.is_main():
        _LOG.warning(
            "note: recipe=%s: its %s fell away beside what you chose; give it again to keep it.",
            name,
            ", ".join(sorted(fallen)),
        )
    store.store(group="recipe", name=f"given_{number}", node=body, package="_global_")
    return f"recipe=given_{number}"


def _stored_choices(store: Any, path: Path, body: DictConfig, named: Collection[str]) -> None:
    """Put what a recipe of one's own chooses where Hydra finds it."""
    lines = []
    for line in body.pop("defaults"):
        ((key, value),) = line.items()
        group = str(key).rpartition("/")[2]
        try:
            node = {"name": value} if group in named else given_node(group, value, typed=False)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        if node is not None:
            store.store(group=group, name="of_recipe", node=node)
        lines.append({str(key): value if node is None else "of_recipe"})
    body["defaults"] = lines


def _file(group: str, choice: str) -> Any:
    """The options in a file of ``conf/``; None: there is none of that name."""
    from omegaconf import OmegaConf

    file = CONF / group / f"{choice}.yaml"
    return OmegaConf.load(file) if file.is_file() else None


def _readable(key: str, value: str) -> str:
    """The value as it is, or quoted where Hydra's grammar has no place for it, as in ``~/data``."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        found = OverridesParser.create().parse_override(f"{key}={value}")
    except HydraException:
        return _quote(value)
    return _quote(value) if found.is_sweep_override() else value  # a,b is not a sweep here


def _hint(key: str) -> Any:
    """The type of an option of the schema; None for what lies in an open group."""
    node: Any = Config
    for part in key.split("."):
        if not is_dataclass(node):
            return None
        node = _field_type(node, part)
    return node


def _keep_texts(config: Config, parsed: Sequence[Override]) -> None:
    """Let a component's arguments that are text be what was written, letter for letter."""
    for override in parsed:
        group, _, name = override.key.partition(".")
        if group in OPEN_GROUPS and name:
            node = getattr(config, group)
            hint = components.type_of(group, str(node["name"]), name)
            found = texts.as_written(override.value, hint)
            if found is not None:
                node[name] = found


def _quoted(value: str | list[str]) -> str:
    if isinstance(value, str):
        return _quote(value)
    return f"[{','.join(map(_quote, value))}]"


def _is_free(key: str) -> bool:
    """Whether the key is, or lies inside, a free mapping such as ``model.options``."""
    node: Any = Config
    for part in key.split("."):
        if not is_dataclass(node):
            return True
        node = _field_type(node, part)
    return get_origin(node) is dict


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
