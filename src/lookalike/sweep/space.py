"""The search space of a sweep: which options vary, and between what."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, cast

from lookalike import components, documents
from lookalike.compose import CONF, GROUPS, OPEN_GROUPS, compose
from lookalike.config import Config
from lookalike.errors import ConfigError, suggest

PRESETS = CONF / "sweep"
Scalar = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One option and what it may be.

    Attributes:
        low: smallest value; whole where both ends are written whole.
        high: largest value, included.
        step: between two values; None: any.
        log: drawn evenly in the logarithm.
        choices: or one of these.
    """

    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None
    log: bool = False
    choices: tuple[Scalar, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def has(self, value: Any) -> bool:
        """Whether a value lies in the range or among the choices."""
        if self.choices:
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.whole and not isinstance(value, int):
            return False
        if self.low is None or self.high is None or not self.low <= value <= self.high:
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    def ends(self) -> list[Scalar]:
        """Values that a config must take for the sweep to make sense: the ends, or every choice."""
        return list(self.choices) if self.choices else [self.low, self.high]


Space = dict[str, Parameter]


def read_space(name: str) -> Space:
    """A search space from a file, or one of ours by name.

    The file has a line an option::

        optimizer.lr: {low: 1e-4, high: 1e-2, log: true}
        sampler.m: {low: 2, high: 8, step: 2}
        loss: {choices: [smooth_ap, sup_ap]}

    Args:
        name: a YAML file, or a preset's name.

    Raises:
        ConfigError: no such file or preset, or a line that makes no sense; it is named.

    >>> read_space("raml")["loss.lam_1"].high
    0.8
    """
    preset = PRESETS / f"{name}.yaml"
    path = preset if preset.is_file() else Path(name).expanduser()
    if not path.is_file():
        known = sorted(p.stem for p in PRESETS.glob("*.yaml"))
        raise ConfigError(f"{name}: no such search space file or preset. {suggest(name, known)}")
    text = documents.read_text(path, fault=ConfigError)
    found = documents.parse_yaml(text, str(path), fault=ConfigError)
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"{path}: no options to search. Write option: {{low: …, high: …}}.")
    return {str(key): _parameter(f"{path}, {key}", value) for key, value in found.items()}


def check_space(space: Space, overrides: Sequence[str]) -> Config:
    """The base configuration, after trying the ends of every range on it.

    Raises:
        ConfigError: an option that does not exist, or that refuses a value of its range.
    """
    for key, parameter in space.items():
        if key in ("run", "recipe", "evaluation.monitor"):
            raise ConfigError(f"{key}: a sweep cannot vary it.")
        for value in parameter.ends():
            compose(with_values(overrides, {key: value}))
    return compose(overrides)


def first_values(space: Space, config: Config) -> dict[str, Scalar] | None:
    """The values that the configuration has anyway, or None where one lies outside its range."""
    found = {}
    for key, parameter in space.items():
        value = _current(config, key)
        if parameter.choices or parameter.whole or not isinstance(value, int):
            found[key] = value
        else:
            found[key] = float(value)
        if not parameter.has(found[key]):
            return None
    return found


def with_values(overrides: Sequence[str], values: Mapping[str, Scalar]) -> list[str]:
    """Overrides of a trial: its values in place of those of the command line.

    >>> with_values(["epochs=3", "optimizer.lr=1"], {"optimizer.lr": 0.5})
    ['epochs=3', 'optimizer.lr=0.5']
    """
    kept = [text for text in overrides if text.partition("=")[0].lstrip("+") not in values]
    return [*kept, *(override(key, value) for key, value in values.items())]


def override(key: str, value: Scalar) -> str:
    """``key=value`` as the command line has it.

    >>> override("head.bias", True), override("optimizer.clip_norm", None)
    ('head.bias=true', 'optimizer.clip_norm=null')
    """
    words = {True: "true", False: "false", None: "null"}
    text = words[value] if value is None or isinstance(value, bool) else str(value)
    return f"{key}={text}"


def _parameter(where: str, value: Any) -> Parameter:
    names = [field.name for field in fields(Parameter)]
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: write {{low: …, high: …}} or {{choices: […]}}, not {value}.")
    for name in value:
        if name not in names:
            raise ConfigError(f"{where}.{name}: no such setting. {suggest(str(name), names)}")
    choices = value.get("choices", ())
    if choices:
        return _one_of(where, value, choices)
    made = Parameter(**{str(name): given for name, given in value.items()})
    numbers = {"low": made.low, "high": made.high}
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ConfigError(f"{where}.{name}: {number} is not a number.")
    low, high = cast("float", made.low), cast("float", made.high)
    if not low < high:
        raise ConfigError(f"{where}: low={low} must be below high={high}.")
    if made.log and low <= 0:
        raise ConfigError(f"{where}: log needs low above 0, not {low}.")
    if made.step is not None and (made.log or not made.step > 0):
        raise ConfigError(f"{where}: step={made.step} must be above 0, and does not go with log.")
    return made


def _one_of(where: str, value: Mapping[Any, Any], choices: Any) -> Parameter:
    if len(value) > 1:
        raise ConfigError(f"{where}: give choices, or low and high, not both.")
    if not isinstance(choices, list) or not all(
        choice is None or isinstance(choice, str | int | float | bool) for choice in choices
    ):
        raise ConfigError(f"{where}.choices: a list of words and numbers, not {choices}.")
    return Parameter(choices=tuple(choices))


def _current(config: Config, key: str) -> Any:
    """The value of an option: as configured, or a component's default; None where there is none."""
    head, _, rest = key.partition(".")
    if key in GROUPS:
        return config.model.backbone if key == "model" else getattr(config, key).get("name")
    if head in OPEN_GROUPS:
        node = getattr(config, head)
        if rest in node:
            return node[rest]
        accepted, _ = components.parameters(components.check(head, node))
        default = accepted[rest].default if rest in accepted else None
        return None if default is inspect.Parameter.empty else default
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part) if is_dataclass(value) else value.get(part)
    return value
