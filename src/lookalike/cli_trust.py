"""``--trust`` and ``--server`` of every verb that opens what may be a stranger's."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from lookalike.trust import trusting

Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="MODULE",
        help="Files may name what is in this module of yours; may be repeated.",
    ),
]
Server = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        metavar="ADDRESS",
        help="Ask this server, which an index from elsewhere names; as it stands in the index.",
    ),
]


def opens_files(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb with the option ``--trust``."""
    return _with(verb, {"trust": Trust})


def opens_indexes(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb with the options ``--trust`` and ``--server``."""
    return _with(verb, {"trust": Trust, "server": Server})


def _with(verb: Callable[..., None], options: dict[str, Any]) -> Callable[..., None]:
    @functools.wraps(verb)
    def trusted(**given: Any) -> None:
        said = {name: given.pop(name) or () for name in options}
        with trusting(said.get("trust", ()), said.get("server", ())):
            verb(**given)

    signature = inspect.signature(verb, eval_str=True)  # typer looks at the annotations
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options.items()
    ]
    shown = signature.replace(parameters=[*signature.parameters.values(), *added])
    trusted.__signature__ = shown  # pyright: ignore[reportAttributeAccessIssue] (typer reads it)
    trusted.__annotations__ = verb.__annotations__ | options
    return trusted
