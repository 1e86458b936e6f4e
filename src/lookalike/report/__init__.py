"""The report of a run: one HTML file, its pictures, and the same numbers for a terminal.

Nothing of the data, model or job rooms crosses into it: a job fills the plain dataclasses below.
The names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Confusion": "confusions",
    "Confusions": "confusions",
    "EmbeddingMap": "maps",
    "EvaluationSection": "contents",
    "Neighbour": "pictures",
    "Picture": "pictures",
    "Published": "contents",
    "RunReport": "contents",
    "Selection": "selection",
    "Sheet": "contents",
    "SheetRow": "pictures",
    "choose_queries": "selection",
    "contact_sheet": "sheets",
    "find_confusions": "confusions",
    "map_embeddings": "maps",
    "metric_table": "text",
    "render_report": "page",
    "write_report": "page",
}
__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"lookalike.report.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lookalike.report' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
