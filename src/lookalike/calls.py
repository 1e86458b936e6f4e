"""Calls that do not fit a signature: what was given, what is taken, what was probably meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

from lookalike.errors import ConfigError, suggest

P = ParamSpec("P")
R = TypeVar("R")
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class ArgumentError(ConfigError, TypeError):
    """A call whose arguments are not those of the function; also the ``TypeError`` of Python."""


def named_arguments(
    peers: Mapping[str, str] | None = None, *, shown: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a call with arguments that a function does not take say which it takes.

    A call that fits costs nothing: only after a ``TypeError`` is the call held against the
    signature.

    Args:
        peers: other libraries' word for an argument → ours.
        shown: what errors call the function; None for its own name.

    >>> @named_arguments({"reference": "gallery"})
    ... def evaluate(query, gallery=None): ...
    >>> evaluate(1, reference=2)
    Traceback (most recent call last):
    lookalike.calls.ArgumentError: evaluate takes no 'reference'. It is called 'gallery' here.
    """
    words = {} if peers is None else dict(peers)
    explain = misfit  # in the closure, where the wrapper finds it from any module
    refusal = ArgumentError

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = shown or getattr(function, "__name__", str(function))

        def call(*args: Any, **keywords: Any) -> Any:
            try:
                return function(*args, **keywords)
            except TypeError:
                said = explain(name, final, args, keywords, words)
                if said is None:
                    raise
                problem = refusal(said)
            raise problem

        # With the globals of its module, or doctest would think it a guest there and pass it by.
        wrapper = FunctionType(
            call.__code__, getattr(function, "__globals__", {}), name, None, call.__closure__
        )
        final = functools.wraps(function)(wrapper)
        return final  # pyright: ignore[reportReturnType]

    return decorate


class NamedArguments:
    """Gives the constructors of all subclasses the errors of :func:`named_arguments`."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            cls.__init__ = named_arguments(shown=cls.__name__)(vars(cls)["__init__"])


def misfit(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: Mapping[str, Any],
    peers: Mapping[str, str],
) -> str | None:
    """What does not fit between a call and a signature; None: the call fits."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **keywords)
    except TypeError as error:
        said = str(error)
    else:
        return None
    own = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    taken = [p.name for p in own if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for word in keywords:
        if word not in taken:
            meant = peers.get(word)
            hint = f"It is called '{meant}' here." if meant else suggest(word, taken)
            return f"{name} takes no '{word}'. {hint}"
    places = [p.name for p in own if p.kind in _BY_PLACE]
    given = len(args) - (len(signature.parameters) - len(own))
    if given > len(places):
        rest = ", ".join(f"{word}=…" for word in taken if word not in places)
        by_name = f" Give the others by name: {rest}." if rest else ""
        takes = f"{len(places)} ({', '.join(places)})" if places else "none"
        return f"{name} takes {takes} by position, not {given}.{by_name}"
    required = [p.name for p in own if p.default is p.empty and p.name in taken]
    missing = [word for word in required if word not in keywords and word not in places[:given]]
    return f"{name} needs {', '.join(missing)}." if missing else f"{name}: {said}."
