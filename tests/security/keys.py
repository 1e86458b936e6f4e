"""Every key that a schema has, and values that a stranger might put there."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

# A place within a file: names of keys; "*": any key of a mapping, 0: the first of a list.
Place = tuple[str | int, ...]


def places(schema: Any) -> Iterator[tuple[Place, Any]]:
    """Every place of a schema with the type that stands there, mappings of anything included."""
    kind = typing.get_origin(schema)
    if kind is typing.Annotated:
        yield from places(typing.get_args(schema)[0])
    elif kind in (typing.Union, types.UnionType):
        for one in typing.get_args(schema):
            yield from places(one)
    elif kind is dict:
        yield ("*",), typing.get_args(schema)[1]
        yield from ((("*", *place), of) for place, of in places(typing.get_args(schema)[1]))
    elif kind is list:
        yield (0,), typing.get_args(schema)[0]
        yield from (((0, *place), of) for place, of in places(typing.get_args(schema)[0]))
    elif isinstance(schema, type) and (
        issubclass(schema, msgspec.Struct) or dataclasses.is_dataclass(schema)
    ):
        for name, of in typing.get_type_hints(schema, include_extras=True).items():
            yield (name,), of
            yield from (((name, *place), inner) for place, inner in places(of))


def put(content: Any, place: Place, value: Any, free: str = "name") -> bool:
    """Put a value at a place, making what is missing on the way; whether there is such a place."""
    node = content
    for here, after in pairwise(place):
        key = free if here == "*" else here
        if isinstance(node, dict):
            if not isinstance(node.get(key), dict | list):
                node[key] = [] if after == 0 else {}
            node = node[key]
        elif isinstance(node, list):
            if not node:
                node.append([] if after == 0 else {})
            node = node[0]
        if not isinstance(node, dict | list):
            return False
    last = free if place[-1] == "*" else place[-1]
    if isinstance(node, list):
        node[:1] = [value]
    else:
        node[last] = value
    return True
