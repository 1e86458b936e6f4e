"""What a resumed run must share with the one before: its data, and every option that counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lookalike.config import Config
from lookalike.data.table import Table
from lookalike.training.requeue import RESUMABLE
from lookalike.training.teacher import Tutor

# What does not touch the numbers, beside what a resumed run may change.
_UNCOUNTED = (*RESUMABLE, "data_root", "dataset.root", "published", "recipe", "distillation.cache")


def facts(config: Config, table: Table, tutor: Tutor | None) -> dict[str, dict[str, Any]]:
    """The data's fingerprint, the options by their full names, the teacher's weights."""
    data = {"fingerprint": table.fingerprint, "pictures": len(table)}
    teacher = {} if tutor is None else {"teacher": {"sha256": tutor.sha256}}
    return {"data": data, "options": _flat(asdict(config)), **teacher}


def with_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a checkpoint of before some existed: a run without one had its default.

    >>> with_defaults({"epochs": 3})["transform.as_backbone"]
    False
    """
    known = {k: v for k, v in _flat(asdict(Config())).items() if not isinstance(v, dict)}
    return known | dict(options)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + key
        if name in _UNCOUNTED:
            continue
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return flat
