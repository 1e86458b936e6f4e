"""What finished runs reached, beside what needs no training, as one table.

python benchmarks/pictures.py runs/omniglot runs/cub            prints it
python benchmarks/pictures.py runs/omniglot runs/cub --write    also writes results/pictures.md

Train the runs first; each row says with which command. The intervals are those of the runs'
reports: 95 % bootstrap over classes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lookalike.compose import from_yaml
from lookalike.data.build import build_table
from lookalike.runs import Run

RESULTS = Path(__file__).parent / "results"
METRICS = {
    "recall_at_1": "R@1",
    "mean_average_precision_at_r": "MAP@R",
    "mean_average_precision": "mAP",
}


def rows_of(run: Run) -> tuple[list[str], list[list[str]]]:
    """The levels of a run's labels, and a row a system."""
    stored = json.loads((run.evaluation("test") / "report.json").read_text())["values"]
    levels = list(build_table(from_yaml(run.config.read_text())).levels)
    systems = {"this run": stored}
    baselines = run.evaluation("test") / "baselines.json"
    if baselines.is_file():
        systems |= json.loads(baselines.read_text())
    return levels, [[name, *cells(values, len(levels))] for name, values in systems.items()]


def cells(values: dict[str, float], levels: int) -> list[str]:
    shown = []
    for level in range(levels):
        for metric in METRICS:
            name = f"{metric}_level{level}" if levels > 1 else metric
            shown.append(f"{values[name]:.3f}")
    return shown


def table(run: Run) -> str:
    manifest = run.read_manifest()
    levels, rows = rows_of(run)
    titles = [f"{short}, {level}" for level in levels for short in METRICS.values()]
    lines = [
        f"## {manifest['data']['name']}",
        "",
        f"`{manifest['command']}`",
        "",
        f"{manifest['data']['pictures']:,} pictures, {manifest['parameters']:,} parameters, "
        f"{manifest['epochs']} epochs, {manifest['steps']:,} steps; "
        f"{manifest['seconds'] / 60:.1f} minutes on {manifest['machine']['cores']} cores. "
        f"The model is that of epoch {manifest['best']['epoch']}.",
        "",
        "| system | " + " | ".join(titles) + " |",
        "|---|" + "--:|" * len(titles),
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    text = "# Unseen classes, networks trained from scratch\n\n" + "\n".join(
        table(Run.open(folder)) for folder in chosen.runs
    )
    print(text)
    if chosen.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "pictures.md").write_text(text)


if __name__ == "__main__":
    main()
