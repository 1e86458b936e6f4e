"""Verbs as commands: their signatures as typer reads them, ``--trust`` and ``--server`` added."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from lookalike.trust import trusting

Command = Callable[..., None]

Trust = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE",
        help="Python module of yours whose contents files may name; repeatable.",
    ),
]
Server = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="Server that may be asked, as an index from elsewhere names it; repeatable.",
    ),
]


def plain(verb: Callable[..., Any]) -> Command:
    """A verb as a command."""
    return _command(verb, {})


def opens_files(verb: Callable[..., Any]) -> Command:
    """A verb that opens what may be a stranger's, as a command with ``--trust``."""
    return _command(verb, {"trust": Trust})


def opens_indexes(verb: Callable[..., Any]) -> Command:
    """A verb that opens an index, as a command with ``--trust`` and ``--server``."""
    return _command(verb, {"trust": Trust, "server": Server})


def _command(verb: Callable[..., Any], options: dict[str, Any]) -> Command:
    @functools.wraps(verb)
    def command(**given: Any) -> None:
        said = {name: given.pop(name) or () for name in options}
        with trusting(said.get("trust", ()), said.get("server", ())):
            verb(**given)

    # What a verb returns is for Python callers, and its type may not be there before it runs.
    command.__annotations__ = {k: v for k, v in verb.__annotations__.items() if k != "return"}
    hints = get_type_hints(command, include_extras=True) | options
    taken = inspect.signature(verb).parameters.values()
    shown = [p.replace(annotation=hints[p.name]) for p in taken] + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options.items()
    ]
    command.__annotations__ = hints
    command.__signature__ = inspect.Signature(shown)  # pyright: ignore[reportAttributeAccessIssue]
    command.__doc__ = re.split(r"\n\n(?:Args|Returns|Raises):\n", inspect.getdoc(verb) or "")[0]
    return command
