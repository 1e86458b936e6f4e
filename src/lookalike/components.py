"""Find a component by name, check its arguments against its signature, build it.

A component is a mapping ``{"name": …, **arguments}``. The name is a public name of the group's
room in any spelling (``smooth_ap``, ``SmoothAP``), or an import path (``package.module.Thing``).
Arguments that are themselves such mappings, or names where a component is wanted, are components
of the same group.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from lookalike.errors import ConfigError, suggest

ROOMS = {
    "loss": "lookalike.losses",
    "dataset": "lookalike.data.datasets",
    "sampler": "lookalike.data.samplers",
    "miner": "lookalike.losses.miners",
}
# The name of a component that a caller handed over as an object: nothing can build it again.
OBJECT = "python_object"
# What a component of a group is: an argument of this type is another one, and may be a name.
KINDS = {"miner": "lookalike.losses.miners.Miner", "loss": "torch.nn.Module"}
OPTIONAL = ("miner",)  # groups that a run may do without
_HOLDERS = ("loss",)  # groups whose components may hold others
# What the builder of a group fills in, so that nobody need say it.
FILLED = {
    "loss": ("num_classes", "embedding_size", "hierarchy"),
    "sampler": ("labels", "batch_size", "seed", "rank", "world"),
    "dataset": ("progress",),
}
# What an error shows for an argument that is missing.
EXAMPLES = {"loss": "multi_similarity", "losses": "[smooth_ap,calibration]"}
# What every component of a group takes beside its own arguments: keywords of a function that makes
# the final thing from the one built.
AFTERWARDS = {"dataset": "lookalike.data.splits.divided"}
_PARAMETER_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def snake(name: str) -> str:
    """The config's spelling of a public name.

    >>> snake("SmoothAP"), snake("ROADMAP"), snake("RecallAtK"), snake("MPerClassSampler")
    ('smooth_ap', 'roadmap', 'recall_at_k', 'm_per_class')
    """
    name = name.removesuffix("Sampler").removesuffix("Miner") or name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def public_names(group: str) -> dict[str, str]:
    """The config spelling of everything a group offers, mapped to its public name."""
    names = import_module(ROOMS[group]).__all__
    return {snake(name): name for name in names if snake(name)}


def is_public(group: str, name: str) -> bool:
    """Whether a group offers this name, in any spelling, without an import path."""
    return _public(group, name) is not None


def find(group: str, name: str, *, option: str | None = None) -> Callable[..., Any]:
    """The class or function behind a component's name.

    Args:
        group: ``loss``, ``dataset`` or ``sampler``.
        name: a public name in any spelling, or an import path.
        option: what the person wrote, for messages; default ``<group>.name``.

    Raises:
        ConfigError: no such name; the message suggests the nearest.
    """
    option = option or f"{group}.name"
    if name == OBJECT:
        raise object_missing(group, option)
    known = public_names(group)
    public = _public(group, name)
    if public is not None:
        return getattr(import_module(ROOMS[group]), public)
    if "." not in name:
        raise ConfigError(f"{option}={name}: there is no such {group}. {suggest(name, known)}")
    return imported(name, option=option)


def object_missing(group: str, option: str) -> ConfigError:
    """What to say where an object is needed that only the caller had."""
    return ConfigError(
        f"{option}={OBJECT}: this run was given its {group} as an object. Hand it over again, "
        f'lookalike.train(…, {group}=…, resume="auto"), or name one for a new run.'
    )


def imported(name: str, *, option: str) -> Callable[..., Any]:
    """The class or function at an import path, ``package.module.Thing``.

    A package that is not installed is looked for in the current folder.

    Args:
        name: the path.
        option: what the person wrote, for messages.

    Raises:
        ConfigError: no such module, or nothing to call in it.
    """
    module, _, attribute = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(
            f"{option}={name}: that is not an import path, such as package.module.Thing."
        )
    _look_here(module.partition(".")[0])
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError as error:
        raise ConfigError(f"{option}={name}: cannot import '{module}' ({error}).") from error
    if not callable(found):
        raise ConfigError(f"{option}={name}: module '{module}' has no '{attribute}' to call.")
    return found


def _look_here(package: str) -> None:
    """Let a package that is nowhere else be found in the current folder.

    Only once one is asked for: else any library's optional import would find a file of that name.
    """
    here = Path.cwd()
    own = (here / f"{package}.py").is_file() or (here / package).is_dir()
    if own and package not in sys.modules and find_spec(package) is None:
        sys.path.append(str(here))


def parameters(component: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """The named parameters of a component, base classes included while ``**kwargs`` pass on.

    The second value says whether it takes any keyword at all.
    """
    makers: Iterator[Callable[..., Any]]
    if inspect.isclass(component):
        makers = (cls.__init__ for cls in component.__mro__ if "__init__" in vars(cls))
    else:
        makers = iter([component])
    found: dict[str, inspect.Parameter] = {}
    for maker in makers:
        signature = inspect.signature(maker).parameters.values()
        found = {p.name: p for p in signature if p.kind in _PARAMETER_KINDS} | found
        if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in signature):
            found.pop("self", None)
            return found, False
        if not inspect.isclass(component):
            break
        # torch.nn.Module ends the chain with **kwargs that it refuses anyway.
        if getattr(maker, "__module__", "").startswith("torch.nn.modules"):
            found.pop("self", None)
            return found, False
    found.pop("self", None)
    return found, not inspect.isclass(component)


def type_of(group: str, name: str, argument: str) -> Any:
    """The type that a component's argument is said to be of; None where it is not known."""
    makers = [find(group, name)]
    if group in AFTERWARDS:
        makers.append(imported(AFTERWARDS[group], option=group))
    for maker in makers:
        try:
            hints = get_type_hints(maker.__init__ if inspect.isclass(maker) else maker)
        except (NameError, TypeError, AttributeError):
            continue  # a name that only type checkers import
        if argument in hints:
            return hints[argument]
    return None


