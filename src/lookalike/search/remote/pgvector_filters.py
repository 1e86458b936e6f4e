"""What a row of a PostgreSQL table must meet, composed by the driver alone."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from lookalike.search.filters import Condition
from lookalike.search.remote.server import Sought

_ORDERED = {"<": sql.SQL("<"), "<=": sql.SQL("<="), ">": sql.SQL(">"), ">=": sql.SQL(">=")}


def where(sought: Sought) -> tuple[sql.Composable, dict[str, Any]]:
    """What a row must meet, and the values that stand in it by name."""
    parts: list[sql.Composable] = [sql.SQL("t.born <= %(stamp)s AND t.died > %(stamp)s")]
    values: dict[str, Any] = {"stamp": sought.stamp}
    for number, condition in enumerate(sought.conditions):
        name, column = f"words{number}", f"column{number}"
        parts.append(_met(condition, sql.Placeholder(column), sql.Placeholder(name)))
        values[column] = condition.column
        values[name] = list(condition.words if condition.numbers is None else condition.numbers)
    if sought.ids is not None:
        parts.append(sql.SQL("t.id = ANY(%(ids)s)"))
        values["ids"] = sought.ids.tolist()
    return sql.SQL(" AND ").join(parts), values


def expression(column: sql.Composable, number: bool) -> sql.Composable:
    """A row's value in a column, whose name is a placeholder or a literal.

    Never a literal beside placeholders: the driver takes a ``%`` in it for one more of them.
    """
    text = sql.SQL("columns ->> {}::text").format(column)
    return sql.SQL("({})::float8").format(text) if number else text


def _met(condition: Condition, column: sql.Placeholder, words: sql.Placeholder) -> sql.Composable:
    number = condition.numbers is not None
    cell = expression(column, number)
    kind = sql.SQL("float8[]" if number else "text[]")
    if condition.sign in ("=", "!="):
        among = sql.SQL("({} = ANY({}::{}))").format(cell, words, kind)
        return among if condition.sign == "=" else sql.SQL("{} IS NOT TRUE").format(among)
    return sql.SQL("{} {} ({}::{})[1]").format(cell, _ORDERED[condition.sign], words, kind)
