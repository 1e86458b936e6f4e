"""``lookalike data``: look at data before training on it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lookalike.compose import compose
from lookalike.data import doctor
from lookalike.jobs import building
from lookalike.jobs.console import Console


def check(
    source: str, overrides: Sequence[str], *, as_json: bool = False, pictures: bool = True
) -> doctor.DataReport:
    """Print what is wrong with a data set, with row numbers.

    Args:
        source: a data set's name, a folder, or a table file.
        overrides: settings of the data set, e.g. ``data_root=…``.
        as_json: print JSON.
        pictures: also decode every picture and compare contents across splits.
    """
    table = building.build_table(compose([f"dataset={source}", *overrides]))
    report = doctor.check(table, pictures=pictures)
    if as_json:
        print(json.dumps(report.to_dict(), indent=2))
    else:
        Console().say(report.to_text())
    return report