def check(
    group: str, node: Mapping[str, Any], *, path: str | None = None, complete: bool = False
) -> Callable[..., Any]:
    """Refuse arguments that the component does not take, before anything is built.

    Args:
        group: ``loss``, ``dataset`` or ``sampler``.
        node: ``{"name": …, **arguments}``.
        path: where the node stands in the config, for messages.
        complete: refuse what lacks an argument, too, other than those the builder fills in.

    Raises:
        ConfigError: an unknown name or argument; the message names the nearest.
    """
    path = path or group
    if not node.get("name"):
        raise ConfigError(f"{path}.name is missing: say which {group}. {_known(group)}")
    component = find(group, str(node["name"]), option=f"{path}.name" if path != group else path)
    own = [key for key in node if key != "name" and key not in _later(group, component, node)]
    check_arguments(component, own, path)
    inner = nested_arguments(group, component)
    for key, value in node.items():
        kind = inner.get(key, group)
        for where, child in _children(kind, f"{path}.{key}", value, key in inner):
            check(kind, child, path=where, complete=complete)
    if complete:
        _refuse_missing(component, {*node, *FILLED.get(group, ())}, node["name"], path)
    return component


def nested_arguments(group: str, component: Callable[..., Any]) -> dict[str, str]:
    """The arguments of a component that are components themselves, each with its group."""
    if group not in _HOLDERS:
        return {}
    try:
        hints = get_type_hints(component.__init__ if inspect.isclass(component) else component)
    except (NameError, TypeError, AttributeError):
        return {}  # a name that only type checkers import
    kinds = {name: imported(path, option=name) for name, path in KINDS.items()}
    found = {}
    for name, hint in hints.items():
        fitting = [kind for kind, cls in kinds.items() if name != "return" and _holds(hint, cls)]
        if fitting:
            found[name] = fitting[0]
    return found


def _holds(hint: Any, kind: Any) -> bool:
    """Whether a type is one, or a union or a container of such."""
    if inspect.isclass(hint) and not get_args(hint):
        return issubclass(hint, kind)
    return any(_holds(part, kind) for part in get_args(hint))


