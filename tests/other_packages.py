"""Packages that tests compare with: a bare GPU machine may lack them, and no other may."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest


class Absent:
    """In place of a package or a part of it: what calls it is skipped, with the reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> Absent:
        return Absent(self._reason)

    def __call__(self, *_: Any, **__: Any) -> Any:
        pytest.skip(self._reason, allow_module_level=True)


def package(name: str) -> Any:
    """The module of this name. Where tests run on another device than the CPU it may be absent.

    Everywhere else a missing package is an error: nobody would see what is skipped.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if os.environ.get("LOOKALIKE_TEST_DEVICE", "cpu") == "cpu":
            raise
        return Absent(f"{name} needs the package {error.name}, which is not installed here")
