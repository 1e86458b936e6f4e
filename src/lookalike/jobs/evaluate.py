"""``lookalike evaluate``: every metric of a trained model, with definitions and intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookalike.compose import compose, from_yaml
from lookalike.config import Config
from lookalike.errors import DataError, suggest
from lookalike.jobs import building, measuring
from lookalike.jobs.console import Console
from lookalike.jobs.figures import check_metrics
from lookalike.jobs.reporting import numbers
from lookalike.models import weights
from lookalike.runs import Run


def run(
    folder: str | Path,
    overrides: Sequence[str] = (),
    *,
    splits: Sequence[str] | None = None,
    as_json: bool = False,
) -> dict[str, dict[str, Any]]:
    """Measure a run's best model and print every metric.

    Results on the run's own data are also written to ``evaluation/<split>/`` of the run.

    Args:
        folder: a run folder, or a model folder together with ``dataset=…``.
        overrides: another data set, or other settings of evaluation.
        splits: which; by default every split named test… or val….
        as_json: print JSON instead of tables.

    Returns:
        split → ``{"values", "intervals", "definitions", …}``.

    Raises:
        ModelError: no model there.
        DataError: the data has no such split.
    """
    console = Console(silent=as_json)
    model = weights.load(folder)
    config, own_data = _config(Path(folder), overrides)
    check_metrics(config.evaluation)
    device = building.pick_device(config.device)
    model.to(device)
    table = building.build_table(config)
    for note in table.notes:
        console.say(note)
    chosen = list(splits) if splits else table.evaluation_splits
    if not chosen:
        raise DataError(
            f"{table.name} has no test or val split (it has: {', '.join(table.splits)}). Name one: "
            "--split train"
        )
    for split in chosen:
        if split not in table.splits:
            raise DataError(f"--split {split}: no such split. {suggest(split, table.splits)}")
    measured = []
    for split in chosen:
        with console.embedding(split, len(table.split(split))) as advance:
            measured.append(
                measuring.measure(
                    model,
                    table,
                    split,
                    config.evaluation,
                    workers=config.workers,
                    broken=building.broken_policy(config),
                    precision=building.pick_precision(config.precision, device),
                    on_batch=advance,
                )
            )
    if own_data:
        for one in measured:
            one.save(Run(folder).evaluation(one.split))
    console.metrics([numbers(one, config) for one in measured])
    results = {one.split: _result(one, table.name) for one in measured}
    if as_json:
        print(json.dumps(results, indent=2))
    return results


def _config(folder: Path, overrides: Sequence[str]) -> tuple[Config, bool]:
    """The run's own config with settings on top, or another data set's."""
    switches_data = any(o.partition("=")[0].startswith("dataset") for o in overrides)
    if (folder / "config.yaml").is_file() and not switches_data:
        stored = Run.open(folder).config.read_text(encoding="utf-8")
        # Where the data lies changes no number, so the results are still the run's own.
        changes = [o for o in overrides if not o.startswith("data_root=")]
        return from_yaml(stored, overrides), not changes
    return compose(overrides), False


def _result(one: measuring.Measured, data: str) -> dict[str, Any]:
    return {
        "data": data,
        "fingerprint": one.table.fingerprint,
        **one.report.to_dict(),
        "intervals_over_classes": one.report.intervals(over="classes"),
    }
