"""The loop of `discover` in its folder: begun, found again, and gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lookalike import components, documents, stored_config, trust
from lookalike.compose import compose, read_config, write_config
from lookalike.config import Config
from lookalike.console import Console
from lookalike.data.build import build_table
from lookalike.data.frames import read_frame, write_frame
from lookalike.discover.clusterers import METHODS
from lookalike.discover.decisions import read_decisions
from lookalike.discover.hierarchy import hilander
from lookalike.discover.lander_training import training_options
from lookalike.discover.open_world import open_world_rows
from lookalike.discover.round_page import rounds_table, write_page
from lookalike.discover.rounds import Round
from lookalike.errors import ConfigError, RunError, suggest
from lookalike.files import empty, is_free, refuse_links, remove_tree, write_text
from lookalike.locks import only_writer
from lookalike.runs import environment, next_folder
from lookalike.training.requeue import Resume, decide

_FIRST = ("rows.parquet", "config.yaml", "manifest.json")  # written before words.json
_WORDS = "words"  # the kind of their mark
_OWN = ("run", "dataset", "discover")  # options that are not the training's


class LoopWords(documents.Document):
    """``words.json`` of a loop."""

    words: list[str]


def run_loop(
    overrides: Sequence[str],
    *,
    resume: Resume = False,
    overwrite: bool = False,
    quiet: bool = False,
    decisions: Path | None = None,
) -> Path:
    """Run the loop, or go on with it, and return its folder; see `lookalike.jobs.discover`.

    Args:
        overrides: groups and options of training, and ``discover.…``.
        resume: go on with the loop in ``run=FOLDER``; ``"auto"``: begin it, or go on with it.
        overwrite: replace what is in ``run=FOLDER``.
        quiet: plain lines.
        decisions: a review's CSV about the clusters of the last round; with ``resume``.
    """
    if resume == "auto":
        overrides, resume, _ = decide(overrides, "words.json", ("discover.rounds",))
    if decisions is not None and not resume:
        raise ConfigError("--decisions is about a loop that is there: add --resume run=FOLDER")
    prepare = _found if resume else _prepared
    config, folder = prepare(overrides)
    if not resume:
        _refuse_in_the_way(folder, overwrite=overwrite)
    with only_writer(folder, "loop"):
        if not resume:
            _refuse_in_the_way(folder, overwrite=overwrite)  # who held it before may have filled it
            _begin(folder, config, overrides)
        else:
            write_config(folder / "config.yaml", config)
        _go_on(folder, config, overrides if resume else (), decisions, quiet=quiet)
    return folder


def _go_on(
    folder: Path, config: Config, given: Sequence[str], decisions: Path | None, *, quiet: bool
) -> None:
    """Round after round, from what lies in the folder."""
    console = Console(quiet=quiet)
    words = _words(folder)
    words += [word for word in given if word.partition("=")[0] in ("workers", "device")]
    rows = read_frame(folder / "rows.parquet")
    rows["label"] = rows["label"].where(rows["label"] != "-1", None)
    console.say(f"run      {folder}")
    console.say("data     " + ", ".join(f"{n} {s}" for s, n in _counts(rows).items()))
    if decisions is not None:
        _obey(folder, config, decisions)
    measured: list[dict[str, Any]] = []
    one = Round(folder, 0, config, words, rows, console.say, quiet)
    while True:
        console.say(f"── round {one.number}")
        one.train()
        x = one.embed()
        clusters = one.cluster(x)
        known, last = one.measured, one.number == config.discover.rounds
        measured.append(one.measure(x, clusters))
        write_page(one, x, clusters, measured)
        if last or not known:  # a resumed loop need not show every table again
            console.show_whole(rounds_table(measured))
        if last:
            break
        one.select(x, clusters)
        one = one.next()
    console.say(f"report   {one.home / 'report.html'}")


def _prepared(overrides: Sequence[str]) -> tuple[Config, Path]:
    config = compose(overrides)
    check(config)
    stem = f"discover-{str(config.dataset['name']).rpartition('.')[2]}"
    config.run = config.run or str(next_folder(stem))
    return config, Path(config.run)


def _refuse_in_the_way(folder: Path, *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file. Choose a folder: run=…")
    if is_free(folder, _FIRST):
        return
    if not (folder / "words.json").is_file():
        raise RunError(f"{folder} is not empty and holds no loop. Choose another: run=…")
    if not overwrite:
        raise RunError(
            f"{folder} holds a loop already. Go on with --resume, replace it with --overwrite, "
            "or choose another folder: run=…"
        )


def _begin(folder: Path, config: Config, overrides: Sequence[str]) -> None:
    """Write what the rounds start from; ``words.json``, the last, says that all of it is there."""
    words = [w for w in overrides if w.lstrip("+").partition("=")[0].partition(".")[0] not in _OWN]
    rows = open_world_rows(build_table(config), config.discover.labelled)
    empty(folder)
    # −1 as everywhere in tables: so that the file is a data set, to go on with by hand.
    write_frame(rows.assign(label=rows["label"].fillna("-1")), folder / "rows.parquet")
    write_config(folder / "config.yaml", config)
    write_text(folder / "manifest.json", json.dumps(environment(), indent=2) + "\n")
    said = trust.sealed({"words": words}, _WORDS)
    write_text(folder / "words.json", json.dumps(said, indent=2) + "\n")


def _found(overrides: Sequence[str]) -> tuple[Config, Path]:
    given = dict(word.split("=", 1) for word in overrides if "=" in word)
    if "run" not in given:
        raise ConfigError("--resume needs the loop's folder: run=runs/x.")
    for key in given:
        if key not in ("run", "discover.rounds", "workers", "device"):
            raise ConfigError(
                f"{key}: a resumed loop keeps its options; only discover.rounds, workers and "
                "device may change."
            )
    folder = Path(given["run"]).expanduser()
    if not (folder / "words.json").is_file():
        raise RunError(f"{folder} holds no loop to resume (it has no words.json).")
    refuse_links(folder, [path.name for path in folder.iterdir()])
    _words(folder)  # refused before anything is written
    config = read_config(folder / "config.yaml", overrides)
    check(config)
    return config, folder


def _words(folder: Path) -> list[str]:
    """The options of training that a loop was given; those of a stranger may import nothing."""
    path = folder / "words.json"
    said = documents.read_json(path, dict[str, Any] | list[str], fault=RunError)
    if isinstance(said, list):  # as they were written before there were marks
        said = {"words": said}
    documents.check(said, LoopWords, str(path), fault=RunError)
    if not trust.is_sealed(said, _WORDS):
        for name in stored_config.paths_in_words(said["words"]):
            trust.refuse_import(name, str(path))
    return list(said["words"])


def check(config: Config) -> None:
    """Refuse options of the loop that cannot be, before anything is trained."""
    c = config.discover
    if c.rounds < 0:
        raise ConfigError(f"discover.rounds={c.rounds}: must be at least 0.")
    if c.method not in METHODS:
        raise ConfigError(f"discover.method={c.method}: no such. {suggest(c.method, METHODS)}")
    takes = hilander if c.method == "hilander" else METHODS[c.method]
    components.check_arguments(takes, c.method_options, "discover.method_options")
    if c.method == "hilander" and "network" in c.method_options:
        raise ConfigError("discover.method_options.network: the loop trains its own; leave it out")
    if c.method == "kmeans" and "classes" not in c.method_options:
        raise ConfigError("discover.method=kmeans needs discover.method_options.classes=N")
    if c.method != "hilander" and not c.relearn:
        raise ConfigError(
            f"discover.relearn=false: discover.method={c.method} learns nothing; leave it out"
        )
    training_options(c.lander, "discover.lander.")


def _obey(folder: Path, config: Config, decisions: Path) -> None:
    """Put a person's decisions where the selection after the last clustered round finds them."""
    read_decisions(decisions)
    done = [n for n in range(config.discover.rounds + 1) if _clustered(folder, n)]
    if not done:
        raise RunError(f"{folder}: no round is clustered yet, so there is nothing to decide about")
    last = done[-1]
    if last == config.discover.rounds:
        raise ConfigError(
            f"round {last} is the last, so nothing would obey the decisions; add "
            f"discover.rounds={last + 1}"
        )
    shutil.copyfile(decisions, folder / f"round-{last}" / "decisions.csv")
    remove_tree(folder / f"round-{last + 1}", folder)


def _clustered(folder: Path, number: int) -> bool:
    return (folder / f"round-{number}" / "clusters.parquet").is_file()


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {str(k): int(v) for k, v in rows["set"].value_counts(sort=False).items()}
