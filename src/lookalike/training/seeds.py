"""Several seeds of one training: a run each, and what they reached together."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.compose import compose
from lookalike.console import Console
from lookalike.errors import ConfigError, Interrupted, RunError
from lookalike.files import is_free, write_text
from lookalike.runs import next_folder
from lookalike.training.requeue import Resume
from lookalike.training.run import run_training, stem

if TYPE_CHECKING:
    from lookalike.report.seeds_page import SeedsReport

FILE = "seeds.json"


def seeds_in(overrides: Sequence[str]) -> list[int]:
    """The seeds of ``seed=[0,1,2]``; none where a single one is given, or none at all.

    Raises:
        ConfigError: a list that is not of different whole numbers.

    >>> seeds_in(["epochs=3", "seed=[0,1,2]"]), seeds_in(["seed=3"])
    ([0, 1, 2], [])
    """
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "seed" and value.startswith("["):
            words = [word.strip() for word in value.strip("[]").split(",")]
            found = [int(word) for word in words if re.fullmatch(r"\d+", word)]
            if len(set(found)) < len(words):
                raise ConfigError(f"{override}: write different whole numbers, such as [0,1,2].")
            return found
    return []


def run_seeds(
    overrides: Sequence[str],
    *,
    resume: Resume = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Train once a seed, into ``seed-N`` below one folder, and report mean and interval.

    Args:
        overrides: options with ``seed=[…]``.
        resume: go on with what was begun; runs that are finished stay.
        overwrite: replace the runs that are there.
        quiet: plain lines instead of a progress bar.

    Returns:
        The folder; its ``report.html`` and ``seeds.json`` hold the figures of all.

    Raises:
        ConfigError: an option that is not valid, or several processes.
        RunError: a folder that is in the way.
        Interrupted: stopped; the same command with --resume=auto goes on.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("seed=[…]: with torchrun, train one seed a command: seed=0 run=x/seed-0.")
    seeds = seeds_in(overrides)
    words = [o for o in overrides if o.partition("=")[0] not in ("seed", "run")]
    named = next((o.partition("=")[2] for o in overrides if o.startswith("run=")), None)
    if named is None and resume:
        raise ConfigError("--resume needs the folder of the seeds: run=runs/x.")
    base = Path(named).expanduser() if named else next_folder(stem(compose(words)))
    _refuse_if_taken(base, may_hold=bool(resume or overwrite))
    console = Console(quiet=quiet)
    for seed in seeds:
        console.say(f"seed     {seed}")
        try:
            run_training(
                [*words, f"seed={seed}", f"run={_run(base, seed)}"],
                resume="auto" if resume else False,
                overwrite=overwrite,
                quiet=quiet,
            )
        except Interrupted as stop:
            raise Interrupted(
                f"Stopped at seed {seed}; the same command with run={base} --resume=auto goes on."
            ) from stop
    _report(base, seeds, console)
    return base


def _run(base: Path, seed: int) -> Path:
    from lookalike.evaluation.seeds import PREFIX

    return base / f"{PREFIX}{seed}"


def _refuse_if_taken(base: Path, *, may_hold: bool) -> None:
    if not base.exists() or is_free(base):
        return
    if not base.is_dir() or (base / "config.yaml").is_file():
        raise RunError(f"{base} is a run or a file. Choose another folder for the seeds: run=…")
    from lookalike.evaluation.seeds import runs_in

    if not may_hold or not runs_in(base):
        raise RunError(
            f"{base} is not empty. Go on with its seeds with --resume=auto, replace them with "
            "--overwrite, or choose another folder: run=…"
        )


def _report(base: Path, seeds: Sequence[int], console: Console) -> None:
    """What the runs reached together: a table, a page, and the same for programs."""
    from lookalike.report.seeds_page import render_seeds, seeds_table

    report = _collected(base, seeds)
    for split in report.splits:
        console.show(seeds_table(report, split))
    facts = {
        split: {
            name: {"mean": one.mean, "low": one.low, "high": one.high, "values": list(one.values)}
            for name, one in rows.items()
        }
        for split, rows in report.splits.items()
    }
    about = {"seeds": list(seeds), "splits": facts}
    write_text(base / FILE, json.dumps(about, indent=2).replace("NaN", "null") + "\n")
    write_text(base / "report.html", render_seeds(report))
    console.say(f"report   {base / 'report.html'}")


def _collected(base: Path, seeds: Sequence[int]) -> SeedsReport:
    from lookalike.evaluation.seeds import interval
    from lookalike.metrics.definitions import explain
    from lookalike.report.seeds_page import OverSeeds, SeedsReport
    from lookalike.runs import environment
    from lookalike.training.result import TrainingResult

    results = [TrainingResult(_run(base, seed)) for seed in seeds]
    splits: dict[str, Mapping[str, OverSeeds]] = {}
    for split in results[0].splits:
        values = {
            name: [r.splits[split][name] for r in results] for name in results[0].splits[split]
        }
        splits[split] = {name: OverSeeds(*interval(v), v) for name, v in values.items()}
    return SeedsReport(
        title=base.resolve().name,
        seeds=seeds,
        runs=[_run(base, seed).name for seed in seeds],
        splits=splits,
        definitions={n: explain(n).told for rows in splits.values() for n in rows},
        command=environment()["command"],
    )
