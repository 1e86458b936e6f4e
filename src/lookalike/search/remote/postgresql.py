"""Connections to PostgreSQL: addresses without their passwords, idle connections, kind errors."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lookalike.errors import ConfigError, Unreachable
from lookalike.search.remote.server import ADDRESSES

ADDRESS = ADDRESSES["pgvector"]
_SECRET = ("password", "sslpassword", "passfile")

_given: dict[str, str] = {}  # public address → the whole one, password included
_idle: dict[tuple[int, str], list[psycopg.Connection]] = {}  # by process and address


def public_address(address: str) -> str:
    """An address without its password, as libpq writes it; this process remembers the rest.

    Raises:
        ConfigError: it cannot be read.

    >>> public_address("postgresql://ann:secret@db.example/birds")
    'user=ann dbname=birds host=db.example'
    """
    try:
        parts = conninfo_to_dict(address)
    except psycopg.ProgrammingError as error:  # its words may hold the password
        raise ConfigError(
            "--server: this is not an address of PostgreSQL. Write postgresql://USER@HOST/DATABASE."
        ) from error
    shown = make_conninfo("", **{k: v for k, v in parts.items() if k not in _SECRET})
    _given[shown] = address
    return shown


def connect(public: str) -> psycopg.Connection:
    """A new connection, of whose acts each is a transaction unless said otherwise.

    Args:
        public: the address as `public_address` gives it; ``$LOOKALIKE_PGVECTOR`` takes its place.

    Raises:
        ConfigError: the variable holds no address.
        Unreachable: no answer, or the server refuses.
    """
    address = os.environ.get(ADDRESS) or _given.get(public, public)
    try:
        parts = {"connect_timeout": 10, "application_name": "lookalike"}
        whole = make_conninfo("", **(parts | conninfo_to_dict(address)))
    except psycopg.ProgrammingError as error:
        raise ConfigError(
            f"${ADDRESS} is not an address of PostgreSQL. Write postgresql://USER@HOST/DATABASE."
        ) from error
    try:
        connection = psycopg.connect(whole, autocommit=True)
        connection.execute("SET client_encoding TO 'UTF8'")
    except psycopg.OperationalError as error:
        raise Unreachable(
            f"Cannot reach PostgreSQL ({public_address(address)}): {_first_line(error)}. Start it, "
            f"or set ${ADDRESS} to its address; a password belongs there, in $PGPASSWORD or in "
            "~/.pgpass."
        ) from error
    return connection


@contextmanager
def connected(public: str) -> Iterator[psycopg.Connection]:
    """A connection for one act: one that lies idle, or a new one.

    Raises:
        Unreachable: no answer, or the server refuses.
    """
    key = os.getpid(), os.environ.get(ADDRESS) or public
    idle = _idle.setdefault(key, [])
    connection = _alive(idle) or connect(public)
    try:
        yield connection
        idle.append(connection)
    except psycopg.Error as error:
        connection.close()
        raise Unreachable(f"PostgreSQL ({public}): {_first_line(error)}.") from error
    except BaseException:
        connection.close()
        raise


def _alive(idle: list[psycopg.Connection]) -> psycopg.Connection | None:
    """An idle connection that the server has not closed meanwhile."""
    while idle:
        connection = idle.pop()
        with suppress(psycopg.Error):
            connection.execute("")
            return connection
        connection.close()
    return None


@atexit.register
def close() -> None:
    """End this process's idle connections."""
    for (process, _), idle in _idle.items():
        while process == os.getpid() and idle:
            idle.pop().close()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
