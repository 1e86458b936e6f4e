"""Further steps of a transform by name: torchvision's own, and yours by import path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from lookalike import components
from lookalike.errors import ConfigError, suggest

Step = Callable[[Tensor], Tensor]


def named_step(node: Any, *, option: str = "transform.train.extra") -> Step:
    """One step from its config.

    Args:
        node: ``{"name": …, **arguments}``: the name of a class of ``torchvision.transforms.v2`` in
            any spelling (``RandAugment``, ``rand_augment``), or the import path of a class or
            function that, called with the arguments, gives a callable from uint8 ``(3, H, W)`` to
            the same. A name alone will do where there are no arguments. What is callable but no
            text and no mapping is taken as it is.
        option: where the node stands in the config, for messages.

    Raises:
        ConfigError: no such step, or arguments it refuses.

    Example:
        >>> step = named_step({"name": "random_invert", "p": 1.0})
        >>> step(torch.zeros(3, 1, 1, dtype=torch.uint8)).flatten().tolist()
        [255, 255, 255]
    """
    if callable(node):
        return cast("Step", node)
    if isinstance(node, str):
        node = {"name": node}
    if not isinstance(node, Mapping) or not node.get("name"):
        raise ConfigError(
            f"{option}: {node!r} is not a step; write {{name: RandAugment, num_ops: 2}}."
        )
    name = str(node["name"])
    maker = components.imported(name, option=option) if "." in name else _torchvision(name, option)
    arguments = {key: value for key, value in node.items() if key != "name"}
    components.check_arguments(maker, arguments, f"{option}.{name}")
    try:
        step = maker(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{option}: {name} refused its arguments: {error}") from error
    if not callable(step):
        raise ConfigError(f"{option}: {name} gives {type(step).__name__}, which cannot be called.")
    return cast("Step", step)


def _torchvision(name: str, option: str) -> Callable[..., Any]:
    known = {
        n: thing
        for n, thing in vars(v2).items()
        if inspect.isclass(thing) and issubclass(thing, nn.Module) and n != "Transform"
    }
    spelled = {components.snake(n).replace("_", ""): n for n in known}
    found = spelled.get(components.snake(name).replace("_", ""))
    if found is None:
        names = {components.snake(n): n for n in known}
        raise ConfigError(f"{option}={name}: torchvision has no such step. {suggest(name, names)}")
    return known[found]


class CheckedStep:
    """A step that must keep what the next one relies on: uint8 ``(3, H, W)``."""

    def __init__(self, step: Step, name: str) -> None:
        self.step, self.name = step, name

    def __call__(self, picture: Tensor) -> Tensor:
        """The step's result.

        Raises:
            ConfigError: it is something else.
        """
        result = self.step(picture)
        if (
            not isinstance(result, Tensor)
            or result.dtype != torch.uint8
            or result.dim() != 3
            or result.shape[0] != 3
        ):
            got = type(result).__name__
            if isinstance(result, Tensor):
                got = f"{result.dtype} {tuple(result.shape)}"
            raise ConfigError(
                f"transform.train.extra: {self.name} made {got} of a uint8 (3, H, W) image; the"
                " model normalises, so steps keep uint8."
            )
        return result
