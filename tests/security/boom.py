"""What no file may name: importing this module, let alone calling it, is the fault looked for."""

from __future__ import annotations


def boom(*_args: object, **_options: object) -> None:
    raise SystemExit("a file of a stranger ran code")