def _children(
    group: str, path: str, value: Any, wanted: bool
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The components in an argument, each with its place: one, a list, or a mapping of them."""
    if isinstance(value, Mapping) and "name" not in value and wanted:
        for key, item in value.items():
            yield from _children(group, f"{path}.{key}", item, wanted)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _children(group, f"{path}[{index}]", item, wanted)
    elif isinstance(value, Mapping) and "name" in value:
        yield path, value
    elif wanted and isinstance(value, str):
        yield path, {"name": value}
    elif wanted and value is not None and not isinstance(value, Mapping):
        raise ConfigError(f"{path}={value}: give a {group} by name. {_known(group)}")


def check_arguments(component: Callable[..., Any], names: Iterable[str], path: str) -> None:
    """Refuse names that are not parameters of a component; suggest the nearest."""
    accepted, takes_any = parameters(component)
    for name in names:
        if name not in accepted and not takes_any:
            shown = getattr(component, "__name__", str(component))
            raise ConfigError(
                f"{path}.{name}: {shown} takes no such argument. {suggest(name, accepted)}"
            )


def build(group: str, node: Mapping[str, Any], *, path: str | None = None, **given: Any) -> Any:
    """Make the component; ``given`` fills what it needs and the person did not say.

    >>> build("loss", {"name": "smooth_ap", "tau": 0.02}, num_classes=7).tau
    0.02

    Raises:
        ConfigError: unknown or missing arguments, or values that the component refuses.
    """
    path = path or group
    component = check(group, node, path=path)
    accepted, _ = parameters(component)
    arguments = {key: value for key, value in given.items() if key in accepted}
    later = _later(group, component, node)
    inner = nested_arguments(group, component)
    for key, value in node.items():
        if key != "name" and key not in later:
            kind = inner.get(key, group)
            arguments[key] = _nested(kind, value, f"{path}.{key}", given, key in inner)
    _refuse_missing(component, arguments, node["name"], path)
    try:
        built = component(**arguments)
        return imported(AFTERWARDS[group], option=group)(built, **later) if later else built
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {node['name']} refused its arguments: {error}") from error


def completed(group: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """A node with the defaults of everything that it does not say.

    Left out are what the builder fills in, what must be given, and defaults that are no plain
    values.

    >>> completed("miner", {"name": "semi_hard"})
    {'name': 'semi_hard', 'margin': 0.2, 'level': 0, 'distance': 'cosine'}
    """
    if not node or node["name"] == OBJECT:
        return dict(node)
    component = find(group, str(node["name"]))
    defaults = {
        p.name: list(p.default) if isinstance(p.default, tuple) else p.default
        for p in inspect.signature(component).parameters.values()
        if p.kind in _PARAMETER_KINDS
        and p.name not in FILLED.get(group, ())
        and isinstance(p.default, bool | int | float | str | tuple | NoneType)
    }
    return {"name": node["name"], **defaults, **node}


def common_parameters(group: str) -> set[str]:
    """What every component of a group takes beside its own arguments."""
    if group not in AFTERWARDS:
        return set()
    return set(parameters(imported(AFTERWARDS[group], option=group))[0])


def _later(group: str, component: Callable[..., Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a node that are not the component's own, but those of every one's."""
    accepted, takes_any = parameters(component)
    others = {k: v for k, v in node.items() if k != "name" and k not in accepted}
    if not others or takes_any or group not in AFTERWARDS:
        return {}
    common = common_parameters(group)
    return {key: value for key, value in others.items() if key in common}


def _required(component: Callable[..., Any]) -> list[str]:
    """What must be given: parameters without default of the component's own signature.

    Those of a base class behind ``**kwargs`` are the subclass's affair: it may well fill them in.
    """
    return [
        p.name
        for p in inspect.signature(component).parameters.values()
        if p.kind in _PARAMETER_KINDS and p.default is inspect.Parameter.empty
    ]


def _refuse_missing(
    component: Callable[..., Any], given: Container[str], name: str, path: str
) -> None:
    """Refuse a component that lacks what it needs, and show what to set."""
    missing = [each for each in _required(component) if each not in given]
    if missing:
        examples = " ".join(f"{path}.{each}={EXAMPLES.get(each, '…')}" for each in missing)
        raise ConfigError(f"{path}: {name} needs {', '.join(missing)}. Set {examples}")


def _nested(group: str, value: Any, path: str, given: Mapping[str, Any], wanted: bool) -> Any:
    if isinstance(value, Mapping) and "name" in value:
        return build(group, value, path=path, **given)
    if isinstance(value, Mapping) and wanted:
        return {k: _nested(group, v, f"{path}.{k}", given, wanted) for k, v in value.items()}
    if isinstance(value, list):
        return [_nested(group, v, f"{path}[{i}]", given, wanted) for i, v in enumerate(value)]
    if wanted and isinstance(value, str):
        return build(group, {"name": value}, path=path, **given)
    return value


def _public(group: str, name: str) -> str | None:
    squashed = {key.replace("_", ""): public for key, public in public_names(group).items()}
    return squashed.get(snake(name).replace("_", ""))


def _known(group: str) -> str:
    return f"Known: {', '.join(sorted(public_names(group)))}."
